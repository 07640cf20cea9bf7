"""One database: a method for each thing SQLite does to its files.

SQLite opens, reads, writes, truncates, syncs and removes four kinds of file. Each arrives here (from the
mount, or from a test) with the kind of file; the two watches see it and decide what it means. The rule:
a change is passed to the data file, and where it completes a transaction, the transaction is durable
before the caller gets its answer (or written, in a burst of WAL mode: group_sync.py). Calls of the applier go
straight through: they *are* transactions.

A writer keeps the state's lock for as long as its commit takes, which is for good while a lecture holds it
at a tracepoint. So what readers need (to open, read, close files) takes `files.lock` alone, never that lock.

Raises OSError with the errno that SQLite is to see; each refusal logs one line that says why.
"""

import errno
import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NoReturn, Protocol

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.portable import BINARY
from pylitefs.store import hot_journal, replica_wal, write_events
from pylitefs.store.applier_side import ApplierSide
from pylitefs.store.capture import commit_drop, tell_pending
from pylitefs.store.copies import Copies
from pylitefs.store.disk_state import refusal
from pylitefs.store.files import file_size, open_data, pwrite_all
from pylitefs.store.group_sync import sync_all
from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles
from pylitefs.store.privacy import FILE_MODE, make_directory
from pylitefs.store.removing import remove, remove_dropped, remove_wal
from pylitefs.store.rollback import RollbackWatch
from pylitefs.store.state import DatabaseState
from pylitefs.store.visitors import Visitors
from pylitefs.store.wal_watch import WalWatch

_READ_ONLY = "this node is a replica"
_USE_PRIMARY = "write on the primary"
_USE_IMPORT = "use `pylitefs import` to replace a database, or `rm` it first"


class Services(Protocol):
    """What a database needs of its store."""

    def later(self, database: str, what: str) -> None:
        """Have the applier do something (`capture`, `remove`) once the caller's call has returned."""


