"""Recordings: what is written is read again, what is wrong is refused by line, and nothing needs FUSE."""

import gzip
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture import bounds, recording
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language.safe_html import why_not_prose
from pylitefs.lecture.model import Json, state_at, to_line
from pylitefs.lecture.recording import Head, HeadSection, Recording, RecordingError, Writer, read, read_bytes
from pylitefs.lecture.show.replay_html import MAX_BYTES, page
from tests.lecture.sample_run import HEAD, JOURNAL, entries
from tests.lecture.sample_run import recording as sample

MAKE = "make it with `pylitefs lecture {0} --headless --record pylitefs/lecture/recordings/{0}.jsonl.gz`"


def write(path: Path, hidden: Path | None = None) -> Path:
    with Writer(path, HEAD, hidden) as writer:
        for entry in entries():
            writer.emit(entry, [JOURNAL] if entry.dumps else [])
    return path


def as_bytes(lines: list[Json]) -> bytes:
    return "".join(to_line(line) + "\n" for line in lines).encode()


def without_mounts(found: Recording) -> Recording:
    def emptied(key: str, value: object) -> object:
        return "" if key.endswith("/mount") else value

    kept = [replace(one, set={k: emptied(k, v) for k, v in one.set.items()}) for one in found.entries]
    return replace(found, entries=tuple(kept))


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    found = read(write(tmp_path / name))
    assert found == without_mounts(sample())
    assert state_at(found.entries)["db/n1/data.db/txid"] == 4


def test_a_gz_file_is_one_and_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl.gz"), write(tmp_path / "b.jsonl.gz")
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()) == write(tmp_path / "c.jsonl").read_bytes()


def test_the_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "run.jsonl")
    assert list(read(path).lines()) == [json.loads(line) for line in path.read_text().splitlines()]


def test_a_dump_is_written_once_and_before_the_first_entry_that_names_it(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in write(tmp_path / "run.jsonl").read_text().splitlines()]
    kinds = [next(iter(line)) for line in lines[1:]]
    assert kinds == ["entry", "dump", "entry", "entry", "entry", "entry"]


def test_an_entry_is_in_the_file_when_it_has_been_told(tmp_path: Path) -> None:
    with Writer(tmp_path / "run.jsonl", HEAD) as writer:
        writer.emit(entries()[0])
        assert len(read(tmp_path / "run.jsonl").entries) == 1


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_lesson_begun_again_begins_the_file_anew(tmp_path: Path, name: str) -> None:
    with Writer(tmp_path / name, HEAD) as writer:
        writer.emit(entries()[0])
        writer.emit(entries()[1], [JOURNAL])
        for entry in entries():
            writer.emit(entry, [JOURNAL] if entry.dumps else [])
    assert read(tmp_path / name) == without_mounts(sample())


def test_no_path_of_the_machine_gets_in(tmp_path: Path) -> None:
    hidden = tmp_path / "lecture"
    with Writer(tmp_path / "run.jsonl", HEAD, hidden) as writer:
        writer.emit(replace(entries()[0], text=f"cannot open {hidden}/n1/data"))
    assert str(tmp_path) not in (tmp_path / "run.jsonl").read_text()
    assert "/somewhere" not in (tmp_path / "run.jsonl").read_text()
    [entry] = read(tmp_path / "run.jsonl").entries
    assert entry.text == "cannot open …/n1/data"
    assert entry.set["node/n1/mount"] == ""


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"No such file.*--record"):
        Writer(tmp_path / "missing" / "run.jsonl", HEAD)


def test_a_run_that_was_killed_plays_up_to_there(tmp_path: Path) -> None:
    whole = write(tmp_path / "run.jsonl").read_bytes()
    found = read_bytes(whole[:-20], "run")
    assert found.is_cut
    assert found.entries == without_mounts(sample()).entries[:-1]
    packed = gzip.compress(whole)
    assert read_bytes(packed[:-30], "run").is_cut
    assert not read_bytes(whole[:-1], "run").is_cut, "only the last newline is missing"


LINES: list[Json] = list(sample().lines())


