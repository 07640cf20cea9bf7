"""A database on its way in: kept as it comes, and encoded as the LTX file that it will be.

    the request --> Arrival --> NAME.import.tmp      its bytes
                           `--> NAME.ltx.tmp         its pages, encoded

The rule: this is a guess, made before anything is locked or checked. What was guessed (the page count of its
header, the counters of page 1) is looked at again under the locks; if it was wrong, the bytes are encoded
from the file, as if nothing had been done here. Which transaction it becomes is known last, so the LTX header
is written last. Nothing here is durable, or has a name that counts, before `finish`.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from pylitefs.errors import SqliteFormatError
from pylitefs.ltx.checksum import EMPTY_CHECKSUM, lock_pgno
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header
from pylitefs.ltx.position import Pos
from pylitefs.portable import BINARY, MOVES_OPEN_FILES
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.counters import NO_COUNTERS, Counters, next_counters, with_counters
from pylitefs.store.database import Database
from pylitefs.store.files import WRITTEN_TOGETHER, check_room, start_writing, sync_directory, write_all
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.replacing import replace
from pylitefs.store.state import Captured, NodeFacts
from pylitefs.store.status import now_ms

Progress = Callable[[int], None]
"""progress(bytes so far)"""
CHUNK = 256 << 10


class Source(Protocol):
    """Where the database's bytes come from: a file, or a request."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, about so many; b"" at the end."""


class Arrival:
    """One import's bytes. Use it with `with`: at the end nothing is left of what was not taken over."""

    def __init__(self, name: str, node: NodeFacts, path: Path, database: Database | None) -> None:
        """`path`: where the bytes are kept. `database`: the one of that name, if there is one by now."""
        self.path = path
        self._name = name
        self._node = node
        self._database = database
        self._header: DatabaseHeader | None = None
        self._why_not = f"not a SQLite database: 0 bytes, and its header alone takes {DATABASE_HEADER_SIZE}"
        self._bytes = 0
        self._encoding: _Encoding | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._encoding is not None:
            self._encoding.close()
        self.path.unlink(missing_ok=True)

    def take(self, source: Source, size: int | None = None, progress: Progress | None = None) -> None:
        """All that comes, in constant memory; SqliteFormatError if it is not `size` bytes long."""
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
        try:
            for chunk in _chunks(source):
                if not self._bytes:
                    self._begin(chunk, size)
                write_all(fd, chunk)
                self._bytes += len(chunk)
                if self._encoding is not None:
                    self._encoding.add(chunk)
                if progress:
                    progress(self._bytes)
        finally:
            os.close(fd)
        if size is not None and self._bytes != size:
            raise SqliteFormatError(
                f"only {self._bytes} of {size} bytes arrived: nothing was imported, send it again"
            )
        if self._encoding is not None and not self._encoding.has_all:
            self._encoding.close()
            self._encoding = None

    def _begin(self, head: bytes, size: int | None) -> None:
        """Begin to encode, if it can be known by now what."""
        try:
            header = self._header = DatabaseHeader.parse(head[:DATABASE_HEADER_SIZE])
        except SqliteFormatError as error:
            self._why_not = str(error)  # It is told once all has come.
            return
        count = header.pages(size or 0)
        if count == 0 or self._node.tracer.active or not MOVES_OPEN_FILES:
            return
        # Once for the file, and once for the LTX file.
        check_room(self.path.parent, 2 * count * header.page_size, f"importing {self._name}")
        counters = NO_COUNTERS
        if self._database is not None:
            with self._database.state.lock:
                counters = next_counters(self._database)
        path = self.path.with_name(f"{self.path.name}.ltx.tmp")
        self._encoding = _Encoding(path, _guess(header.page_size, count, self._node.compress), counters)

    def whole(self) -> tuple[int, int]:
        """(page size, page count); SqliteFormatError if it is not a whole database."""
        name, size = self._name, self._bytes
        if self._header is None:
            raise SqliteFormatError(f"cannot import {name}: {self._why_not}")
        page_size, count = self._header.page_size, self._header.pages(size)
        if count == 0 or size < count * page_size:
            raise SqliteFormatError(
                f"cannot import {name}: its header says {count} pages of {page_size} bytes, "
                f"but there are only {size} bytes: make a whole copy with `sqlite3 DB '.backup FILE'`"
            )
        return page_size, count

    def is_encoded(self, counters: Counters | None = None) -> bool:
        """Whether the LTX file is there, and (with `counters`) has these."""
        return self._encoding is not None and counters in (None, self._encoding.counters)

    def finish(self, header: Header, path: Path) -> Captured:
        """Make the LTX file durable at `path`, as the transaction that `header` says."""
        assert self._encoding is not None
        return self._encoding.finish(header, path)

    def move_to(self, database: Database, counters: Counters) -> bool:
        """Make the kept file what the LTX file says, and the database; False if a client has come."""
        page_size, count = self.whole()
        with open(self.path, "r+b", buffering=0) as file:
            os.pwrite(file.fileno(), with_counters(file.read(DATABASE_HEADER_SIZE), counters), 0)
            os.ftruncate(file.fileno(), page_size * count)
        return replace(database, self.path)


