"""One database's files on the mount, as the applier has them open: names, header, length, WAL index.

The rules: every name is looked up from a descriptor of the mount's root directory. A path would not do:
after an unmount it leads into the folder underneath. And a `-shm` is used only if its name still leads to
the file that was opened, which is looked at with SHARED on the database: without that lock SQLite may unlink
it. WAL index: https://www.sqlite.org/walformat.html#the_wal_index_file_format
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from pylitefs.errors import ApplierError
from pylitefs.mount.applier.locks import (
    DATABASE_LOCKS,
    DMS,
    PENDING,
    SHARED,
    WAL_LOCKS,
    LockFile,
    Place,
)

DATABASE_HEADER_SIZE = 100
INDEX_HEADERS_SIZE = 96
INDEX_PREFIX_SIZE = 136
INDEX_SIZE = 32768
NAMES_HOLD_S = 1.0


def says_wal(header: bytes) -> bool:
    """Whether page 1 says that the database is in WAL mode: SQLite goes by the read version."""
    return len(header) >= DATABASE_HEADER_SIZE and header[19] == 2


def look_anew(root_fd: int, name: str) -> None:
    """Have the kernel forget that there was no such database: for a second it does not ask again.

    It does ask for what is to be made. A directory is never made here: the name is there, or it is refused.
    """
    for one in (name, f"{name}-pos"):
        with suppress(OSError):
            os.mkdir(one, dir_fd=root_fd)


def pwrite_all(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`."""
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)