def changed(number: int, change: Callable[[Json], object]) -> bytes:
    """The recording with its line `number` (from 1) changed."""
    lines = json.loads(json.dumps(LINES))
    change(lines[number - 1])
    return as_bytes(lines)


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [
        (b"", 1, "no line"),
        (b"Hello\nyou\n", 1, "not JSON"),
        (b"[1]\n", 1, "not a JSON object"),
        (b'{"a":1}\n', 1, "no recording"),
        (changed(1, lambda it: it.pop("title")), 1, "title: field required"),
        (changed(1, lambda it: it["steps"][1].update(index=7)), 1, "step 1 has index 7"),
        (changed(1, lambda it: it["steps"][1].update(section=2)), 1, "section 2"),
        (changed(1, lambda it: it["sections"][1].update(html="<script>x</script>")), 1, "section 2 has <scr"),
        (as_bytes([LINES[0], {"other": 1}]), 2, "neither"),
        (as_bytes([LINES[0], LINES[2], LINES[2]]), 3, "twice"),
        (as_bytes([*LINES[:2], *LINES[3:]]), 3, "names the dump d1"),
        (as_bytes([*LINES[:5], *LINES[6:]]), 6, "entry 3 is missing"),
        (changed(3, lambda it: it["dump"].update(data="###")), 3, "data or parts"),
        (changed(3, lambda it: it["dump"].update(parts=[[1, 2]])), 3, "data or parts"),
        (changed(3, lambda it: it["dump"].update(parts=[["a", 2, "", "", "", ""]])), 3, "parts.0.offset"),
        (changed(3, lambda it: it["dump"].pop("key")), 3, "key: field required"),
        (changed(4, lambda it: it["entry"].update(kind="party")), 4, "'party'"),
        (changed(4, lambda it: it["entry"].update(step=3)), 4, "step 3 of 3"),
        (changed(4, lambda it: it["entry"].update(lights=[["n1", "a.db", "x", "y"]])), 4, "lights.0.2"),
        (changed(4, lambda it: it["entry"].update(set=[])), 4, "set: "),
        (changed(7, lambda it: it["entry"].update(xor=[["a", "zz"]])), 7, "xor"),
        (changed(7, lambda it: it["entry"].update(xor=[3])), 7, "xor"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line_and_the_remedy(data: bytes, line: int, what: str) -> None:
    with pytest.raises(RecordingError) as error:
        read_bytes(data, "run.jsonl")
    assert str(error.value).startswith(f"run.jsonl, line {line}: ")
    assert what in str(error.value)
    assert "--record FILE" in str(error.value)


def test_another_format_is_named_with_what_made_it() -> None:
    data = changed(1, lambda it: it.update(format=2, pylitefs="9.9"))
    with pytest.raises(RecordingError, match=r"made by pylitefs 9\.9 in format 2.*plays format 1"):
        read_bytes(data, "run.jsonl")


def test_a_damaged_gzip_file_and_one_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = bytearray(gzip.compress(as_bytes(LINES)))
    packed[20] ^= 0xFF
    packed[21] ^= 0xFF
    with pytest.raises(RecordingError):
        read_bytes(bytes(packed), "run.jsonl.gz")
    monkeypatch.setattr(bounds, "MAX_BYTES", 1000)
    with pytest.raises(RecordingError, match="longer than"):
        read_bytes(gzip.compress(bytes(100_000)), "bomb.gz")


@given(st.data())
def test_whatever_is_done_to_a_recording_it_is_read_or_refused(data: st.DataObject) -> None:
    """A byte changed, a piece taken out or put in: a Recording or a RecordingError, and nothing else."""
    lines = bytearray(as_bytes(LINES))
    at = data.draw(st.integers(0, len(lines)))
    length = data.draw(st.integers(0, 40))
    lines[at : at + length] = data.draw(
        st.binary(max_size=8) | st.sampled_from([b"NaN", b"null", b"[]", b"{}", b"-1", b"1e999", b"\n", b'"'])
    )
    try:
        assert isinstance(read_bytes(bytes(lines), "run"), Recording)
    except RecordingError as error:
        assert str(error).startswith("run")


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5), st.data())
def test_whatever_a_field_holds_it_is_read_or_refused(value: object, data: st.DataObject) -> None:
    lines = json.loads(json.dumps(LINES))
    line = data.draw(st.sampled_from(lines))
    inner = next(iter(line.values())) if len(line) == 1 else line
    inner[data.draw(st.sampled_from(sorted(inner)))] = value
    try:
        read_bytes(as_bytes(lines), "run")
    except RecordingError as error:
        assert str(error).startswith("run")


def test_text_that_is_no_unicode_does_not_end_a_recording(tmp_path: Path) -> None:
    odd = replace(entries()[0], text="n1> \udcff and \ud800")
    with Writer(tmp_path / "run.jsonl", HEAD) as writer:
        writer.emit(odd)
    assert read(tmp_path / "run.jsonl").entries[0].text == odd.text
    assert page(read(tmp_path / "run.jsonl"))


def test_what_a_newer_pylitefs_says_besides_is_passed_over() -> None:
    found = read_bytes(changed(4, lambda it: it["entry"].update(more=1)), "run.jsonl")
    assert len(found.entries) == 5


def test_a_name_that_is_no_file_and_no_lesson_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="neither a recording's file nor one of"):
        recording.open_recording(str(tmp_path / "nothing"))
    with pytest.raises(RecordingError):
        recording.open_recording(str(tmp_path))


@pytest.mark.parametrize(
    "html",
    [
        "<script>1</script>",
        "<img src=x onerror=1>",
        "<p onclick='1'>",
        "<a href='javascript:1'>x</a>",
        "<a href='java\nscript:1'>x</a>",
        "<a href='data:text/html,x'>x</a>",
        "<p style='background:url(//x)'>",
        "<!-- x -->",
        "<!doctype html>",
        "<?php ?>",
        "<svg/onload=1>",
        "<SCRIPT >",
        "<iframe>",
    ],
)
def test_html_that_is_more_than_prose_is_told(html: str) -> None:
    assert why_not_prose(html)


