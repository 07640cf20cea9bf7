"""A database file as a row of pages: its checksum, and its snapshot as an LTX file.

For the command line, on databases that nobody writes; a mounted one is the store's affair. The rule:
what counts is what SQLite would read, so the committed frames of a WAL lie over the file, and a hot
journal is an error rather than a wrong answer.
"""

import contextlib
import os
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pylitefs.errors import BusyError, SqliteFormatError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header, Trailer
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE, is_journal_header_valid
from pylitefs.sqlite.locks import PENDING_BYTE, SHARED_FIRST, SHARED_SIZE, lock_pgno
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    WAL_HEADER_SIZE,
    CommittedWal,
    WalHeader,
    committed,
    frame_offset,
    scan,
)

READ_AHEAD = 256 * 1024
OnPage = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class DatabaseFile:
    """An open database and the WAL over it."""

    path: Path
    page_size: int
    """0 for a file without bytes."""
    page_count: int
    wal_frames: dict[int, int] = field(repr=False)
    """The index of the WAL frame that holds a page's newest bytes, where there is one."""
    _fd: int = field(repr=False)
    _wal_fd: int = field(repr=False)

    def page(self, pgno: int) -> bytes:
        """One page. Raises SqliteFormatError if the file ends before it does."""
        size, fd, offset = self.page_size, self._fd, (pgno - 1) * self.page_size
        if pgno in self.wal_frames:
            fd, offset = self._wal_fd, frame_offset(self.wal_frames[pgno], size) + FRAME_HEADER_SIZE
        page = os.pread(fd, size, offset)
        if len(page) < size:
            raise SqliteFormatError(f"{self.path} ends before page {pgno}: the file was cut short")
        return page

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Page number and bytes of every page, ascending, without the lock page.

        Raises SqliteFormatError if the file ends before its last page.
        """
        size, skip = self.page_size, lock_pgno(self.page_size or 1)
        batch = max(1, READ_AHEAD // (size or 1))
        for first in range(1, self.page_count + 1, batch):
            block = os.pread(self._fd, batch * size, (first - 1) * size)
            for pgno in range(first, min(first + batch, self.page_count + 1)):
                if pgno == skip:
                    continue
                if pgno in self.wal_frames:
                    offset = frame_offset(self.wal_frames[pgno], size) + FRAME_HEADER_SIZE
                    page = os.pread(self._wal_fd, size, offset)
                else:
                    page = block[(pgno - first) * size : (pgno - first + 1) * size]
                if len(page) < size:
                    raise SqliteFormatError(
                        f"{self.path} ends within page {pgno} of {self.page_count}: the file was cut short"
                    )
                yield pgno, page


@contextmanager
def open_database(
    path: str | os.PathLike[str], *, locked: bool = False, of_node: bool = False
) -> Iterator[DatabaseFile]:
    """Open a database for reading under SQLite's SHARED lock (unless `locked`: the caller holds one).

    `of_node` says that it is `database` in a node's directory, where WAL and journal are `wal` and `journal`.
    A running node's may change meanwhile: who reads it so has to compare its checksum.
    Raises SqliteFormatError (not a database, or a hot journal beside it), BusyError (a writer is at work,
    or was meanwhile), OSError.
    """
    path = Path(os.path.realpath(path))  # SQLite looks for journal and WAL beside the real file too.
    with contextlib.ExitStack() as stack:
        fd = _open(stack, path)
        if not locked:
            lock_database(fd, path, exclusive=False)
        if of_node:
            _refuse_node_s_journal(path)
        else:
            refuse_hot_journal(path)
        before = os.fstat(fd)
        wal_fd, wal = _open_wal(stack, path.with_name("wal") if of_node else Path(f"{path}-wal"))
        page_size, page_count = _size(fd, path, wal)
        frames = wal[1].frames if wal else {}
        yield DatabaseFile(path, page_size, page_count, frames, fd, wal_fd)
        after = os.fstat(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BusyError(f"{path} was written while it was read; stop its writers and try again")


def checksum_pages(pages: Iterable[tuple[int, Buffer]]) -> int:
    """The database checksum of these pages: the XOR of theirs."""
    checksum = 0
    for pgno, page in pages:
        checksum ^= page_checksum(pgno, page)
    return checksum | CHECKSUM_FLAG


def database_checksum(
    source: str | os.PathLike[str] | IO[bytes], page_size: int = 0, on_page: OnPage | None = None
) -> int:
    """The checksum of a database.

    A path is opened as SQLite would see it, with its WAL, and gives its own page size. A file object is
    read as it stands, in pages of `page_size` bytes to its end. Raises as `open_database` does.
    """
    if isinstance(source, str | os.PathLike):
        with open_database(source) as database:
            return checksum_pages(_watched(database.pages(), on_page))
    return checksum_pages(_watched(_plain_pages(source, page_size), on_page))


def encode_database(
    db_path: str | os.PathLike[str],
    out_path: str | os.PathLike[str],
    *,
    txid: int = 1,
    compress: bool = True,
    node_id: int = 0,
    timestamp_ms: int | None = None,
    on_page: OnPage | None = None,
) -> Trailer:
    """Write a snapshot LTX file (TXIDs 1 to `txid`) of a database; `out_path` appears once it is whole.

    Raises as `open_database` does, and SqliteFormatError for a database without pages.
    """
    out = Path(out_path)
    temporary = out.with_name(f"{out.name}.{os.getpid()}.tmp")
    try:
        with open_database(db_path) as database, open(temporary, "xb") as file:
            if database.page_count == 0:
                raise SqliteFormatError(f"{db_path} is empty: there are no pages to encode")
            header = Header(
                flags=FLAG_LZ4 if compress else 0,
                page_size=database.page_size,
                commit=database.page_count,
                min_txid=1,
                max_txid=txid,
                timestamp_ms=time.time_ns() // 1_000_000 if timestamp_ms is None else timestamp_ms,
                node_id=node_id,
            )
            encoder, checksum = Encoder(file.write, header), EMPTY_CHECKSUM
            for pgno, page in _watched(database.pages(), on_page):
                encoder.encode_page(pgno, page)
                checksum ^= page_checksum(pgno, page)
            trailer = encoder.finish(checksum | CHECKSUM_FLAG)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return trailer


def lock_database(fd: int, path: Path, *, exclusive: bool) -> None:
    """Take SQLite's SHARED lock (or, exclusively, all of its locks) until `fd` is closed; else BusyError."""
    import fcntl  # Here and below: the module is imported on systems that have no such thing.

    if exclusive:
        wanted = [(fcntl.F_WRLCK, PENDING_BYTE, SHARED_FIRST + SHARED_SIZE - PENDING_BYTE)]
    else:
        wanted = [(fcntl.F_RDLCK, PENDING_BYTE, 1), (fcntl.F_RDLCK, SHARED_FIRST, SHARED_SIZE)]
    try:
        for kind, start, length in wanted:
            _set_lock(fd, kind, start, length)
    except BlockingIOError:
        users = "used" if exclusive else "written"
        raise BusyError(f"{path} is being {users} by another process; end that one first") from None
    if not exclusive:
        _set_lock(fd, fcntl.F_UNLCK, PENDING_BYTE, 1)


