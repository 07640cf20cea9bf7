"""A database as it was, out of the LTX files of a plan.

The rule: OUT appears under its name once it is whole and durable, or not at all. The files are read from the
newest to the oldest, and of each page the first that comes is written: it is the newest. So every page is
written once, one file is open at a time, and beside a chunk of it a byte is held for each page.
Where the oldest files are gone, the database as it is now has what no file changed (`Base`).
A page counts as far as no later file cuts the database shorter: what grows over it again must bring its own.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pylitefs.errors import HistoryGoneError, LtxChecksumError, LtxError, RestoreError
from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.database import open_database
from pylitefs.ltx.decoder import Decoder, open_ltx
from pylitefs.ltx.header import HEADER_SIZE, Header, format_txid, parse_filename
from pylitefs.ltx.plan import HistoryFile, count
from pylitefs.sqlite.locks import lock_pgno

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Base:
    """The database as it is now, for the pages that no file has."""

    path: Path
    later: tuple[HistoryFile, ...]
    """The files of what came after the target: what they changed is not in the database as it was."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was written."""

    txid: int
    size: int
    """Bytes."""
    files_read: int


def restore_files(
    files: Sequence[HistoryFile],
    out: Path,
    *,
    base: Base | None = None,
    on_bytes: OnBytes | None = None,
) -> Restored:
    """Write the database that the files (oldest first) lead to. `on_bytes` is told of each run of bytes read.

    Raises RestoreError (`out` is there already; a page is in none of the files), LtxError for a file that is
    not whole, OSError. Then there is no `out`.
    """
    if out.exists():
        raise RestoreError(f"{out} is there already; give a name that is not, or move it away")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "xb", buffering=0) as file:
            restored = write_database(files, file, base, on_bytes)
            os.fsync(file.fileno())
        if out.exists():
            raise RestoreError(f"{out} appeared meanwhile; it was left as it is")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(out.parent)
    return restored


def write_database(
    files: Sequence[HistoryFile],
    file: BinaryIO,
    base: Base | None = None,
    on_bytes: OnBytes | None = None,
) -> Restored:
    """Write the pages into an empty file, and check that none is missing."""
    newest = read_header(files[-1])
    if newest.commit == 0:
        raise RestoreError(
            f"the database was dropped in TXID {format_txid(newest.max_txid)}: nothing is left"
        )
    image = _Image(newest, file)
    file.truncate(newest.commit * newest.page_size)
    read = 0
    for one in reversed(files):
        if image.missing == 0:
            break  # All older pages were replaced.
        read += 1
        with open_ltx(one.path, any_format=True) as decoder:
            image.add(decoder, one, on_bytes)
    if base is not None and image.missing:
        image.add_base(base)
    image.check(base)
    return Restored(newest.max_txid, newest.commit * newest.page_size, read)


def planned_bytes(files: Sequence[HistoryFile]) -> int:
    """About how many bytes of pages will be read, for a progress bar."""
    return sum(_page_bytes(file) for file in files)


def _page_bytes(file: HistoryFile) -> int:
    if file.min_txid > 1:
        return file.size
    header = read_header(file)
    return header.commit * header.page_size


def read_header(file: HistoryFile) -> Header:
    """The file's header; LtxError with its path if it has none, or one of other TXIDs than its name."""
    try:
        with open(file.path, "rb") as raw:
            header = Header.unpack(raw.read(HEADER_SIZE))
        header.validate()
    except LtxError as error:
        raise type(error)(f"{file.path}: {error}") from error
    if parse_filename(header.filename) != (file.min_txid, file.max_txid):
        raise LtxError(f"{file.path} holds TXIDs {header.filename}: it has another file's name")
    return header


