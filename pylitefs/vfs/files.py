"""One node's files as SQLite calls them: every call of its VFS becomes a call of a `Database`.

    Files.open("app.db-journal") --> Database.create_file      file.write(...) --> Database.write
    Files.delete("app.db-journal") --> Database.remove         file.lock(...)  --> FileLocks.lock

The rule: nothing here decides what a transaction is, and nothing here knows apsw. Whoever stands in for
SQLite calls these methods, in one thread or in many. An OSError has the errno that the mount would give.

What a mount leaves to the kernel is done here:
- Cached pages. SQLite reads bytes 24 to 39 of the file to learn whether its pages are old. WAL mode does not
  change them at each commit. So after an apply each connection is told once that they have changed.
- A database in WAL mode on a replica. APSW's VFS has no shared memory, so nobody could read it. Its WAL is
  empty there, and so its bytes are those of a rollback mode: page 1 is shown with these version numbers.
"""

import errno
import logging
import os
from typing import Protocol

from pylitefs.errors import InvalidNameError, PylitefsError
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind, is_super_journal, split_name
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.store import Store
from pylitefs.vfs.locks import Level, LockTable
from pylitefs.vfs.outside import Outside
from pylitefs.vfs.temporary import TemporaryFile

log = logging.getLogger("pylitefs")

VERSIONS = slice(18, 20)
"""Of the file format, in page 1: 2 is WAL mode, 1 a rollback mode."""
COUNTERS = slice(24, 40)
"""What SQLite compares to learn whether its pages are old."""
_ROLLBACK, _WAL = b"\1\1", b"\2\2"
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class File(Protocol):
    """An open file, whichever it is."""

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the file."""

    def write(self, data: bytes, offset: int) -> None: ...
    def truncate(self, size: int) -> None: ...
    def sync(self, datasync: bool) -> None: ...
    def size(self) -> int: ...
    def close(self) -> None: ...


class PlainFile:
    """A super-journal: the list of journals of a transaction over several databases."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.fd, size, offset)

    def write(self, data: bytes, offset: int) -> None:
        os.pwrite(self.fd, data, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def sync(self, datasync: bool) -> None:
        os.fsync(self.fd)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        os.close(self.fd)


class SideFile:
    """A journal or a WAL."""

    def __init__(self, files: "Files", database: Database, kind: FileKind, fd: int) -> None:
        self.files = files
        self.database = database
        self.kind = kind
        self.fd = fd

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self.fd, size, offset)

    def write(self, data: bytes, offset: int) -> None:
        self.files.check()
        if self.kind is FileKind.WAL and offset == 0:
            self.files.locks.of(self.database.name).wait_unpinned()
        self.database.write(self.kind, self.fd, data, offset, self.files.applier)

    def truncate(self, size: int) -> None:
        if self.kind is FileKind.WAL:
            self.files.locks.of(self.database.name).wait_unpinned()
        self.database.truncate(self.kind, size, self.files.applier, self.fd)

    def sync(self, datasync: bool) -> None:
        self.database.sync(self.kind, self.fd, datasync, self.files.applier)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def close(self) -> None:
        self.database.release(self.kind, self.fd, self.files.applier)


class DatabaseFile(SideFile):
    """A database file, with one connection's locks on it."""

    def __init__(self, files: "Files", database: Database, fd: int) -> None:
        super().__init__(files, database, FileKind.DATABASE, fd)
        self.locks = files.locks.of(database.name)
        self.is_exclusive = False
        """Its connection said `PRAGMA locking_mode=EXCLUSIVE`."""
        self._generation = self.locks.generation
        self._given = b""

    def read(self, size: int, offset: int) -> bytes:
        data = os.pread(self.fd, size, offset)
        if offset == COUNTERS.start and size == COUNTERS.stop - COUNTERS.start:
            return self._counters(data)
        if offset == 0 and size >= COUNTERS.stop:
            self._generation = self.locks.generation
            self._given = data[COUNTERS]
            if self.shows_rollback(data):
                data = data[: VERSIONS.start] + _ROLLBACK + data[VERSIONS.stop :]
        return data

    def _counters(self, data: bytes) -> bytes:
        """Bytes 24 to 39, or others than it was given, once after the file was changed from outside."""
        if self._generation != self.locks.generation:
            self._generation = self.locks.generation
            data = bytes(byte ^ 0xFF for byte in self._given or data)
        self._given = data
        return data

    def shows_rollback(self, header: bytes) -> bool:
        """Whether a database in WAL mode is to look like one in a rollback mode."""
        replica = not self.database.state.node.status.is_primary and not self.database.state.is_halted
        return replica and header[VERSIONS] == _WAL and not self.database.wal_watch.live

    def write(self, data: bytes, offset: int) -> None:
        self.files.check()
        if self.database.wal_watch.live:
            self.locks.wait_unpinned()
        self.database.write(self.kind, self.fd, data, offset, self.files.applier)

    def truncate(self, size: int) -> None:
        self.database.truncate(self.kind, size, self.files.applier, self.fd)

    # -- locks --------------------------------------------------------------------------------------------

    def lock(self, level: int) -> bool:
        """Raise the connection's lock; False if another's is in the way."""
        self.files.check()
        if self._has_moved():
            # Beside the new file there may be a journal of its own, which this connection took for its own.
            raise FileNotFoundError(errno.ENOENT, "its database was removed while it was open: open it again")
        wanted = Level(level)
        if wanted == Level.RESERVED and not self.files.applier and not self.database.state.may_write():
            raise OSError(errno.EACCES, "this node is a replica")
        return self.locks.lock(self, wanted)

    def unlock(self, level: int) -> None:
        """Lower it. Who had it exclusively has written: what has no journal is a transaction by now."""
        if self.locks.level(self) > Level.SHARED:
            try:
                self.committed()
            except (PylitefsError, OSError) as error:
                log.error("%s: what was written without a journal is not captured yet: %s", self.name, error)
        self.locks.unlock(self, Level(level))

    def is_reserved(self) -> bool:
        """Whether anyone is going to write, or writes."""
        return self.locks.is_reserved

    def committed(self) -> None:
        """SQLite says that a transaction is complete. In the modes MEMORY and OFF nothing else says so."""
        if not self.files.applier:
            self.database.capture_unjournaled()

    # -- what else SQLite asks ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.database.name

    def _has_moved(self) -> bool:
        """Whether the file has its name no longer: the database was dropped while it was open."""
        return not self.files.applier and not self.database.files.is_live(FileKind.DATABASE, self.fd)

    def close(self) -> None:
        self.unlock(Level.NONE)
        super().close()


