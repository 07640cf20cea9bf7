"""One page out of an LTX file, without reading the file.

    newer formats    the index at the file's end is searched by halving: page number, offset, size
    v1, plain        numbers and pages lie in equal steps: halving again; in a snapshot the place is computed
    v1, LZ4          the same steps in blocks of 64 KiB, each of which is decompressed by itself

The rule: what is found has the page number that was asked for, or it is an error. The file's checksum stands
for all of it and is not looked at here: `ltx verify` is for that. The cost goes with the logarithm of the
file's length; only of a compressed file of v1 the length of each block is read once.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from pylitefs.errors import LtxChecksumError, LtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.formats import FRAME_HAS_SIZE, Format, recognise, unpack_block, unpack_frame
from pylitefs.ltx.header import HEADER_SIZE, PAGE_HEADER_SIZE, TRAILER_SIZE, Header
from pylitefs.ltx.lz4_blocks import IrregularError, Lz4Blocks
from pylitefs.ltx.order import last_pgno
from pylitefs.ltx.page_index import SIZE_SIZE, Entry, find_entry, read_entries
from pylitefs.portable import BINARY
from pylitefs.sqlite import ReadAt
from pylitefs.sqlite.locks import lock_pgno

_MOST_OPEN = 64
_T = TypeVar("_T")


class Place(Protocol):
    """Where the pages of one file are."""

    def page(self, pgno: int) -> bytes | None:
        """The page, None if the file has it not."""

    def pgnos(self) -> list[int]:
        """The numbers of all its pages, ascending."""


class Library:
    """LTX files for reading here and there; a few of them are open at a time."""

    def __init__(self, most_open: int = _MOST_OPEN) -> None:
        self._most_open = most_open
        self._lock = threading.Lock()
        self._open: OrderedDict[str, int] = OrderedDict()
        self._files: dict[str, PageFile] = {}
        self.reads = 0
        """How often something was read of a file."""

    def file(self, path: str | Path) -> "PageFile":
        """The file at this path. Raises LtxError if it has no LTX header, OSError."""
        key = str(path)
        if key not in self._files:
            self._files[key] = PageFile(key, partial(self._read, key))
        return self._files[key]

    def close(self) -> None:
        """Close what is open; all can be read again after that."""
        with self._lock:
            while self._open:
                os.close(self._open.popitem()[1])

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, path: str, offset: int, size: int) -> bytes:
        with self._lock:
            fd = self._open.get(path, -1)
            if fd < 0:
                fd = self._open[path] = os.open(path, os.O_RDONLY | BINARY)
                if len(self._open) > self._most_open:
                    os.close(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(path)
            self.reads += 1
            return os.pread(fd, size, offset)


class PageFile:
    """One LTX file, of any format."""

    def __init__(self, path: str, read: ReadAt) -> None:
        """Raises LtxError with the path if it has no LTX header, OSError."""
        self.path = path
        self._read = read
        self.size = os.stat(path).st_size
        try:
            self.header = Header.unpack(read(0, HEADER_SIZE))
            self.header.validate()
        except LtxError as error:
            raise type(error)(f"{path}: {error}") from error
        self._place: Place | None = None

    def page(self, pgno: int) -> bytes | None:
        """The page as the file has it, None if it has none. Raises LtxError with the path."""
        return self._ask(lambda place: place.page(pgno))

    def pgnos(self) -> list[int]:
        """The numbers of all its pages, ascending. Raises LtxError with the path."""
        return self._ask(lambda place: place.pgnos())

    def _ask(self, question: Callable[[Place], _T]) -> _T:
        try:
            if self._place is None:
                self._place = self._find_place()
            return question(self._place)
        except IrregularError:
            self._place = _ReadThrough(self.path)
            return question(self._place)
        except LtxError as error:
            text = str(error)
            raise type(error)(text if self.path in text else f"{self.path}: {text}") from error

    def _find_place(self) -> Place:
        header, read = self.header, self._read
        form = recognise(header, lambda size: read(HEADER_SIZE, size))
        if form is not Format.V1:
            return _Framed(header, form, read, self.size)
        end = self.size - TRAILER_SIZE
        if header.is_compressed:
            blocks = Lz4Blocks(read, HEADER_SIZE, end)
            return _Steps(header, blocks.read, blocks.size)
        return _Steps(header, lambda at, size: read(HEADER_SIZE + at, size), end - HEADER_SIZE)


class _Steps:
    """v1: numbers and pages in equal steps, in bytes that `read` gives decompressed."""

    def __init__(self, header: Header, read: ReadAt, size: int) -> None:
        self._header = header
        self._read = read
        self._unit = PAGE_HEADER_SIZE + header.page_size
        self._count = max(0, (size - PAGE_HEADER_SIZE) // self._unit)

    def page(self, pgno: int) -> bytes | None:
        at = self._find(pgno)
        if at is None:
            return None
        data = self._read(at * self._unit, self._unit)
        if len(data) < self._unit or int.from_bytes(data[:PAGE_HEADER_SIZE], "big") != pgno:
            raise LtxError(f"page {pgno} is not where it should be: the file is damaged")
        return data[PAGE_HEADER_SIZE:]

    def pgnos(self) -> list[int]:
        if self._header.is_snapshot:
            lock = lock_pgno(self._header.page_size)
            return [pgno for pgno in range(1, last_pgno(self._header) + 1) if pgno != lock]
        return [self._pgno(at) for at in range(self._count)]

    def _find(self, pgno: int) -> int | None:
        if self._header.is_snapshot:
            lock = lock_pgno(self._header.page_size)
            is_there = 0 < pgno <= last_pgno(self._header) and pgno != lock
            return pgno - 1 - (pgno > lock) if is_there else None
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._pgno(middle) < pgno:
                low = middle + 1
            else:
                high = middle
        return low if low < self._count and self._pgno(low) == pgno else None

    def _pgno(self, at: int) -> int:
        return int.from_bytes(self._read(at * self._unit, PAGE_HEADER_SIZE), "big")


class _Framed:
    """The newer formats: an index says where each page's frame is."""

    def __init__(self, header: Header, form: Format, read: ReadAt, size: int) -> None:
        self._header = header
        self._form = form
        self._read = read
        end = size - TRAILER_SIZE - SIZE_SIZE
        length = int.from_bytes(read(end, SIZE_SIZE), "big")
        self._start, self._end = end - length, end
        if not HEADER_SIZE + form.page_header_size <= self._start < end:
            raise LtxError("its page index is not where it should be: the file is damaged or torn")

    def page(self, pgno: int) -> bytes | None:
        found = find_entry(self._read, self._start, self._end, pgno)
        return None if found is None else self._frame(found)

    def pgnos(self) -> list[int]:
        data = self._read(self._start, self._end - self._start)
        return [pgno for pgno, _, _ in read_entries(data)]

    def _frame(self, found: Entry) -> bytes:
        data = self._read(found.offset, found.size)
        head = self._form.page_header_size
        if len(data) < found.size or int.from_bytes(data[:4], "big") != found.pgno or found.size <= head + 4:
            raise LtxError(f"page {found.pgno} is not where the index says: the file is damaged")
        try:
            if head > PAGE_HEADER_SIZE and data[5] & FRAME_HAS_SIZE:
                return unpack_block(data[head + 4 :], self._header.page_size)
            return unpack_frame(data[head:], self._header.page_size)[0]
        except LtxChecksumError as error:
            raise LtxChecksumError(f"page {found.pgno}: {error}") from error


class _ReadThrough:
    """A compressed file whose blocks are not as LiteFS makes them: each time it is read from its start."""

    def __init__(self, path: str) -> None:
        self._path = path

    def page(self, pgno: int) -> bytes | None:
        with open_ltx(self._path, any_format=True) as decoder:
            return next((page for number, page in decoder.pages() if number == pgno), None)

    def pgnos(self) -> list[int]:
        with open_ltx(self._path, any_format=True) as decoder:
            return [number for batch in decoder.batches() for number in batch.pgnos]
