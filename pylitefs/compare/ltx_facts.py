"""An LTX file as the comparison sees it: every field, each page's place and checksum, and what is wrong.

The rule: a file that no reader would take is still read as far as it goes, so that the report can say
what differs and not only that something does. Format: ltx/header.py.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import lz4.frame

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import verify
from pylitefs.ltx.header import HEADER_SIZE, TRAILER_SIZE, Header, Trailer

_PGNO = struct.Struct(">I")

#: Fields of the header that are compared as they are, and what the report calls them.
FIELDS = {
    "flags": "flags",
    "page_size": "page size",
    "commit": "commit size",
    "wal_offset": "WAL offset",
    "wal_size": "WAL size",
}


@dataclass(frozen=True, slots=True)
class LtxFacts:
    """One LTX file. `pages` is (page number, checksum of its bytes) in the file's order."""

    path: Path
    size: int
    header: Header
    trailer: Trailer
    pages: tuple[tuple[int, int], ...]
    problem: str

    @property
    def salts(self) -> tuple[int, int]:
        return self.header.wal_salt1, self.header.wal_salt2

    def page(self, pgno: int) -> bytes:
        """A page's bytes, read again."""
        data = self.path.read_bytes()
        return next((page for number, page in _pages(self.header, data) if number == pgno), b"")


def read_facts(path: Path) -> LtxFacts:
    """Read a whole LTX file; `problem` is what a reader would object to, or empty.

    Raises LtxError only where there is no header to speak of, OSError if it cannot be read.
    """
    data = path.read_bytes()
    header = Header.unpack(data[:HEADER_SIZE])
    problem = ""
    try:
        verify(io.BytesIO(data).read)
    except LtxError as error:
        problem = str(error)
    pages = tuple((pgno, page_checksum(pgno, page)) for pgno, page in _pages(header, data))
    return LtxFacts(path, len(data), header, Trailer.unpack(data[-TRAILER_SIZE:]), pages, problem)


def _pages(header: Header, data: bytes) -> Iterator[tuple[int, bytes]]:
    block = data[HEADER_SIZE:-TRAILER_SIZE]
    if header.is_compressed:
        try:
            block = lz4.frame.decompress(block)
        except RuntimeError:
            return
    view, at = memoryview(block), 0
    while at + _PGNO.size <= len(view):
        [pgno] = _PGNO.unpack_from(view, at)
        if pgno == 0:
            return
        yield pgno, bytes(view[at + _PGNO.size : at + _PGNO.size + header.page_size])
        at += _PGNO.size + header.page_size


Difference = tuple[str, str, str]
"""(aspect, ours, theirs)"""


def compare(ours: LtxFacts, theirs: LtxFacts, *, salts: bool) -> Iterator[Difference]:
    """Every aspect of two LTX files, equal or not: the caller counts. Times and node ids are not compared."""
    for field, aspect in FIELDS.items():
        yield aspect, str(getattr(ours.header, field)), str(getattr(theirs.header, field))
    if salts:
        yield "WAL salts", _salts(ours), _salts(theirs)
    order = [_first_step_back([pgno for pgno, _ in one.pages]) for one in (ours, theirs)]
    if order[0] == order[1]:  # a reader's objection to the order is no difference of its own
        yield "LTX file is whole", ours.problem or "yes", theirs.problem or "yes"
    yield from _compare_pages(ours, theirs)


def _salts(facts: LtxFacts) -> str:
    return f"{facts.salts[0]:08x} {facts.salts[1]:08x}"


def _compare_pages(ours: LtxFacts, theirs: LtxFacts) -> Iterator[Difference]:
    mine, other = [pgno for pgno, _ in ours.pages], [pgno for pgno, _ in theirs.pages]
    yield "page numbers", _numbers(sorted(mine)), _numbers(sorted(other))
    if sorted(mine) == sorted(other):
        yield "page order", _first_step_back(mine), _first_step_back(other)
    sums, others = dict(ours.pages), dict(theirs.pages)
    differing = [pgno for pgno in sorted(set(sums) & set(others)) if sums[pgno] != others[pgno]]
    if not differing:
        yield "page bytes", "the same", "the same"
        return
    left, right = ours.page(differing[0]), theirs.page(differing[0])
    at = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
    place = f"page {differing[0]} byte {at}" + (f", {len(differing)} pages differ" if differing[1:] else "")
    yield "page bytes", f"{place}: {left[at : at + 4].hex()}", f"{place}: {right[at : at + 4].hex()}"


def _first_step_back(numbers: list[int]) -> str:
    for before, after in pairwise(numbers):
        if after <= before:
            return f"page {after} after page {before}"
    return "ascending"


def _numbers(numbers: list[int]) -> str:
    """`1-3 7` for 1, 2, 3, 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    text = " ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return text if len(text) < 400 else f"{text[:400]}… ({len(numbers)} pages)"
