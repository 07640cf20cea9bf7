"""A recording as one HTML file: what is in it, how large it is, and that a browser plays it from disk."""

import base64
import gzip
import json
import random
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pylitefs.lecture.model import Dump, Entry, Json
from pylitefs.lecture.recording import Recording, RecordingError
from pylitefs.lecture.show.replay_html import MAX_BYTES, page
from tests.lecture.committed import committed
from tests.lecture.sample_run import HEAD, recording

INSIDE = re.compile(r'<script type="application/json" id="recording">([^<]*)</script>')


def lines_in(html: bytes) -> list[Json]:
    [packed] = INSIDE.findall(html.decode())
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(packed)).splitlines()]


def with_dumps(count: int, size: int) -> Recording:
    """A run in which every entry shows bytes that cannot be compressed."""
    noise = random.Random(1)
    made = [Dump(f"d{n}", f"n1 file {n}", "file", "wal", noise.randbytes(size)) for n in range(count)]
    told = [Entry(n, n, "event", "wal.frame", "n1", dumps=(f"d{n}",)) for n in range(count)]
    return Recording(HEAD, tuple(told), {one.id: one for one in made})


def test_the_page_holds_the_recordings_own_lines() -> None:
    assert lines_in(page(recording())) == list(recording().lines())


def test_the_same_recording_gives_the_same_page() -> None:
    assert page(recording()) == page(recording())


def test_the_title_is_the_lessons() -> None:
    assert b"<title>A made-up lesson \xe2\x80\x93 pylitefs</title>" in page(recording())


def test_it_needs_nothing_from_outside() -> None:
    html = INSIDE.sub("", page(recording()).decode())
    assert not re.search(r'\bsrc="', html)
    assert not re.search(r"<link[^>]*stylesheet", html)
    assert "@import" not in html


def test_rows_are_told_also_where_the_bytes_are_left_out(tmp_path: Path) -> None:
    """They are told from all of the bytes, and stay when those go."""
    [(entry, [dump])] = committed(tmp_path / "a.db", ["CREATE TABLE t(x); INSERT INTO t VALUES ('here')"])
    noise = with_dumps(50, 24_000)
    last = replace(entry, seq=50, dumps=("ltx",))
    dumps = {**noise.dumps, "ltx": replace(dump, id="ltx")}
    html = page(Recording(HEAD, (*noise.entries, last), dumps))
    [told] = [line["entry"] for line in lines_in(html) if "rows" in line.get("entry", {})]
    assert told["rows"]["tables"][0]["rows"] == [["added", "1", [["x", None, "'here'"]]]]
    left_out = [line["dump"] for line in lines_in(html) if "dump" in line]
    assert any("left out" in one["note"] for one in left_out)


def test_where_the_bytes_do_not_fit_the_longest_are_left_out_and_say_so() -> None:
    found = with_dumps(50, 1024)
    long = replace(found.dumps["d7"], data=random.Random(2).randbytes(900_000))
    html = page(replace(found, dumps={**found.dumps, "d7": long}))
    assert len(html) <= MAX_BYTES
    dumps = [line["dump"] for line in lines_in(html) if "dump" in line]
    assert len(dumps) == 50
    assert [one["id"] for one in dumps if not one["data"]] == ["d7"]
    assert dumps[7]["note"].startswith("Its 900,000 bytes are left out")


def test_ten_thousand_events_fit() -> None:
    entries = tuple(
        Entry(n, n * 1.7, "event", "page.write", f"n{n % 3}", "data.db", n, text=f"SQLite writes page {n}.")
        for n in range(10_000)
    )
    assert len(page(Recording(HEAD, entries, {}))) <= MAX_BYTES


def test_what_does_not_fit_at_all_is_refused() -> None:
    noise = random.Random(3)
    entries = tuple(Entry(n, n, "note", text=noise.randbytes(700).hex()) for n in range(2000))
    with pytest.raises(RecordingError, match=r"2000 entries do not fit .*`pylitefs replay FILE`"):
        page(Recording(HEAD, entries, {}))


@pytest.mark.browser
def test_a_browser_plays_it_from_disk(tmp_path: Path) -> None:
    """Opened as a file, without network: it is unpacked, stepped with a key, and there is no complaint."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is missing: apt-get install chromium, or PYLITEFS_NO_BROWSER=1"
    (tmp_path / "run.html").write_bytes(page(recording()))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_context(offline=True).new_page()
        complaints: list[str] = []
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("console", lambda text: complaints.append(text.text) if text.type == "error" else None)
        shown.goto((tmp_path / "run.html").as_uri())
        shown.get_by_text("A made-up lesson").first.wait_for()
        wanted = shown.locator("#told", has_text="SQLite writes the journal's header.")
        deadline = time.monotonic() + 20
        while not wanted.count() and time.monotonic() < deadline:
            shown.keyboard.press("PageDown")  # one that follows another too fast is none
            shown.wait_for_timeout(300)
        assert wanted.is_visible()
        assert "d9" in shown.locator("#panel-bytes").inner_text()
        browser.close()
        assert complaints == []