def refuse_hot_journal(path: Path) -> None:
    """Raise SqliteFormatError if a journal beside the database waits to be rolled back."""
    if _is_hot(Path(f"{path}-journal")):
        raise SqliteFormatError(
            f"{path} has a hot journal: its last transaction was cut short. "
            f'Have SQLite roll it back first: sqlite3 {path} "SELECT count(*) FROM sqlite_schema"'
        )


def _refuse_node_s_journal(path: Path) -> None:
    if _is_hot(path.with_name("journal")):
        raise BusyError(
            f"{path} is within a transaction, or one was cut short: try again, or start its node, which "
            "rolls back"
        )


def _is_hot(journal: Path) -> bool:
    try:
        with open(journal, "rb") as file:
            return is_journal_header_valid(file.read(JOURNAL_HEADER_SIZE))
    except FileNotFoundError:
        return False


def read_wal(path: Path) -> tuple[WalHeader, CommittedWal] | None:
    """What is committed in the WAL beside a database; None without a WAL, or one without a commit."""
    with contextlib.ExitStack() as stack:
        return _open_wal(stack, Path(f"{path}-wal"))[1]


def _set_lock(fd: int, kind: int, start: int, length: int) -> None:
    import fcntl

    # struct flock on 64-bit Linux: l_type, l_whence, padding, l_start, l_len, l_pid (0 for OFD locks).
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("hhxxxxqqixxxx", kind, os.SEEK_SET, start, length, 0))


def _open(stack: contextlib.ExitStack, path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, fd)
    return fd


def _open_wal(stack: contextlib.ExitStack, path: Path) -> tuple[int, tuple[WalHeader, CommittedWal] | None]:
    try:
        fd = _open(stack, path)
    except FileNotFoundError:
        return -1, None
    try:
        header = WalHeader.parse(os.pread(fd, WAL_HEADER_SIZE, 0))
    except SqliteFormatError:
        return -1, None  # SQLite ignores such a WAL too.
    frames = scan(lambda offset, size: os.pread(fd, size, offset), os.fstat(fd).st_size, header)
    state = committed(frames, header)
    return (fd, (header, state)) if state.last_index else (-1, None)


def _size(fd: int, path: Path, wal: tuple[WalHeader, CommittedWal] | None) -> tuple[int, int]:
    """Page size and page count."""
    if wal is not None:
        return wal[0].page_size, wal[1].commit
    file_size = os.fstat(fd).st_size
    if file_size == 0:
        return 0, 0
    try:
        header = DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0))
    except SqliteFormatError as error:
        raise SqliteFormatError(f"{path}: {error}") from error
    return header.page_size, header.pages(file_size)


def _plain_pages(file: IO[bytes], page_size: int) -> Iterator[tuple[int, bytes]]:
    skip, pgno = lock_pgno(page_size), 0
    while page := file.read(page_size):
        pgno += 1
        if len(page) < page_size:
            raise SqliteFormatError(f"the database ends within page {pgno}: {len(page)} of {page_size} bytes")
        if pgno != skip:
            yield pgno, page


def _watched(pages: Iterator[tuple[int, bytes]], on_page: OnPage | None) -> Iterator[tuple[int, bytes]]:
    for pgno, page in pages:
        if on_page is not None:
            on_page(pgno, page)
        yield pgno, page
