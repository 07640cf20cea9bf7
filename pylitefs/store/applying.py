"""What the store asks of whoever changes a mounted database: the applier, in the store's own words.

`node.py` hands in the real one (mount/applier/). `DirectApplier` writes the data files themselves; it
is for a store that is not mounted, as in tests and offline tools. The rule: nobody here holds a
database's state lock while waiting for SQLite's locks.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.short import ShortTransaction
from pylitefs.portable import BINARY
from pylitefs.store.files import pwrite_all
from pylitefs.store.names import FileKind, database_dir
from pylitefs.store.privacy import FILE_MODE

LOCK_S = 20.0
"""SQLite's locks are waited for so long where nothing else is said."""


class KnownWal(NamedTuple):
    """What of a WAL counts, whatever its checksums say: so many frames, if its header has these salts.

    SQLite's readers go by the index. They see frames that SQLite 3.40 has left without checksums
    (wal_tracker.py), and they do not see a commit whose writer was killed before it published it.
    """

    salt1: int
    salt2: int
    frames: int


class WriteLock(Protocol):
    """All of SQLite's write locks on one database, held."""

    index: bytes
    """The head of the WAL index as it was when they were had; b"" where there is none. (While they are held,
    its headers may be zeros, to keep readers out.)"""

    @property
    def may_adopt(self) -> bool:
        """Whether the locks stay where they are if another file gets the database's name."""

    def apply(self, ltx_path: Path, *, verified: bool = False) -> None:
        """Write an LTX file's pages through the mount; a WAL and a journal are emptied."""

    def adopt(self, ltx_path: Path) -> None:
        """The database's name leads to another file, which has all that the LTX file says: have the kernel
        forget the file before it, and do what `apply` does but for the pages."""


class HaltLock(Protocol):
    """SQLite's writer's lock on a database of the primary, held for a replica."""

    def apply(
        self, ltx_path: Path, *, timeout: float, verified: bool = False, known: KnownWal | None = None
    ) -> None:
        """Write the replica's transaction; the writer's lock stays. BusyError, with nothing changed, if
        readers are in the way for longer than `timeout`. `known`: as `Applier.apply`."""


class Applier(Protocol):
    """Takes SQLite's locks on the mount, from outside, and writes as SQLite does. All calls block."""

    def apply(
        self,
        database: str,
        ltx_path: Path,
        *,
        more: Sequence[Path] = (),
        verified: bool = False,
        timeout: float | None = None,
        at_hand: ShortTransaction | None = None,
        meanwhile: Callable[[], None] | None = None,
        known: KnownWal | None = None,
    ) -> None:
        """Lock, write the LTX file's pages, cut to its commit (0: unlink all), publish, unlock.

        `more` are the files that continue it: written at once, of each page the newest. `at_hand` is what all
        of them say, so that none has to be read. `meanwhile()` is called while pages are written,
        perhaps more than once.
        `verified` says that the file was read to its end before, so a large one need not be again. BusyError
        if the locks cannot be had within `timeout` seconds; nothing is written then.
        A WAL that is there is copied into the database first: what of it is `known` to count, or, of one that
        the node does not know, what its checksums tell.
        """

    def appeared(self, database: str) -> None:
        """A database file has come into being by itself: have the mount show it at once, and in WAL mode be
        its first client, as after `apply`. Nothing is lost where that fails: it is like one that is idle."""

    def release(self, database: str | None = None) -> None:
        """Close what `apply` keeps open for the next time; of every database without a name."""

    def write_lock(self, database: str, timeout: float = LOCK_S) -> AbstractContextManager[WriteLock]:
        """All write locks, for an import."""

    def shows(self, database: str, generation: int, salts: tuple[int, int], frame: int) -> bool | None:
        """Whether the WAL index shows SQLite's readers a frame of the WAL with these salts (it may wait for a
        moment); None if it is another WAL's. `generation`: which `-shm` of the database is meant.
        ApplierError where that cannot be told now: SQLite is making the index anew."""

    def watch_writers(self, database: str) -> AbstractContextManager[Callable[[], bool]]:
        """A function that tells, without a lock, whether someone holds the database file to write it."""

    def read_lock(self, database: str, wal: bool, timeout: float = LOCK_S) -> AbstractContextManager[None]:
        """A reader's locks; in WAL mode also against checkpoints and a restart of the WAL."""

    def writer_lock(self, database: str, timeout: float = LOCK_S) -> AbstractContextManager[None]:
        """A writer's lock: nobody is in the middle of a write transaction, and readers notice nothing."""

    def halt_lock(self, database: str, timeout: float) -> AbstractContextManager[HaltLock]:
        """A writer's lock that is kept while transactions are applied with it."""

    def wal_index(self, database: str) -> bytes:
        """The head of the WAL index as clients see it; b"" if there is none."""

    def hold(self, database: str) -> None:
        """This node follows the database now: be a client of its WAL, if it has one."""

    def rollback_hot_journal(self, database: str) -> None:
        """Have SQLite itself open and read the database, which rolls a hot journal back."""

    def unlink(self, database: str) -> None:
        """Remove a database file, or a journal, that is in no transaction, through the mount."""