class DatabaseFiles:
    """The files of one database, opened when needed; one holder's view of them.

    Not thread-safe: whoever shares one (a replica's database, between transactions) has a mutex.
    """

    def __init__(self, root_fd: int, name: str, *, replica: bool = False) -> None:
        """`replica`: none but the applier changes names here, so they are looked up once a second only."""
        if not name or "/" in name or "\0" in name:
            raise ApplierError(f"{name!r} cannot be a database name: use a plain file name without '/'")
        self.name = name
        self._root_fd = root_fd
        self._replica = replica
        self._looked_up = 0.0
        self._size = 0
        self._wal_size = 0
        self._journal_gone = False
        self.touched = False
        """The transaction that is being written has changed something by now: it must be finished."""
        self._db: LockFile | None = None
        self._shm: LockFile | None = None
        self.joined = False
        """SHARED on the database and DMS on the -shm are held, as by a client in WAL mode."""
        self.usual_gate = 0.0
        """Seconds for which its readers had to be kept out for the newest transaction, and as many again."""

    # Names.

    def size_of(self, suffix: str) -> int:
        """A file's size in bytes, 0 if there is no such name: for SQLite an empty side file is none."""
        try:
            return os.stat(self.name + suffix, dir_fd=self._root_fd).st_size
        except FileNotFoundError:
            return 0

    def unlink(self, suffix: str) -> None:
        """Remove a name through the mount, if it is there."""
        try:
            os.unlink(self.name + suffix, dir_fd=self._root_fd)
        except FileNotFoundError:
            pass

    def open_file(self, suffix: str, flags: int) -> int:
        return os.open(self.name + suffix, flags | os.O_CLOEXEC, 0o644, dir_fd=self._root_fd)

    def _is_named(self, suffix: str, fd: int) -> bool:
        """Whether the name still leads to the open file."""
        try:
            named = os.stat(self.name + suffix, dir_fd=self._root_fd)
        except FileNotFoundError:
            return False
        opened = os.fstat(fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    # The database file.

    @property
    def db(self) -> LockFile:
        if self._db is None:
            raise ApplierError(f"{self.name} is not open")
        return self._db

    def open(self, *, create: bool = False) -> bool:
        """Open the database, again where another file has the name by now; False if it is missing."""
        if self._db is not None and self._is_fresh():
            return True
        if self._db is None or not self._is_named("", self._db.fd):
            self.close()
            try:
                self._db = LockFile(self.open_file("", os.O_RDWR | (os.O_CREAT if create else 0)))
            except FileNotFoundError:
                return False
        if self._shm is not None and not self._is_named("-shm", self._shm.fd):
            self.leave_wal()
        self._size = os.fstat(self._db.fd).st_size
        self._wal_size = self.size_of("-wal")
        self._journal_gone = False
        self._looked_up = time.monotonic()
        return True

    def forget_content(self) -> None:
        """Another file has the database's name: have the kernel drop the pages and the size that it knows."""
        os.close(self.open_file("", os.O_RDWR))  # The node says, once, that no page is to be kept.
        os.utime(self.name, dir_fd=self._root_fd)
        look_anew(self._root_fd, self.name)

    def is_named(self) -> bool:
        """Whether the open database file still has its name."""
        return self._is_named("", self.db.fd)

    def _is_fresh(self) -> bool:
        return self._replica and time.monotonic() - self._looked_up < NAMES_HOLD_S

    def header(self) -> bytes:
        """The first 100 bytes (fewer if the file is shorter)."""
        return os.pread(self.db.fd, DATABASE_HEADER_SIZE, 0)

    def uses_wal(self) -> bool:
        """Whether a client that comes now opens the WAL: SQLite's own rule, a WAL with content or page 1."""
        header = self.header()
        return says_wal(header) or (len(header) > 0 and self.wal_size() > 0)

    def grew_to(self, end: int) -> None:
        """Bytes up to `end` were written."""
        self._size = max(self._size, end)

    def cut_to(self, size: int) -> None:
        """Give the database its length, where it has another."""
        if not self._is_fresh():
            self._size = os.fstat(self.db.fd).st_size
        if self._size != size:
            os.ftruncate(self.db.fd, size)
            self._size = size

    # Side files.

    def wal_size(self) -> int:
        """The WAL's size in bytes, 0 if there is none."""
        if not self._is_fresh():
            self._wal_size = self.size_of("-wal")
        return self._wal_size

    def set_wal(self, content: bytes) -> None:
        """Make the WAL hold `content` alone. All locks are held."""
        fd = self.open_file("-wal", os.O_RDWR | os.O_CREAT)
        try:
            if content:
                pwrite_all(fd, content, 0)
            os.ftruncate(fd, len(content))
        finally:
            os.close(fd)
        self._wal_size = len(content)

    def remove_wal(self) -> None:
        self.unlink("-wal")
        self._wal_size = 0

    def has_hot_journal(self) -> bool:
        """Whether a journal is left that SQLite would roll back, provided that nobody is writing."""
        if self._journal_gone and self._is_fresh():
            return False
        try:
            fd = self.open_file("-journal", os.O_RDONLY)
        except FileNotFoundError:
            self._journal_gone = True
            return False
        try:
            return os.pread(fd, 1, 0) not in (b"", b"\0")  # As SQLite's own test.
        finally:
            os.close(fd)

    def remove_journal(self) -> None:
        """Remove a rollback journal that was left. All locks are held."""
        if not (self._journal_gone and self._is_fresh()):
            self.unlink("-journal")
            self._journal_gone = True

    # The WAL index.

    @property
    def shm(self) -> LockFile:
        if self._shm is None:
            raise ApplierError(f"{self.name}-shm is not open")
        return self._shm

    def join_wal(self) -> bool:
        """Become a WAL client: SHARED on the database, DMS on the -shm. False if another is in the way.

        Who finds itself the first makes the index anew, for what it holds may be from before a crash:
        empty where there is no WAL, and otherwise invalid, so that the first reader builds it.
        """
        if self.joined:
            return True
        if not self.db.try_shared():
            return False
        self._close_shm()
        if self.uses_wal() and self._is_named("", self.db.fd):
            self._shm = LockFile(self.open_file("-shm", os.O_RDWR | os.O_CREAT))
            if self._is_named("-shm", self._shm.fd):
                if self._shm.try_lock(DMS, exclusive=True):
                    self._make_index()
                self.joined = self._shm.try_lock(DMS, exclusive=False)
        if not self.joined:
            self.leave_wal()
        return self.joined

    def adopt_wal(self) -> None:
        """Become a WAL client while holding every lock of a database that goes over to WAL mode."""
        self._close_shm()
        self._shm = LockFile(self.open_file("-shm", os.O_RDWR | os.O_CREAT))
        if not self._shm.try_lock(DMS, exclusive=False):
            raise ApplierError(f"{self.name}-shm is being set up while {self.name} is locked exclusively")
        self.joined = True

    def make_wal(self) -> None:
        """Make an empty WAL, as SQLite's first client does: a replica's cannot (store/replica_wal.py)."""
        os.close(self.open_file("-wal", os.O_RDWR | os.O_CREAT))

    def leave_wal(self, *, keep_reserved: bool = False) -> None:
        """Give up DMS and every lock on the database; RESERVED, where it is held, may be kept."""
        self.joined = False
        self._close_shm()
        if self._db is not None and keep_reserved:
            self._db.unlock(SHARED)
            self._db.unlock(PENDING)
        elif self._db is not None:
            self._db.unlock(DATABASE_LOCKS)

    def has_index(self) -> bool:
        """Whether there is an index. In a rollback mode a replica has one, as LiteFS's has, and no client
        looks there: so it is not written anew for each transaction."""
        self.open_shm()
        return len(self.index_prefix()) == INDEX_PREFIX_SIZE

    def open_shm(self) -> None:
        """Open the -shm without joining."""
        if self._shm is None:
            self._shm = LockFile(self.open_file("-shm", os.O_RDWR | os.O_CREAT))

    def _make_index(self) -> None:
        from pylitefs.sqlite.header import DatabaseHeader
        from pylitefs.sqlite.wal_index import empty_index

        fd = self.shm.fd
        os.ftruncate(fd, 0)
        if self.size_of("-wal") == 0:
            header = DatabaseHeader.parse(self.header())
            pages = header.pages(os.fstat(self.db.fd).st_size)
            pwrite_all(fd, empty_index(header.page_size, pages, header.change_counter + 1), 0)

    def index_prefix(self) -> bytes:
        """Both index headers and the checkpoint info, 136 bytes (fewer if the -shm is shorter)."""
        return os.pread(self.shm.fd, INDEX_PREFIX_SIZE, 0)

    def peek_index(self) -> bytes:
        """The index prefix, read without joining; nothing if there is no -shm."""
        try:
            self._shm = LockFile(self.open_file("-shm", os.O_RDONLY))
        except FileNotFoundError:
            return b""
        return self.index_prefix()

    def index_is_valid(self) -> bool:
        """Whether a reader would take the index header as it is."""
        from pylitefs.sqlite.wal_index import read_header

        return read_header(self.index_prefix()) is not None

    def write_index_headers(self, headers: bytes) -> None:
        """Both copies of the index header, 96 bytes; zeros make every reader take the WRITE lock first."""
        pwrite_all(self.shm.fd, headers, 0)

    def publish_index(self, previous: bytes, page_size: int, page_count: int) -> None:
        """Write the index over an empty WAL: what tells every reader that the database has changed.

        `previous` is the index's prefix before. The change number goes on from there: for a new index from
        the database's change counter, after an invalid one at random, so that no reader remembers the same.
        """
        from dataclasses import replace

        from pylitefs.sqlite.header import DatabaseHeader
        from pylitefs.sqlite.wal_index import WalIndexHeader, empty_prefix, read_header

        old = read_header(previous)
        if old:
            change = old.change + 1
        elif previous:
            change = int.from_bytes(os.urandom(4), "little")
        else:
            change = DatabaseHeader.parse(self.header()).change_counter + 1
        prefix = empty_prefix(page_size, page_count, change)
        if old and (old.salt1 or old.salt2):
            # A writer that goes on from this header takes its salts for the next WAL: not the same again.
            salt1 = (old.salt1 + 1) & 0xFFFFFFFF
            salts = replace(
                WalIndexHeader.parse(prefix), salt1=salt1, salt2=int.from_bytes(os.urandom(4), "little")
            ).pack()
            prefix = salts + salts + prefix[INDEX_HEADERS_SIZE:]
        fd = self.shm.fd
        if len(previous) < INDEX_PREFIX_SIZE:
            os.ftruncate(fd, INDEX_SIZE)
        pwrite_all(fd, prefix, 0)

    # Closing.

    def lock_places(self) -> Iterator[Place]:
        """Where a lock that keeps this holder waiting could lie."""
        file, what = (self._shm, WAL_LOCKS) if self.joined else (self._db, DATABASE_LOCKS)
        if file is not None:
            status = os.fstat(file.fd)
            yield Place(status.st_dev, status.st_ino, what)

    def _close_shm(self) -> None:
        if self._shm is not None:
            self._shm.close()
            self._shm = None

    def close(self) -> None:
        """Close everything, which releases every lock of this holder."""
        self.joined = False
        self._close_shm()
        if self._db is not None:
            self._db.close()
            self._db = None
