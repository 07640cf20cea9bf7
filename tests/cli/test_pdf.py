"""A recording as a PDF: as many pages as things that Next brings; without a browser a line says why."""

import os
from pathlib import Path

import pytest

from pylitefs.cli import pdf
from pylitefs.errors import PylitefsError
from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import Recording, open_recording
from tests.lecture.sample_run import HEAD


def run_of(*stops: bool, beside: str = "") -> Recording:
    told = [Entry(n, n, "event", "pos.advance", stop=stop) for n, stop in enumerate(stops)]
    if beside:
        told.append(Entry(len(told), 9, "command", beside))
    return Recording(HEAD, tuple(told), {})


def test_a_sheet_is_what_next_brings() -> None:
    """What is expected, or looked at, after a step belongs to it; what a killed lecture left is one more."""
    assert pdf.sheets(run_of(False, True, False, True)) == 2
    assert pdf.sheets(run_of(False, True, beside="expect")) == 1
    assert pdf.sheets(run_of(True, beside="look")) == 1
    assert pdf.sheets(run_of(False, True, False)) == 2
    assert pdf.sheets(run_of(False, False)) == 1
    assert pdf.sheets(run_of()) == 0
    assert pdf.sheets(run_of(*[True] * 400)) == 300


def program(path: Path, script: str) -> str:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_without_a_browser_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pdf, "PROGRAMS", ("no-browser-of-this-name",))
    monkeypatch.delenv(pdf.BROWSER, raising=False)
    with pytest.raises(PylitefsError, match=r"needs Chromium, Chrome or Edge, .* --html and print it"):
        pdf.write_pdf(run_of(True), tmp_path / "out.pdf")
    monkeypatch.setenv(pdf.BROWSER, "mine")
    with pytest.raises(PylitefsError, match="needs mine"):
        pdf.find_browser()


def test_what_a_browser_printed_is_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that ends with nothing, or with too few pages, leaves no file behind."""
    out = tmp_path / "out.pdf"
    one_page = """for one; do case $one in --print-to-pdf=*) f=${one#*=};; esac; done
        echo "/Type /Page /Type /Pages" > "$f" """
    for script, count in (("exit 1", 0), (one_page, 1)):
        monkeypatch.setenv(pdf.BROWSER, program(tmp_path / "browser", script))
        with pytest.raises(PylitefsError, match=f"printed {count} of 2 pages; write a page with --html"):
            pdf.write_pdf(run_of(True, True), out)
        assert not out.exists()
    assert pdf.write_pdf(run_of(True), out) == 1
    assert out.read_bytes().startswith(b"/Type")
    with pytest.raises(PylitefsError, match="name another file with --pdf"):
        pdf.write_pdf(run_of(True), tmp_path / "no" / "out.pdf")
    assert sorted(os.listdir(tmp_path)) == ["browser", "out.pdf"]


@pytest.mark.browser
@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["checksum", "wal"])
def test_a_lesson_is_printed_a_page_a_step(name: str, tmp_path: Path) -> None:
    """By the browser that is there; each page is A4, landscape."""
    found = open_recording(name)
    assert pdf.write_pdf(found, tmp_path / "out.pdf") == sum(one.stop for one in found.entries)
    assert b"/MediaBox [0 0 841." in (tmp_path / "out.pdf").read_bytes()