class Files:
    """The files of one node's databases. `applier`: whose calls these are."""

    def __init__(self, store: Store, locks: LockTable, outside: Outside, *, applier: bool = False) -> None:
        self.store = store
        self.locks = locks
        self.outside = outside
        self.applier = applier
        self._pid = os.getpid()
        self._closed = False

    def close(self) -> None:
        """The node has ended: what connections still ask for is refused."""
        self._closed = True

    def check(self) -> None:
        """Who asks has a node. The locks are this process's: a child that it forked shares none of them."""
        if self._closed:
            raise OSError(errno.EIO, "its node has ended: connect to a new one")
        if os.getpid() != self._pid:
            why = f"process {self._pid} has this node: a process that it forked needs one of its own"
            raise OSError(errno.EPERM, why)

    def open(self, name: str | None, flags: int) -> File:
        """Open a file, with `os.O_*` flags; without a name a temporary one."""
        if name is None:
            return TemporaryFile()
        self.check()
        if is_super_journal(name):
            path = self.store.super_journal_path(name)
            return PlainFile(os.open(path, flags | getattr(os, "O_CLOEXEC", 0), FILE_MODE))
        database, kind = self._find(name)
        fd = self._open(name, database, kind, flags)
        database = database or self.store.create(name)
        database.files.in_process = True
        if kind is FileKind.DATABASE:
            return DatabaseFile(self, database, fd)
        return SideFile(self, database, kind, fd)

    def open_database(self, name: str) -> DatabaseFile:
        """Open a database file to write it; it is made where it is missing."""
        file = self.open(name, os.O_RDWR | os.O_CREAT)
        assert isinstance(file, DatabaseFile)
        return file

    def _open(self, name: str, database: Database | None, kind: FileKind, flags: int) -> int:
        if database is not None and database.path(kind).exists():
            return database.open_file(kind, flags & (_ACCESS | os.O_EXCL), self.applier)
        if not flags & os.O_CREAT or (database is None and kind is not FileKind.DATABASE):
            raise FileNotFoundError(errno.ENOENT, f"there is no {name} on this node")
        if not self.applier and not self.store.status.may_write() and database is None:
            raise OSError(errno.EACCES, f"there is no {name} on this replica (yet)")
        database = database or self.store.create(name)
        return database.create_file(kind, flags & (_ACCESS | os.O_CREAT | os.O_EXCL), self.applier)

    def delete(self, name: str) -> None:
        """Remove a file; for a journal that is the commit."""
        self.check()
        if is_super_journal(name):
            self.store.remove_super_journal(name)
            return
        database, kind = self._find(name)
        if database is None or not database.path(kind).exists():
            raise FileNotFoundError(errno.ENOENT, f"there is no {name} on this node")
        if kind is FileKind.WAL:
            self.locks.of(database.name).wait_unpinned()
        database.remove(kind, self.applier)

    def exists(self, name: str) -> bool:
        """Whether there is such a file. As for SQLite on a disk, an empty one is none."""
        try:
            if is_super_journal(name):
                return self.store.super_journal_path(name).exists()
            database, kind = self._find(name)
            return database is not None and os.stat(database.path(kind)).st_size > 0
        except (FileNotFoundError, InvalidNameError):
            return False

    def _find(self, name: str) -> tuple[Database | None, FileKind]:
        found, kind = split_name(name)
        self.store.check_served(found)
        return self.store.get(found), kind
