"""The handout: one zip, every recording in it as a page of its own, the byte layouts to print."""

import re
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pylitefs.lecture.recording import RecordingError
from pylitefs.lecture.show import handout, layouts
from tests.lecture.sample_run import recording


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not open."""

    VOID = frozenset({"meta", "br", "link", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def assert_html(data: bytes) -> str:
    parser = Balanced()
    parser.feed(data.decode())
    assert parser.open == []
    return data.decode()


def test_the_zip_holds_the_index_the_layouts_and_each_recording(tmp_path: Path) -> None:
    second = replace(recording(), head=replace(recording().head, lesson="second", title="The <second>"))
    names = handout.write(tmp_path / "out.zip", [recording(), second])
    assert names == ["index.html", "byte-layouts.html", "made-up.html", "second.html"]
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"out/{name}" for name in names]
        index = assert_html(archive.read("out/index.html"))
        for target in re.findall(r'href="([^"]+)"', index):
            assert f"out/{target}" in archive.namelist()
        assert "The &lt;second&gt;" in index
        assert 'id="recording"' in archive.read("out/made-up.html").decode()


def test_the_same_recordings_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    handout.write(tmp_path / "out.zip", [recording()])
    handout.write(tmp_path / "again" / "out.zip", [recording()])
    assert (tmp_path / "out.zip").read_bytes() == (tmp_path / "again" / "out.zip").read_bytes()


def test_the_layouts_name_every_field_of_every_format() -> None:
    html = assert_html(handout.layouts_page())
    formats = {section.format for section in layouts.sections()} - {""}
    assert {"journal", "wal", "wal-index", "ltx", "frame", "database", "position"} <= formats
    assert html.count("<section>") == len(layouts.sections())
    assert html.count("<tr>") == sum(len(section.rows) + 1 for section in layouts.sections())
    assert "@media print" in html
    assert "http:" not in html
    assert "https:" not in html


def test_every_kind_of_field_has_a_colour() -> None:
    kinds = {row.kind for section in layouts.sections() for row in section.rows} - {"field"}
    assert kinds <= handout._COLOURS.keys()


def test_a_lessons_name_stays_inside_of_the_zip(tmp_path: Path) -> None:
    """A recording may come from anywhere and call its lesson anything."""
    evil = replace(recording(), head=replace(recording().head, lesson='../../"x'))
    assert handout.write(tmp_path / "out.zip", [evil])[-1] == "x.html"


def test_two_of_one_lesson_and_a_place_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="two recordings are of the lesson made-up"):
        handout.write(tmp_path / "out.zip", [recording(), recording()])
    with pytest.raises(RecordingError, match="name another file"):
        handout.write(tmp_path / "missing" / "out.zip", [])
