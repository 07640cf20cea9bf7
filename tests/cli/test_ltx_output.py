"""Tables, hex and progress of `pylitefs ltx`: for a person at a terminal, or for a pipe."""

from pathlib import Path

import pytest
from rich.console import Console

from pylitefs.cli import ltx_output
from pylitefs.cli.ltx_output import file_progress, one_line, page_ranges, print_hex, print_table
from tests.ltx.samples import make_file

Output = pytest.CaptureFixture[str]
ROWS = [["a.db", "1"], ["a [bold] name that is long", "20"]]


def test_page_numbers_are_shown_as_ranges() -> None:
    assert page_ranges([]) == ""
    assert page_ranges([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"


def test_in_a_pipe_a_table_is_aligned_columns_however_wide(capsys: Output) -> None:
    print_table(["name", "pages"], ROWS)
    assert capsys.readouterr().out == (
        "name                        pages\na.db                        1\na [bold] name that is long  20\n"
    )
    print_table(["name"], [])
    assert capsys.readouterr().out == "name\n"


@pytest.mark.parametrize(("width", "framed"), [(80, True), (20, False)])
def test_on_a_terminal_a_table_has_a_frame_where_it_fits(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, width: int, framed: bool
) -> None:
    monkeypatch.setattr(ltx_output, "Console", lambda: Console(force_terminal=True, width=width))
    print_table(["name", "pages"], ROWS)
    text = capsys.readouterr().out
    assert ("┃" in text) == framed and "a [bold] name that is long" in text


@pytest.mark.parametrize("compress", [True, False])
def test_every_byte_of_a_file_is_in_its_hex(tmp_path: Path, capsys: Output, compress: bool) -> None:
    path = tmp_path / "1.ltx"
    path.write_bytes(make_file(compress=compress))
    print_hex(path)
    text, _, unpacked = capsys.readouterr().out.partition("The page block, decompressed")
    assert text.startswith("00000000  4c 54 58 31                                      magic: LTX1\n")
    assert bool(unpacked) == compress and "-- page 3 --" in (unpacked or text)
    found, star = bytearray(), False
    for line in text.splitlines():
        if line == "*":
            star = True
        elif line[:1].isdigit() or (line[:1] in "abcdef" and "  " in line):
            at, row = int(line[:8], 16), line[10:57]
            if star:
                found = found.ljust(at, b"\0")
            star = False
            if not line[10:].startswith("--"):
                assert at == len(found)
                found += bytes.fromhex(row)
    assert bytes(found) == path.read_bytes()


def test_progress_is_for_a_terminal_and_much_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    path = tmp_path / "1.ltx"
    path.write_bytes(make_file())
    monkeypatch.setattr(ltx_output, "PROGRESS_FROM", 1)
    with file_progress([path, tmp_path / "none"]) as on_page:
        on_page(1, bytes(512))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ltx_output, "Console", lambda stderr: Console(stderr=stderr, force_terminal=True))
    with file_progress([path]) as on_page:
        on_page(1, bytes(512))
    assert "reading" in capsys.readouterr().err
    monkeypatch.setattr(ltx_output, "PROGRESS_FROM", 1 << 20)
    with file_progress([path]) as on_page:
        on_page(1, bytes(512))
    assert capsys.readouterr().err == ""


def test_nobody_who_reads_is_nothing_wrong_with_the_file() -> None:
    """`pylitefs ltx list FILE | head`: the command line's own place for that ends it without a word."""
    with pytest.raises(BrokenPipeError), one_line(Path("a.ltx")):
        raise BrokenPipeError