class Database:
    """One database of a node. All calls may come from any thread."""

    def __init__(self, state: DatabaseState, services: Services) -> None:
        self.state = state
        self.rollback_watch = RollbackWatch(state)
        self.wal_watch = WalWatch(state)
        self._services = services
        self.files = OpenFiles()
        self.applier_side = ApplierSide(state, self.files, self.rollback_watch, self.wal_watch)
        self.copies = Copies(state)
        self.visitors = Visitors()
        self._journal_untold = False
        self.stale: set[FileKind] = set()
        """Files changed behind the kernel's back: the next open must not keep its cached pages."""

    # -- what the rest of the node reads -------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def pos(self) -> Pos:
        return self.state.told

    def current_pos(self) -> Pos:
        """The position after all that SQLite's readers see by now; the caller may wait for a moment."""
        self.settle()
        return self.state.told

    @property
    def page_size(self) -> int:
        return self.state.page_size

    @property
    def page_count(self) -> int:
        return self.state.sums.page_count

    @property
    def timestamp_ms(self) -> int:
        return self.state.timestamp_ms

    @property
    def dir(self) -> Path:
        return self.state.directory

    @property
    def ltx_dir(self) -> Path:
        return self.state.ltx.directory

    @property
    def exists(self) -> bool:
        """Whether there is a database file: not before the first write, nor after a drop."""
        return self.path(FileKind.DATABASE).exists()

    @property
    def has_clients(self) -> bool:
        """Whether anyone but the applier has the database open on this node."""
        return self.files.any(FileKind.DATABASE)

    def path(self, kind: FileKind) -> Path:
        """Where the file lies in the data directory. Only to look at: it shares no locks with the mount."""
        return self.state.path(kind)

    def stat(self, kind: FileKind) -> os.stat_result:
        """What the data file's `stat` says. FileNotFoundError if there is none."""
        return replica_wal.stat(self.state) if kind is FileKind.WAL else os.stat(self.path(kind))

    def ltx_path(self, min_txid: int, max_txid: int) -> Path:
        return self.state.ltx.path(min_txid, max_txid)

    def ltx_files(self) -> list[tuple[int, int]]:
        """(min TXID, max TXID) of each LTX file, ascending."""
        return self.state.ltx.ranges()

    def ltx_next(self, txid: int) -> tuple[int, int] | None:
        """The LTX file that continues after `txid`; None if it is gone or not made yet."""
        return self.state.ltx.next(txid)

    def read_ltx(self, min_txid: int, max_txid: int) -> bytes | None:
        """A small, recent LTX file from memory; None if it has to be read from its path."""
        return self.state.ltx.read(min_txid, max_txid)

    def ltx_header(self, min_txid: int, max_txid: int) -> Header | None:
        return self.state.ltx.header(min_txid, max_txid)

    # -- open, create, release -----------------------------------------------------------------------

    def create_file(self, kind: FileKind, flags: int, applier: bool) -> int:
        """Create and open a file; a descriptor for reading and writing. EACCES on a replica."""
        writes = not applier and kind in (FileKind.DATABASE, FileKind.JOURNAL)
        if writes and not self.state.may_write():
            self._refuse(errno.EACCES, f"creating {self.name}{kind.suffix}", _READ_ONLY, _USE_PRIMARY)
        # Readers make a WAL and its index; a database or a journal is a writer's.
        with nullcontext() if kind in (FileKind.WAL, FileKind.SHM) else self.state.lock, self.files.lock:
            make_directory(self.state.ltx.directory)
            fd = os.open(self.path(kind), os.O_RDWR | os.O_CREAT | BINARY | (flags & os.O_EXCL), FILE_MODE)
            if kind is FileKind.DATABASE:
                self.state.forget_fd(kind)
            self.state.index_generation += kind is FileKind.SHM
            self._opened(kind, fd, flags, applier, created=True)
        self._journal_untold = kind is FileKind.JOURNAL and self.state.node.tracer.active
        return fd

    def open_file(self, kind: FileKind, flags: int, applier: bool) -> int:
        """Open a file that exists. A database opened write-only is `cp` over it: its writes are refused."""
        if kind is FileKind.DATABASE:
            self.copies.settle()
            if not applier and not self.state.node.status.is_primary:
                self.visitors.come()
        if kind is FileKind.WAL and not applier:
            replica_wal.check_opening(self.state, flags)
        if kind is FileKind.JOURNAL and applier and flags & os.O_ACCMODE != os.O_RDONLY:
            self.applier_side.check_left("rolling back")
        if kind is FileKind.JOURNAL and hot_journal.is_opened(
            self.state, self.rollback_watch, flags, applier
        ):
            self.stale.add(kind)
        with self.files.lock:
            try:
                # SQLite that may not write tries again, to read only.
                fd = open_data(self.path(kind), writing=flags & os.O_ACCMODE != os.O_RDONLY)
            except FileNotFoundError:
                # The kernel still knows a side file that a drop took along: made anew, but for no mere look.
                looks = applier and flags & os.O_ACCMODE == os.O_RDONLY
                if kind is FileKind.DATABASE or not self.exists or looks:
                    raise
            else:
                self._opened(kind, fd, flags, applier, created=False)
                return fd
        return self.create_file(kind, flags, applier)

    def _opened(self, kind: FileKind, fd: int, flags: int, applier: bool, created: bool) -> None:
        self.files.add(kind, fd, flags, applier)
        if kind is FileKind.DATABASE and not applier and flags & os.O_ACCMODE == os.O_WRONLY:
            if created or self._is_blank():
                self.copies.begin(fd)
            else:
                self.files.write_only.add(fd)

    def _is_blank(self) -> bool:
        """Whether there is nothing to lose: an empty file of a database without a page."""
        return self.page_count == 0 and file_size(self.path(FileKind.DATABASE)) == 0

    def release(self, kind: FileKind, fd: int, applier: bool = False) -> None:
        """The last copy of a descriptor was closed. What `cp` left unfinished is not kept."""
        left = self.copies.capture_released(fd) if fd in self.copies else ""
        with self.files.lock:
            self.files.discard(kind, fd)
            os.close(fd)
        if kind is FileKind.DATABASE and not self.has_clients:
            self.visitors.left()
        self.copies.end(fd)
        if left:
            self.state.node.refuse(self.name, "copying a file onto the mount", left, _USE_IMPORT)
            self._services.later(self.name, "remove")

    def settle(self) -> None:
        """Someone is about to look: a copy that has ended, and what SQLite's readers see, is told by then."""
        self.copies.settle()
        self.wal_watch.settle()

    # -- write ---------------------------------------------------------------------------------------

    def write(
        self, kind: FileKind, fd: int, data: "bytes | memoryview", offset: int, applier: bool = False
    ) -> int:
        """Write all of `data` at `offset`; its length."""
        if applier or kind is FileKind.SHM:
            if kind is FileKind.DATABASE and self.state.node.tracer.active:
                write_events.apply_pages(self.state, fd, data, offset)
            else:
                pwrite_all(fd, data, offset)
        elif not self.state.may_write():
            self._refuse_write(kind)
        elif not self.files.is_live(kind, fd):
            self._write_unlinked(kind, fd, data, offset)
        else:
            if self.state.outruns and not self.state.node.tracer.active:
                self.state.node.pace.wait(self.state)
            with self.state.lock:
                if self.state.is_shut:
                    self._refuse_write(kind)
                elif kind is FileKind.DATABASE:
                    self._write_database(fd, data, offset)
                elif kind is FileKind.JOURNAL:
                    self._write_journal(fd, data, offset)
                else:
                    self._write_wal(fd, data, offset)
        self.state.count(kind.value)
        return len(data)

    def _refuse_write(self, kind: FileKind) -> NoReturn:
        code = errno.EIO if kind is FileKind.DATABASE else errno.EACCES
        if kind is FileKind.DATABASE and self.wal_watch.live:
            raise refusal(code, _READ_ONLY)  # A checkpoint of who wrote here with the HALT lock.
        self._refuse(code, f"writing {self.name}{kind.suffix}", _READ_ONLY, _USE_PRIMARY)

    def _write_unlinked(self, kind: FileKind, fd: int, data: "bytes | memoryview", offset: int) -> None:
        # Writing an unlinked database is harmless; an old WAL or journal may now belong to a new one, and so
        # does a file that could only be emptied.
        if os.fstat(fd).st_nlink or (kind is not FileKind.DATABASE and self.exists):
            why = "its database was removed while it was open"
            remedy = "close the connection and open the database again"
            self._refuse(errno.EIO, f"writing {self.name}{kind.suffix}", why, remedy)
        pwrite_all(fd, data, offset)

    def _write_database(self, fd: int, data: "bytes | memoryview", offset: int) -> None:
        if fd in self.files.write_only:
            self._refuse(errno.EPERM, f"copying over {self.name}", "it is a live database", _USE_IMPORT)
        sync_all(self.state)
        if fd in self.copies:
            self.copies.written(fd, offset, len(data))
        elif self.wal_watch.live:
            self.wal_watch.checkpointed(offset, data)
        elif self.rollback_watch.page_written(offset, len(data)) and not self.files.in_process:
            self._services.later(self.name, "capture")
        pwrite_all(fd, data, offset)
        if self.state.node.tracer.active:
            write_events.page_written(self.state, fd, offset, len(data), checkpoint=self.wal_watch.live)

    def _write_journal(self, fd: int, data: "bytes | memoryview", offset: int) -> None:
        if self._journal_untold:
            self._journal_untold = False
            write_events.journal_made(self.state)
        ends = self.rollback_watch.journal_written(offset, data)
        with self.rollback_watch.ending("persist") if ends else nullcontext():
            pwrite_all(fd, data, offset)
        if self.state.node.tracer.active:
            write_events.journal_written(self.state, offset, data)

    def _write_wal(self, fd: int, data: "bytes | memoryview", offset: int) -> None:
        if self.wal_watch.begins_transaction(offset):
            self._begin_in_wal()
        self.wal_watch.before_write(offset, data)
        pwrite_all(fd, data, offset)
        if self.state.node.tracer.active:
            write_events.wal_written(self.state, self.wal_watch.page_size, offset, len(data))
        try:
            self.wal_watch.after_write(offset, data)
        except BaseException:
            self.wal_watch.spoil(fd, offset, data)
            raise

    def _begin_in_wal(self) -> None:
        if not self.files.in_process and not os.path.lexists(self.path(FileKind.SHM)):
            self._refuse(
                errno.EIO,
                "writing a WAL that has no index (locking_mode=EXCLUSIVE, or a WAL that was copied here)",
                "with that mode SQLite keeps the index in memory, where other processes cannot see it",
                "use PRAGMA locking_mode=NORMAL before the first access; `pylitefs import` takes a copy",
            )
        if self.rollback_watch.unjournaled:
            # What was written without a journal is a transaction before this one.
            self.rollback_watch.capture()

    # -- truncate, sync, remove ----------------------------------------------------------------------

    def truncate(self, kind: FileKind, size: int, applier: bool = False, fd: int | None = None) -> None:
        """Change a file's length. A journal's truncation to 0 ends it."""
        if not applier and kind is not FileKind.SHM and not self.state.may_write():
            if size == file_size(self.path(kind)):
                return  # As a checkpoint with TRUNCATE does to a WAL that is empty.
            self._refuse_write(kind)
        with nullcontext() if kind is FileKind.SHM else self.state.lock:
            ends = False
            if applier:
                self.applier_side.truncates(kind, size)
            elif fd is None or self.files.is_live(kind, fd):
                self._before_truncate(kind, size, fd)
                ends = kind is FileKind.JOURNAL and size == 0
            with self.rollback_watch.ending("truncate") if ends else nullcontext():
                os.truncate(self.path(kind) if fd is None else fd, size)

    def _before_truncate(self, kind: FileKind, size: int, fd: int | None) -> None:
        if kind is FileKind.DATABASE:
            if (fd is None and not (size == 0 and self._is_blank())) or fd in self.files.write_only:
                self._refuse(errno.EPERM, f"truncating {self.name}", "it is a live database", _USE_IMPORT)
            self.copies.truncated(fd, size)
        elif kind is FileKind.WAL:
            self.wal_watch.cut(size)

    def sync(self, kind: FileKind, fd: int, datasync: bool = False, applier: bool = False) -> None:
        """SQLite asked for it, so it is promised: passed on to the data file."""
        if datasync:
            os.fdatasync(fd)
        else:
            os.fsync(fd)
        if fd in self.copies:
            self.copies.capture_complete(fd)
        if kind is FileKind.WAL and not applier:
            self.wal_watch.synced()
        tracer = self.state.node.tracer
        if tracer.active and kind is FileKind.JOURNAL:
            tracer.emit("journal.sync", self.name, self.pos.txid)

    def remove(self, kind: FileKind, applier: bool = False) -> None:
        """Unlink a file: the journal's end, or the whole database's. EACCES on a replica."""
        if not applier and not self.state.may_write():
            if kind in (FileKind.WAL, FileKind.SHM):
                raise OSError(errno.EACCES, _READ_ONLY)  # The last client of a WAL, which does not mind.
            self._refuse(errno.EACCES, f"removing {self.name}{kind.suffix}", _READ_ONLY, _USE_PRIMARY)
        if applier and kind is FileKind.JOURNAL:
            self.applier_side.check_left("removing")
        with self.state.lock:
            os.stat(self.path(kind))
            if applier:
                self.applier_side.removes(kind)
            elif kind is FileKind.WAL:
                self.wal_watch.gone()
            elif kind is FileKind.DATABASE:
                self._drop()
            ends = kind is FileKind.JOURNAL and not applier
            with self.rollback_watch.ending("delete") if ends else nullcontext(), self.files.lock:
                if kind is FileKind.DATABASE:
                    self.copies.clear()
                dropped = kind is FileKind.DATABASE and not applier
                plainly = remove_wal if kind is FileKind.WAL else remove
                (remove_dropped if dropped else plainly)(self.state, self.files, kind)
                if kind is FileKind.DATABASE and self.state.pos.txid == 0:
                    with suppress(OSError):
                        self.state.ltx.directory.rmdir()
                        self.dir.rmdir()

    def _drop(self) -> None:
        """The database is unlinked on the primary: so it is everywhere, with what SQLite kept beside it."""
        tell_pending(self.state)
        if self.state.pos.txid:
            commit_drop(self.state)
        self.rollback_watch.forget()
        self.wal_watch.tracker.reset(0)
        with self.files.lock:
            for kind in (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM):
                if self.path(kind).exists():
                    remove_dropped(self.state, self.files, kind)
                    self.stale.add(kind)
        self.stale.add(FileKind.DATABASE)  # If its removal fails, it is emptied.

    def capture_unjournaled(self) -> Pos | None:
        """Capture what was written without a journal; the caller holds SQLite's SHARED lock."""
        with self.state.lock:
            if not self.rollback_watch.unjournaled or self.rollback_watch.journal_live:
                return None
            return self.rollback_watch.capture()

    def _refuse(self, code: int, what: str, why: str, remedy: str) -> NoReturn:
        self.state.node.refuse(self.name, what, why, remedy)
        raise refusal(code, why)
