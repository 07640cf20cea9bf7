"""What `pylitefs ltx` shows: tables, hex with meanings, progress.

The rule: on a terminal people get rich's tables and bars; in a pipe the same words come as aligned
plain columns, one line a row, however wide, and there is no progress.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pylitefs.errors import PylitefsError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import HEADER_SIZE, PAGE_HEADER_SIZE, Header
from pylitefs.ltx.parts import Part, file_parts

OnPage = Callable[[int, bytes], None]

PROGRESS_FROM = 32 * 1024 * 1024
"""Bytes of work below which a progress bar would only flicker."""
_PROGRESS_STEP = 1024 * 1024


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under their column names: a rich table where it fits the terminal, else plain columns."""
    console = Console()
    widths = [max(map(len, column)) for column in zip_longest(columns, *rows, fillvalue="")]
    if console.is_terminal and sum(widths) + 3 * len(widths) + 1 <= console.width:
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(Text, row))  # Text, for a path may hold what looks like markup.
        console.print(table)
        return
    for row in (columns, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def page_ranges(pgnos: Sequence[int]) -> str:
    """Ascending page numbers with runs written as ranges: 1-3, 7."""
    runs: list[list[int]] = []
    for pgno in pgnos:
        if runs and pgno == runs[-1][1] + 1:
            runs[-1][1] = pgno
        else:
            runs.append([pgno, pgno])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def print_hex(file: Path) -> None:
    """Every byte of an LTX file with its meaning; of a compressed one also its pages, decompressed."""
    with open(file, "rb") as source:
        header = Header.unpack(source.read(HEADER_SIZE))
        source.seek(0)
        for part in file_parts(source.read):
            _print_part(part)
    if header.is_compressed:
        click.echo("\nThe page block, decompressed (offsets count from its start):")
        offset = 0
        with open_ltx(file, any_format=True) as decoder:
            for pgno, page in decoder.pages():
                _print_part(Part(offset, pgno.to_bytes(4, "big"), "page number", str(pgno)))
                offset += PAGE_HEADER_SIZE
                _print_part(Part(offset, page, f"page {pgno}", is_content=True))
                offset += len(page)
        _print_part(Part(offset, bytes(PAGE_HEADER_SIZE), "page number", "0: end of the pages"))


def _print_part(part: Part) -> None:
    if part.is_content:
        click.echo(f"{part.offset:08x}  -- {part.name} --")
    before, repeats = b"", False
    for start in range(0, len(part.data), 16):
        row = part.data[start : start + 16]
        if part.is_content and row == before and start + 16 < len(part.data):
            if not repeats:
                click.echo("*")
            repeats = True
            continue
        before, repeats = row, False
        note = _ascii(row) if part.is_content else f"{part.name}: {part.meaning}".rstrip(": ") * (start == 0)
        click.echo(f"{part.offset + start:08x}  {row.hex(' '):<47}  {note}".rstrip())


def _ascii(row: bytes) -> str:
    return "|" + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row) + "|"


@contextmanager
def file_progress(files: Sequence[Path]) -> Iterator[OnPage]:
    """A progress bar on stderr over the pages of these files; call what it gives with each page.

    Nothing is shown in a pipe, or for little work.
    """
    total = sum(map(_page_bytes, files))
    console = Console(stderr=True)
    if not console.is_terminal or total < PROGRESS_FROM:
        yield lambda pgno, page: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    # Lines printed meanwhile go above the bar, but only where stdout is that terminal too.
    above = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=above) as progress:
        task = progress.add_task("reading", total=total)
        waiting = 0

        def on_page(pgno: int, page: bytes) -> None:
            nonlocal waiting
            waiting += len(page)
            if waiting >= _PROGRESS_STEP:
                progress.advance(task, waiting)
                waiting = 0

        yield on_page


@contextmanager
def bytes_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; call what it gives with how many bytes were done since.

    Nothing is shown in a pipe, or for little work.
    """
    console = Console(stderr=True)
    if not console.is_terminal or total < PROGRESS_FROM:
        yield lambda count: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def one_line(file: Path) -> Iterator[None]:
    """Turn what goes wrong with `file` into one line on stderr and exit 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # Nothing is wrong with the file: nobody reads what is said of it (`… | head`).
    except (PylitefsError, OSError) as error:
        click.echo(error_text(file, error), err=True)
        raise click.exceptions.Exit(1) from error


def error_text(file: Path, error: Exception) -> str:
    """One line that names the file."""
    if isinstance(error, OSError):
        return f"{error.filename or file}: {error.strerror or error}"
    text = str(error).replace("\n", " ")
    return text if str(file) in text else f"{file}: {text}"


def _page_bytes(file: Path) -> int:
    """About how many bytes of pages a database or an LTX file holds; 0 if nobody can tell."""
    try:
        with open(file, "rb") as source:
            header = Header.unpack(source.read(HEADER_SIZE))
        if header.is_compressed and header.is_snapshot:
            return header.commit * header.page_size
        return file.stat().st_size
    except PylitefsError:
        return file.stat().st_size
    except OSError:
        return 0
