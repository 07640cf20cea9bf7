"""A stranger's recording is bounded: what is too much, or of the wrong kind, is refused in words."""

import gzip
import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.lecture import bounds
from pylitefs.lecture.language.lesson import MAX_HTML, MAX_PROSE
from pylitefs.lecture.model import STATE_KEYS, Json, to_line
from pylitefs.lecture.recording import RecordingError, open_recording, packaged, read_bytes
from tests.lecture.sample_run import recording

LINES: list[Json] = list(recording().lines())
HEAD = to_line(LINES[0])


def entry(seq: int = 0, **changes: object) -> str:
    return to_line({"entry": {"seq": seq, "t_ms": 0, "kind": "note", **changes}})


def head(**changes: object) -> str:
    return to_line({**LINES[0], **changes})


def section(html: str = "", prose: str = "") -> str:
    return head(sections=[{"heading": "x", "html": html, "prose": prose}] * 2)


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def deep(depth: int) -> str:
    return "[" * depth + "]" * depth


def many(count: int) -> bytes:
    return text(HEAD, *(entry(number) for number in range(count)))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bomb": (lambda: gzip.compress(bytes(bounds.MAX_BYTES + 1), 1), "longer than 32 MB, unpacked"),
    "a bomb of newlines": (lambda: gzip.compress(b"\n" * bounds.MAX_BYTES, 1), "line 1: not JSON"),
    "a bomb in a line": (
        lambda: gzip.compress(text(HEAD) + b"[]," * 10_000_000, 1),
        "line 2: it is longer than 1 MB",
    ),
    "a long first line": (lambda: text(head(title="x" * bounds.MAX_LINE)), "line 1: it is longer than 1 MB"),
    "a long last line": (lambda: text(HEAD) + b"[" * (2 << 20), "line 2: it is longer than 1 MB"),
    "many entries": (lambda: many(bounds.MAX_LINES), "line 1001: a recording has at most 1,000 lines"),
    "a cut deep line": (lambda: text(HEAD) + b"[" * 200_000, "line 2: it is nested more than 12 deep"),
    "a cut deep first line": (lambda: b'{"a":' * 100_000, "line 1: it is nested more than 12 deep"),
    "a deep line": (lambda: text(HEAD, deep(200_000)), "line 2: it is nested more than 12 deep"),
    "a line just too deep": (
        lambda: text(HEAD, entry(set={"x": json.loads(deep(11))})),
        "line 2: it is nested more than 12 deep",
    ),
    "a deep cell": (lambda: text(HEAD, entry(set={"x": json.loads(deep(300))})), "nested more than 12 deep"),
    "long prose": (
        lambda: text(section(prose="*a" * MAX_PROSE)),
        "line 1: section 1 has 32,768 characters of prose, where 16,384 are the most",
    ),
    "long HTML": (
        lambda: text(section(html="x" * (MAX_HTML + 1))),
        "line 1: section 1 has 131,073 characters of HTML",
    ),
    "HTML that never ends": (lambda: text(section(html="<a " * 32768)), "line 1: section 1 has <a <a"),
    "a number without end": (lambda: text(HEAD, entry().replace("0", "9" * 5000, 1)), "line 2: not JSON"),
    "an infinite number": (
        lambda: text(HEAD, entry().replace('"t_ms":0', '"t_ms":1e999')),
        "1e999 is too la",
    ),
    "nodes that are none": (lambda: text(HEAD, entry(set={"nodes": 7})), "line 2: set.nodes: input should"),
    "a node that is none": (lambda: text(HEAD, entry(set={"nodes": ["a", {}]})), "line 2: set.nodes: 1"),
    "a question without choices": (
        lambda: text(HEAD, entry(set={"question": {"text": "a", "answer": None, "why": ""}})),
        "line 2: set.question: choices: field required",
    ),
    "held things that are none": (
        lambda: text(HEAD, entry(set={"node/n1/held": [{"name": "a"}]})),
        "line 2: set.node/n1/held: 0.database: field required",
    ),
    "locks that are none": (
        lambda: text(HEAD, entry(set={"db/n1/a.db/locks": ["x"]})),
        "line 2: set.db/n1/a.db/locks: 0",
    ),
    "facts that are none": (lambda: text(HEAD, entry(detail={"a": [1]})), "line 2: a"),
    "a frame that is none": (lambda: text(HEAD, entry(frame={"a": {}})), "line 2: a"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_recording_is_refused_in_one_line_that_names_file_and_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a traceback, and soon: the slowest has to be unpacked and read to its end."""
    make, said = HOSTILE[name]
    monkeypatch.setattr(bounds, "MAX_LINES", 1000)
    path = tmp_path / "run.jsonl"
    path.write_bytes(make())
    began = time.process_time()
    assert run(["replay", str(path), "--html", str(tmp_path / "out.html")]) == 1
    assert time.process_time() - began < 20
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith(f"pylitefs: {path}") and said in line
    assert "record it again with `pylitefs lecture LESSON --record FILE`" in line
    assert "a bug in pylitefs" not in line and len(line) < 1000


@pytest.mark.parametrize("name", ["a bomb", "a bomb of newlines", "a bomb in a line"])
def test_a_small_file_fills_no_memory(name: str) -> None:
    """At most what it may unpack to, twice: for the whole, and while zlib makes it."""
    data = HOSTILE[name][0]()
    assert len(data) < bounds.MAX_BYTES // 50
    tracemalloc.start()
    try:
        with pytest.raises(RecordingError):
            read_bytes(data, "run.jsonl.gz")
        assert tracemalloc.get_traced_memory()[1] < 3 * bounds.MAX_BYTES
    finally:
        tracemalloc.stop()


def test_what_is_just_within_the_bounds_is_read() -> None:
    prose = section(html="x" * MAX_HTML, prose="x" * MAX_PROSE)
    found = read_bytes(text(prose, entry(set={"new/key": json.loads(deep(9))})), "run.jsonl")
    assert len(found.entries) == 1 and not found.is_cut


def test_a_line_that_is_cut_ends_the_recording_there() -> None:
    for rest in ('{"entry": {"seq"', '{"entry":[[[', "\ud800", '{"a": 1e'):
        found = read_bytes(text(HEAD, entry()) + rest.encode("utf-8", "surrogatepass"), "run.jsonl")
        assert found.is_cut and len(found.entries) == 1


@pytest.mark.parametrize("name", packaged())
def test_the_recordings_that_come_along_are_far_within_the_bounds(name: str) -> None:
    found = [to_line(line) for line in open_recording(name).lines()]
    assert sum(map(len, found)) * 10 < bounds.MAX_BYTES
    assert max(map(len, found)) * 10 < bounds.MAX_LINE


def test_every_key_of_the_state_has_its_values_checked() -> None:
    """What model.py names is what is known here."""
    for key in STATE_KEYS:
        assert bounds.why_no_state({key: object()}), key
        assert bounds.why_no_state({key: None}) is None