class DirectApplier:
    """Applies to the data files themselves. Only for a store without a mount: it takes no locks."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def apply(
        self,
        database: str,
        ltx_path: Path,
        *,
        more: Sequence[Path] = (),
        verified: bool = False,
        timeout: float | None = None,
        at_hand: ShortTransaction | None = None,
        meanwhile: Callable[[], None] | None = None,
        known: KnownWal | None = None,
    ) -> None:
        for path in (ltx_path, *more):
            self._apply(database, path)
        if meanwhile is not None:
            meanwhile()

    def _apply(self, database: str, ltx_path: Path) -> None:
        directory = self.remove_side_files(database)
        target = directory / FileKind.DATABASE.value
        with open_ltx(ltx_path) as decoder:
            header = decoder.header
            if header.commit == 0:
                target.unlink(missing_ok=True)
                return
            fd = os.open(target, os.O_RDWR | os.O_CREAT | BINARY, FILE_MODE)
            try:
                for pgno, page in decoder.pages():
                    pwrite_all(fd, page, (pgno - 1) * header.page_size)
                os.ftruncate(fd, header.commit * header.page_size)
            finally:
                os.close(fd)

    def remove_side_files(self, database: str) -> Path:
        """What SQLite keeps beside a database goes; its directory."""
        directory = database_dir(self.data_dir, database)
        for kind in (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM):
            (directory / kind.value).unlink(missing_ok=True)
        return directory

    @contextmanager
    def write_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[WriteLock]:
        yield _DirectWriteLock(self, database)

    def shows(self, database: str, generation: int, salts: tuple[int, int], frame: int) -> bool | None:
        return True

    @contextmanager
    def watch_writers(self, database: str) -> Iterator[Callable[[], bool]]:
        yield lambda: False

    @contextmanager
    def read_lock(self, database: str, wal: bool, timeout: float = LOCK_S) -> Iterator[None]:
        yield

    def appeared(self, database: str) -> None:
        """Nobody keeps names in mind."""

    @contextmanager
    def writer_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[None]:
        yield

    @contextmanager
    def halt_lock(self, database: str, timeout: float) -> Iterator[HaltLock]:
        yield _DirectHaltLock(self, database)

    def wal_index(self, database: str) -> bytes:
        return b""

    def hold(self, database: str) -> None:
        """Without a mount there are no other clients."""

    def release(self, database: str | None = None) -> None:
        """Nothing is kept open."""

    def rollback_hot_journal(self, database: str) -> None:
        """Without a mount there is no client that could have left one."""

    def unlink(self, database: str) -> None:
        (database_dir(self.data_dir, database) / FileKind.DATABASE.value).unlink(missing_ok=True)


class _DirectHaltLock:
    def __init__(self, applier: DirectApplier, database: str) -> None:
        self._applier = applier
        self._database = database

    def apply(
        self, ltx_path: Path, *, timeout: float, verified: bool = False, known: KnownWal | None = None
    ) -> None:
        self._applier.apply(self._database, ltx_path, known=known)


class _DirectWriteLock:
    may_adopt = True

    def __init__(self, applier: DirectApplier, database: str) -> None:
        self.index = b""
        self._applier = applier
        self._database = database

    def apply(self, ltx_path: Path, *, verified: bool = False) -> None:
        self._applier.apply(self._database, ltx_path)

    def adopt(self, ltx_path: Path) -> None:
        self._applier.remove_side_files(self._database)
