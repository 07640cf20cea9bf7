"""Whoever changes a database that connections of this process have open: under the locks they all go by.

    lock EXCLUSIVE --> the LTX file's pages, its length, no side files --> unlock: all connections look anew

The rule is the mount's applier's: a transaction that was not begun has not happened, and one that was begun
is finished. But here it needs no process of its own, since no call waits for the kernel: each call runs in
its caller's thread.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import ApplierError, BusyError, UntouchedError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header
from pylitefs.ltx.short import ShortTransaction
from pylitefs.store.applying import LOCK_S, KnownWal
from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.names import FileKind, split_name
from pylitefs.vfs.files import Files
from pylitefs.vfs.locks import FileLocks, Level

log = logging.getLogger("pylitefs")

TELL_S = 1.0
"""Who has waited so long for readers says so in the log."""
AGAIN_S = 1.0
_RUN = 256 << 10
_SIDES = (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM)

Connect = Callable[[str], None]
"""connect(database) has SQLite open the database, as the applier, and read it: that rolls a journal back."""


class VfsApplier:
    """`store.applying.Applier` over `Files` that are the applier's (`applier=True`). Any thread may call."""

    def __init__(self, files: Files, have_sqlite_read: Connect) -> None:
        self._files = files
        self._have_sqlite_read = have_sqlite_read
        self._stopped = False

    # -- locks --------------------------------------------------------------------------------------------

    def _database(self, name: str) -> Database:
        return self._files.store.create(name)

    @contextmanager
    def _locked(self, name: str, level: Level, timeout: float | None) -> Iterator[FileLocks]:
        """A lock on the file that has the database's name. BusyError if it cannot be had in time."""
        holder = object()
        while True:
            locks = self._files.locks.of(name)
            self._take(locks, holder, name, level, timeout)
            if locks is self._files.locks.of(name):
                break
            locks.unlock(holder)  # Another file has the name by now.
        try:
            yield locks
        finally:
            if level == Level.EXCLUSIVE:
                locks.end_apply(holder)
            else:
                locks.unlock(holder)

    def _take(self, locks: FileLocks, holder: object, name: str, level: Level, timeout: float | None) -> None:
        first = TELL_S if timeout is None else min(TELL_S, timeout)
        if locks.wait_for(holder, level, first):
            return
        if timeout is None or timeout > first:
            log.warning(
                "%s: the applier has been waiting for %.0f s: connections read or write it", name, first
            )
            if locks.wait_for(holder, level, None if timeout is None else timeout - first):
                return
        raise BusyError(
            f"locked: a connection of this process reads or writes {name} (waited {timeout or 0:.1f} s)"
        )

    # -- a replica's transactions ---------------------------------------------------------------------------

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
        """Write one LTX file, or several that continue each other, once no connection reads any more.

        What is `at_hand` is read from the files all the same: that is quick without another process. And of a
        WAL all is known here.
        """
        paths = (ltx_path, *more)
        if meanwhile is not None:
            meanwhile()
        self.doubt(paths, verified)
        with self._locked(database, Level.EXCLUSIVE, timeout):
            self.write(self._database(database), paths)

    def doubt(self, paths: Sequence[Path], verified: bool) -> None:
        """Read the files to their ends before anything is changed."""
        for path in () if verified else paths:
            with open_ltx(path) as decoder:
                for _ in decoder.batches():
                    pass

    def write(self, database: Database, paths: Sequence[Path]) -> None:
        """The lock is held. What was begun is finished: with half of it written nobody is let in, however
        long that takes. UntouchedError, with nothing changed, if the first page cannot be written."""
        progress = _Progress()
        while True:
            try:
                for path in paths:
                    self._write(database, path, progress)
            except OSError as error:
                if not progress.touched:
                    raise UntouchedError(f"{database.name}: {error}: nothing is changed") from error
                if not database.state.node.disk.note(error):
                    log.error(
                        "%s: half of a transaction is written, the rest will be: %s", database.name, error
                    )
                self._files.outside.sleep(AGAIN_S)
                if self._stopped:
                    raise ApplierError(f"this node ends: its next start finishes {database.name}") from error
            else:
                return

    def _write(self, database: Database, path: Path, progress: "_Progress") -> None:
        with open_ltx(path) as decoder:
            header = decoder.header
            if header.commit == 0:
                self._drop(database)
                return
            self._end_sides(database, header, progress)
            with closing(self._files.open_database(database.name)) as file:
                for offset, run in _runs(decoder.pages(), header.page_size):
                    file.write(run, offset)
                    progress.touched = True
                size = header.commit * header.page_size
                if file.size() != size:
                    file.truncate(size)

    def stop(self) -> None:
        """The node ends: what cannot be finished is its next start's."""
        self._stopped = True

    def _end_sides(self, database: Database, header: Header, progress: "_Progress") -> None:
        """Journal and WAL of the past go. What a WAL holds is copied into the database first."""
        tracker = database.wal_watch.tracker
        if tracker.captured and not header.is_snapshot:
            with database.state.lock:
                pages = [(pgno, database.wal_watch.page(pgno)) for pgno in sorted(tracker.pages)]
                count, size = database.page_count, database.page_size
            progress.touched = True
            with closing(self._files.open_database(database.name)) as file:
                for pgno, page in pages:
                    if page is not None and pgno <= count:
                        file.write(page, (pgno - 1) * size)
                file.truncate(count * size)
        for kind in _SIDES:
            if database.path(kind).exists():
                database.remove(kind, applier=True)

    def _drop(self, database: Database) -> None:
        if database.exists:
            database.remove(FileKind.DATABASE, applier=True)
            self._files.locks.removed(database.name)
        for kind in _SIDES:
            with suppress(FileNotFoundError):
                database.remove(kind, applier=True)

    def hold(self, database: str) -> None:
        """Nobody but this process could take a WAL away."""

    def appeared(self, database: str) -> None:
        """There is no kernel that keeps names in mind."""

    def release(self, database: str | None = None) -> None:
        """This node's role changes, or its right to write: connections look anew whether they may open it."""
        if database is None:
            self._files.locks.forget_pages()
        else:
            self._files.locks.of(database).forget_pages()

    # -- locks for others -----------------------------------------------------------------------------------

    @contextmanager
    def write_lock(self, database: str, timeout: float = LOCK_S) -> Iterator["VfsWriteLock"]:
        with self._locked(database, Level.EXCLUSIVE, timeout):
            self._files.open_database(database).close()  # Made, where it is missing.
            yield VfsWriteLock(self, self._database(database))

    @contextmanager
    def read_lock(self, database: str, wal: bool, timeout: float = LOCK_S) -> Iterator[None]:
        """SHARED. Of a connection that has a WAL for itself: it may commit, but neither copy the WAL into the
        database nor begin it anew meanwhile."""
        locks = self._files.locks.of(database)
        if wal and locks.is_written:
            locks.pin()
            try:
                yield
            finally:
                locks.unpin()
            return
        with self._locked(database, Level.SHARED, timeout):
            yield

    @contextmanager
    def writer_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[None]:
        with self._shared_and_reserved(database, timeout):
            yield

    @contextmanager
    def _shared_and_reserved(self, name: str, timeout: float) -> Iterator[tuple[FileLocks, object]]:
        holder = object()
        locks = self._files.locks.of(name)
        self._take(locks, holder, name, Level.RESERVED, timeout)
        try:
            yield locks, holder
        finally:
            locks.unlock(holder)

    @contextmanager
    def halt_lock(self, database: str, timeout: float) -> Iterator["VfsHaltLock"]:
        with self._shared_and_reserved(database, timeout) as (locks, holder):
            yield VfsHaltLock(self, self._database(database), locks, holder)

    @contextmanager
    def watch_writers(self, database: str) -> Iterator[Callable[[], bool]]:
        yield lambda: self._files.locks.of(database).is_written

    def shows(self, database: str, generation: int, salts: tuple[int, int], frame: int) -> bool | None:
        """Who writes a WAL here has it for itself: nobody else sees anything, and after a crash all of it."""
        return True

    def wal_index(self, database: str) -> bytes:
        """It is in the memory of the one connection that has the WAL."""
        return b""

    def rollback_hot_journal(self, database: str) -> None:
        if file_size(self._database(database).path(FileKind.JOURNAL)):
            self._have_sqlite_read(database)

    def unlink(self, database: str) -> None:
        """Remove a database file that is in no transaction, or a journal that the caller has locked."""
        name, kind = split_name(database)
        found = self._database(name)
        if kind is not FileKind.DATABASE:
            found.remove(kind, applier=True)
            return
        with self._locked(database, Level.EXCLUSIVE, LOCK_S):
            if found.exists:
                found.remove(FileKind.DATABASE, applier=True)
                self._files.locks.removed(database)