def test_what_markdown_gives_is_prose() -> None:
    markdown_it = pytest.importorskip("markdown_it")
    text = "# A\n\n*b* **c** `d` [e](https://f) <https://g>\n\n- h\n\n1. i\n\n> j\n\n"
    text += "```sh\nk\n```\n\n---\n\nl  \nm\n"
    html = markdown_it.MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    html += markdown_it.MarkdownIt().enable("table").render("| a | b |\n|:--|--:|\n| c | d |\n")
    assert why_not_prose(html) == ""


def test_recordings_are_read_where_there_is_no_fuse_and_no_linux() -> None:
    """As on Windows: neither fusepy nor the modules that only Unix has can be imported."""
    code = """
import sys
for name in ("fuse", "fcntl", "termios", "pwd", "grp", "resource"):
    sys.modules[name] = None
import pylitefs.lecture.recording, pylitefs.lecture.show.replay_html, pylitefs.lecture.show.terminal
import pylitefs.lecture.show.handout, pylitefs.cli.main, pylitefs.cli.replay, pylitefs.cli.handout
import pylitefs.cli.lecture
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", lessons.names())
def test_every_lesson_has_a_recording_of_this_format_with_its_own_steps(name: str) -> None:
    """All anew: pylitefs lecture --headless --record pylitefs/lecture/recordings"""
    assert name in recording.packaged(), f"no recording of {name}: {MAKE.format(name)}"
    found = recording.open_recording(name)
    is_same = replace(found.head, pylitefs="") == replace(Head.of(lessons.load(name)), pylitefs="")
    assert is_same, f"{name} has changed since it was recorded: {MAKE.format(name)}"
    assert not found.is_cut
    assert not [entry for entry in found.entries if entry.kind == "error"]
    assert found.entries[-1].step == len(found.head.steps) - 1, "it goes to the end"
    told = {entry.step for entry in found.entries}
    assert told >= set(range(len(found.head.steps))), "every step has left something"


def test_the_packaged_recordings_are_small_and_of_lessons_only() -> None:
    assert set(recording.packaged()) <= set(lessons.names())
    folder = Path(recording.__file__).parent / "recordings"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000


@pytest.mark.parametrize("name", recording.packaged())
def test_a_packaged_recording_is_a_page_with_all_its_bytes(name: str) -> None:
    html = page(recording.open_recording(name))
    assert len(html) <= MAX_BYTES
    assert b"are left out, so that this page stays" not in html


def test_a_head_without_sections_and_steps_is_fine() -> None:
    head = Head("a", "b", "c", (), ())
    assert read_bytes(as_bytes([head.to_json()]), "x").head == head
    assert HeadSection("a", "b").prose == ""


def test_behind_shows_the_checksum_that_it_speaks_of_in_caption_and_bytes() -> None:
    """n2's, at the decision that is held: the pre-apply checksum of the LTX file whose bytes are open."""
    found = recording.open_recording("behind")
    at, decision = next(
        (index, one)
        for index, one in enumerate(found.entries)
        if one.name == "catchup.decide" and "files 0000000000000003 to 0000000000000004" in one.text
    )
    checksum = state_at(found.entries[: at + 1])["db/n2/data.db/checksum"]
    assert (
        f"n2's checksum is {checksum}, and the next file's pre-apply checksum is the same." in decision.text
    )
    [dump] = [found.dumps[one] for one in decision.dumps]
    assert "0000000000000003-0000000000000003.ltx" in dump.title
    [part] = [one for one in dump.parts if one.name == "pre-apply checksum"]
    assert part.value == checksum
    steps, sections = found.head.steps, found.head.sections
    assert "pre-apply checksum" in sections[steps[decision.step].section].prose, "the prose beside it"


@pytest.mark.parametrize("name", recording.packaged())
def test_no_caption_of_a_recording_says_done_of_what_is_held_before_it(name: str) -> None:
    """Neither that a frame is sent, nor that its pages are shipped, nor that a crash rolls nothing back."""
    for entry in recording.open_recording(name).entries:
        if entry.name == "stream.send":
            assert " is about to send " in entry.text
            assert not entry.lights
        elif entry.name == "journal.invalidate":
            assert " is about to be " in entry.text
        elif entry.name == "ltx.commit":
            assert "gone" not in entry.alone


def test_each_lesson_names_the_next_and_how_to_start_it() -> None:
    """Live another lecture, of a recording another recording; after the last there is none."""
    names = lessons.names()
    for name, after in itertools.pairwise(names):
        found = recording.following(name, live=True)
        assert found == {
            "lesson": after,
            "title": lessons.load(after).title,
            "command": f"pylitefs lecture {after}",
        }
    assert (recording.following(names[0], live=False) or {})["command"] == f"pylitefs replay {names[1]}"
    assert recording.following(names[-1], live=True) is None


def test_a_lesson_of_one_s_own_has_none() -> None:
    assert recording.following("mine", live=True) is None