class _Image:
    """The database that comes to be."""

    def __init__(self, newest: Header, file: BinaryIO) -> None:
        self._newest = newest
        self._file = file
        self._limit = newest.commit
        """How far the pages of the next older file count."""
        self._has = bytearray(newest.commit + 1)
        self._lock = lock_pgno(newest.page_size)
        self.missing = newest.commit - (newest.commit >= self._lock)
        self._checksum = EMPTY_CHECKSUM
        self._expected = 0

    def add(self, decoder: Decoder, file: HistoryFile, on_bytes: OnBytes | None) -> None:
        """Write what this file has and no newer one had. It is read to its end, and so verified."""
        header = decoder.header
        if parse_filename(header.filename) != (file.min_txid, file.max_txid):
            raise LtxError(f"holds TXIDs {header.filename}: it has another file's name")
        if header.page_size != self._newest.page_size:
            raise LtxError(
                f"has pages of {header.page_size} bytes, and the newest file of {self._newest.page_size}, "
                "but pages of it are still needed"
            )
        self._limit = min(self._limit, header.commit)
        for batch in decoder.batches():
            self._write(batch)
            if on_bytes is not None:
                on_bytes(len(batch.data))
        if header.max_txid == self._newest.max_txid:
            self._expected = decoder.trailer.post_apply_checksum

    def add_base(self, base: Base) -> None:
        """Write the pages that no file changed, of those that come before the target or after it."""
        changed = bytearray(self._newest.commit + 1)
        for file in base.later:
            with open_ltx(file.path) as decoder:
                self._limit = min(self._limit, decoder.header.commit)
                for batch in decoder.batches():
                    for pgno in batch.pgnos:
                        if pgno < len(changed):
                            changed[pgno] = 1
        with open_database(base.path, of_node=True) as database:
            if database.page_size != self._newest.page_size:
                return  # A later file changed the page size, and so every page.
            for pgno, page in database.pages():
                if pgno > self._limit:
                    break
                if not self._has[pgno] and not changed[pgno]:
                    self._has[pgno] = 1
                    self.missing -= 1
                    self._checksum ^= page_checksum(pgno, page)
                    self._flush(pgno, [memoryview(page)])

    def _write(self, batch: Batch) -> None:
        """The pages of a batch that are wanted, neighbours together."""
        has, limit, first = self._has, self._limit, 0
        run: list[memoryview] = []
        checksums = batch.checksums() if self._newest.has_checksums else None
        for at, (pgno, page) in enumerate(batch):
            if pgno > limit or has[pgno]:
                continue
            has[pgno] = 1
            self.missing -= 1
            if checksums is not None:
                self._checksum ^= checksums[at]
            if run and pgno != first + len(run):
                self._flush(first, run)
                run = []
            first = first if run else pgno
            run.append(page)
        if run:
            self._flush(first, run)

    def _flush(self, first: int, pages: list[memoryview]) -> None:
        self._file.seek((first - 1) * self._newest.page_size)
        left = memoryview(b"".join(pages))
        while left:
            left = left[self._file.write(left) :]

    def check(self, base: Base | None) -> None:
        """Raise if a page is missing, or if the pages are not those that the newest file promises."""
        if self.missing:
            pgno = next(
                number
                for number in range(1, self._newest.commit + 1)
                if not self._has[number] and number != self._lock
            )
            pages = count(self.missing, "page")
            if base is not None:
                raise HistoryGoneError(
                    f"page {pgno} as it was after {format_txid(self._newest.max_txid)} is not in the history "
                    f"any more ({pages} in all): later transactions changed it, and the files "
                    "before are gone. Restore a later state"
                )
            raise RestoreError(
                f"a hole: page {pgno} of {self._newest.commit} is in none of the files ({pages} "
                "in all); `pylitefs ltx verify` names the file that left it out"
            )
        found = self._checksum | CHECKSUM_FLAG
        if self._expected and found != self._expected:
            raise LtxChecksumError(
                f"the restored pages have checksum {found:016x}, and after "
                f"{format_txid(self._newest.max_txid)} it was {self._expected:016x}: "
                + ("the database changed meanwhile, try again" if base else "a file is of another history")
            )


def _sync_directory(directory: Path) -> None:
    """Make the new name durable, where directories can be opened for it."""
    if hasattr(os, "O_DIRECTORY"):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