@dataclass
class _Progress:
    touched: bool = False
    """Something is changed by now: the rest must follow."""


class VfsWriteLock:
    """Nobody reads or writes the database."""

    index = b""
    may_adopt = True

    def __init__(self, applier: VfsApplier, database: Database) -> None:
        self._applier = applier
        self._database = database

    def apply(self, ltx_path: Path, *, verified: bool = False) -> None:
        self._applier.doubt((ltx_path,), verified)
        self._applier.write(self._database, (ltx_path,))

    def adopt(self, ltx_path: Path) -> None:
        """Another file has the name: only what lay beside the one before is left."""
        for kind in _SIDES:
            if self._database.path(kind).exists():
                self._database.remove(kind, applier=True)


class VfsHaltLock:
    """RESERVED, and more for as long as a transaction of the replica that has it is written."""

    def __init__(self, applier: VfsApplier, database: Database, locks: FileLocks, holder: object) -> None:
        self._applier = applier
        self._database = database
        self._locks = locks
        self._holder = holder

    def apply(
        self, ltx_path: Path, *, timeout: float, verified: bool = False, known: KnownWal | None = None
    ) -> None:
        self._applier.doubt((ltx_path,), verified)
        if not self._locks.wait_for(self._holder, Level.EXCLUSIVE, timeout):
            raise BusyError(f"locked: a connection of this process reads {self._database.name}")
        try:
            self._applier.write(self._database, (ltx_path,))
        finally:
            self._locks.end_apply(self._holder, Level.RESERVED)


def _runs(pages: Iterator[tuple[int, bytes]], page_size: int) -> Iterator[tuple[int, bytes]]:
    """Neighbouring pages together, with their offset."""
    run: list[bytes] = []
    start = 0
    for pgno, page in pages:
        if run and (pgno != start + len(run) or len(run) * page_size >= _RUN):
            yield (start - 1) * page_size, b"".join(run)
            run = []
        if not run:
            start = pgno
        run.append(page)
    if run:
        yield (start - 1) * page_size, b"".join(run)