def _chunks(source: Source) -> Iterator[bytes]:
    """What comes; the first of them has the header whole, if any has."""
    head = b""
    while len(head) < DATABASE_HEADER_SIZE and (chunk := source.read(CHUNK)):
        head += chunk
    if head:
        yield head
    while chunk := source.read(CHUNK):
        yield chunk


def _guess(page_size: int, count: int, compress: bool) -> Header:
    """An LTX header that lets every page but the lock page follow, and begins no snapshot."""
    return Header(
        flags=FLAG_LZ4 if compress else 0,
        page_size=page_size,
        commit=count,
        min_txid=2,
        max_txid=2,
        timestamp_ms=now_ms(),
        pre_apply_checksum=EMPTY_CHECKSUM,
        node_id=0,
    )


class _Encoding:
    """The LTX file in the making."""

    def __init__(self, path: Path, guess: Header, counters: Counters) -> None:
        self.counters = counters
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
        self._guess = guess
        self._encoder = Encoder(self._write, guess)
        self._lock_pgno = lock_pgno(guess.page_size)
        self._changes = Changes()
        self._next = 1
        self._rest = b""
        self._given = 0

    @property
    def has_all(self) -> bool:
        """Whether every page has come."""
        return self._next > self._guess.commit

    def add(self, chunk: bytes) -> None:
        """The next bytes of the database; past its last page they are nothing."""
        if self.has_all:
            return
        size = self._guess.page_size
        data = self._rest + chunk if self._rest else chunk
        count = min(len(data) // size, self._guess.commit - self._next + 1)
        self._rest = data[count * size :]
        if not count:
            return
        if self._next == 1:
            data = with_counters(data, self.counters)
        stop = self._next + count
        view = memoryview(data)[: count * size]
        if self._next <= self._lock_pgno < stop:
            before = (self._lock_pgno - self._next) * size
            self._encode(self._next, view[:before])
            self._encode(self._lock_pgno + 1, view[before + size :])
        else:
            self._encode(self._next, view)
        self._next = stop

    def _encode(self, first: int, pages: memoryview) -> None:
        if pages:
            pgnos = list(range(first, first + len(pages) // self._guess.page_size))
            self._changes.extend(pgnos, self._encoder.encode_run(pgnos, pages))

    def _write(self, part: bytes) -> None:
        write_all(self._fd, part)
        written = self._encoder.bytes_written
        if written - self._given >= WRITTEN_TOGETHER:
            start_writing(self._fd, self._given, written - self._given)
            self._given = written

    def finish(self, header: Header, path: Path) -> Captured:
        sums = PageChecksums()
        pos = Pos(header.max_txid, sums.preview(self._changes, header.commit))
        head = self._encoder.replace_header(header)
        self._encoder.finish(pos.checksum)
        os.pwrite(self._fd, head, 0)
        os.fdatasync(self._fd)
        os.rename(self._path, path)
        try:
            sync_directory(path.parent)
        except BaseException:
            path.unlink()
            raise
        return Captured(header, pos, sums, self._changes, None)

    def close(self) -> None:
        """What was not finished is not kept."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(FileNotFoundError):
                self._path.unlink()
