"""The calls that the applier process answers, each on behalf of one channel.

The rule: the databases that changed last stay open from one transaction to the next, in WAL mode with their
SHARED and DMS locks. All channels share them, and each database has a mutex. All other databases are closed.
A client may then be the only one in a WAL, which does no harm: the WAL is empty, the client makes the index
anew as the applier would, and the node refuses to remove the files. Every other holder of locks (an import, a
snapshot, a capture) has files, and so locks, of its own.
"""

import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from pylitefs.errors import ApplierError, BusyError, DatabaseNotFoundError, UntouchedError
from pylitefs.limits import most_databases
from pylitefs.mount.applier.exclusive import POLL_S, Exclusive
from pylitefs.mount.applier.files import DatabaseFiles, look_anew
from pylitefs.mount.applier.halting import apply_halted, halt_lock
from pylitefs.mount.applier.index_eyes import IndexEyes
from pylitefs.mount.applier.locks import CKPT, READ4, SHARED, WRITE, describe_holders
from pylitefs.mount.applier.messages import APPLY_PAGES, Channel, Message, known_of, seconds_of, text_of
from pylitefs.mount.applier.sqlite_read import have_sqlite_read
from pylitefs.mount.applier.write import Transaction, adopt, drop, write_transaction
from pylitefs.mount.applier.writers import try_writer_lock

READER_POLL_S = 0.001
AGAIN_S = 0.5
_PASSING = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
)
"""What a disk says that may be otherwise in a moment; not that the mount is gone."""
DROP_WAIT_S = 1.0
"""A drop waits so long for the readers; then they go on reading the files that have no name any more."""


class ReplicaDatabase:
    """A database that this node follows; its files stay open while it is among the last that changed."""

    def __init__(self, root_fd: int, name: str) -> None:
        self.files = DatabaseFiles(root_fd, name, replica=True)
        self.mutex = threading.Lock()


@dataclass(eq=False)
class Holding:
    """What a channel keeps locked between two calls."""

    files: DatabaseFiles
    purpose: str
    exclusive: Exclusive | None = None


class Calls:
    """The state of the applier process: the mount's root, a replica's databases, what channels hold."""

    def __init__(self) -> None:
        self._root_fd = -1
        self._eyes = IndexEyes()
        self._mount_dir = ""
        self._lock = threading.Lock()
        self._replicas: dict[str, ReplicaDatabase] = {}
        self._recent: OrderedDict[str, object] = OrderedDict()
        """Those that may have files open, the last used at the end."""
        self._held: dict[Channel, Holding] = {}
        self._writing = 0
        self._operations: dict[str, Callable[[Channel, Message], Message]] = {
            "apply": self._apply,
            APPLY_PAGES: self._apply,
            "hold": self._hold,
            "release": self._release,
            "write_lock": self._write_lock,
            "apply_locked": self._apply_locked,
            "shows": lambda _, message: self._eyes.shows(message),
            "watch_writers": self._watch_writers,
            "is_written": self._is_written,
            "read_lock": self._read_lock,
            "writer_lock": lambda by, asked: self._hold_as_reader(by, asked, "a handoff", try_writer_lock),
            "halt_lock": partial(halt_lock, self),
            "apply_halted": partial(apply_halted, self),
            "unlock": self._unlock,
            "rollback_journal": self._rollback_journal,
            "unlink": self._unlink,
            "index": self._index,
        }

    def attach(self, mount_dir: str) -> None:
        """Open the mount's root directory; every name is looked up from there."""
        self._root_fd = os.open(mount_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._mount_dir = mount_dir
        self._eyes.root_fd = self._root_fd

    def dispatch(self, channel: Channel, message: Message) -> Message:
        """Do what a message asks. Raises PylitefsError, and OSError as the mount gives it."""
        if self._root_fd < 0:
            raise ApplierError("the applier was told of no mount yet: call attach() once the mount is there")
        return self._operations[text_of(message, "op")](channel, message)

    def let_go(self, channel: Channel) -> None:
        """Release what a channel holds, if anything."""
        with self._lock:
            holding = self._held.pop(channel, None)
        if holding is not None:
            try:
                if holding.exclusive is not None:
                    holding.exclusive.release()
            finally:
                holding.files.close()

    def wait_until_written(self, timeout: float) -> None:
        """Wait until no transaction is half written."""
        end = time.monotonic() + timeout
        while self._writing and time.monotonic() < end:
            time.sleep(POLL_S)

    # A replica's transactions.

    def _replica(self, name: str) -> ReplicaDatabase:
        with self._lock:
            if name not in self._replicas:
                self._replicas[name] = ReplicaDatabase(self._root_fd, name)
            self._recent[name] = object()  # One for each use: `_close_idle` sees that there was another.
            self._recent.move_to_end(name)
            return self._replicas[name]

    def _close_idle(self) -> None:
        """Close the files of those that were used longest ago, but for those that are in use now."""
        with self._lock:
            idle = list(self._recent.items())[: max(0, len(self._recent) - most_databases())]
        for name, use in idle:
            replica = self._replicas[name]
            if not replica.mutex.acquire(blocking=False):
                continue
            try:
                with self._lock:
                    if self._recent.get(name) is not use:
                        continue
                    del self._recent[name]
                replica.files.close()
            finally:
                replica.mutex.release()

    def _apply(self, channel: Channel, message: Message) -> Message:
        try:
            return self._apply_now(channel, message)
        finally:
            self._close_idle()

    def _apply_now(self, channel: Channel, message: Message) -> Message:
        tx = load(message)
        replica = self._replica(text_of(message, "db"))
        with replica.mutex:
            files = replica.files
            if tx.header.commit == 0:
                self._drop(channel, files)
                return tx.facts(0.0)
            started = time.monotonic()
            while True:
                files.open(create=True)
                with Exclusive(files, replica=True) as locks:
                    self.wait_exclusive(channel, locks, seconds_of(message, "timeout"))
                    if tx.is_whole or not files.has_hot_journal():
                        return self.write(channel, locks, tx, message, time.monotonic() - started)
                # A writer was killed when this node was the primary: what it had changed is undone first.
                with suppress(BusyError):
                    self.have_sqlite_read(files.name, 1.0)

    def _drop(self, channel: Channel, files: DatabaseFiles) -> None:
        with Exclusive(files, replica=False) as locks:
            if files.open():
                with suppress(BusyError):
                    self.wait_exclusive(channel, locks, DROP_WAIT_S)
            drop(files)
            locks.forget()

    def _hold(self, _: Channel, message: Message) -> Message:
        """Be a client of a database in WAL mode: at a replica's start, or once one has `appeared`."""
        if message.get("appeared"):
            look_anew(self._root_fd, text_of(message, "db"))
        replica = self._replica(text_of(message, "db"))
        with replica.mutex:
            joined = replica.files.open() and replica.files.uses_wal() and replica.files.join_wal()
        self._close_idle()
        return {"joined": joined}

    def _release(self, _: Channel, message: Message) -> Message:
        """Close what a replica keeps open of one database, or of all."""
        name = message.get("db")
        with self._lock:
            replicas = [r for n, r in self._replicas.items() if name is None or n == name]
        for replica in replicas:
            with replica.mutex:
                replica.files.close()
        return {}

    # Locks that outlast a call.

    def _write_lock(self, channel: Channel, message: Message) -> Message:
        files = self.files_of(message)
        locks = Exclusive(files, replica=False)
        try:
            while True:
                files.open(create=True)
                self.wait_exclusive(channel, locks, seconds_of(message, "timeout"))
                if files.is_named():
                    break
                locks.release()
            if locks.in_wal:
                locks.shut_gate()
        except BaseException:
            locks.release()
            files.close()
            raise
        self.keep(channel, files, "an import's write lock", locks)
        return {"wal": locks.in_wal, "index": locks.index.hex() if locks.in_wal else ""}

    def _apply_locked(self, channel: Channel, message: Message) -> Message:
        holding = self._held.get(channel)
        if holding is None or holding.exclusive is None:
            raise ApplierError("no write lock is held on this channel")
        tx = adopt(holding.files, Path(text_of(message, "path"))) if "adopted" in message else load(message)
        if tx.header.commit == 0:
            drop(holding.files)
            holding.exclusive.forget()
            return tx.facts(0.0)
        return self.write(channel, holding.exclusive, tx, message, 0.0)

    def _watch_writers(self, channel: Channel, message: Message) -> Message:
        """Open the database, so that `is_written` needs nothing of the mount."""
        files = self.files_of(message)
        if not files.open():
            raise DatabaseNotFoundError(f"no database {files.name} on the mount")
        self.keep(channel, files, "a look at its locks")
        return {}

    def _is_written(self, channel: Channel, _: Message) -> Message:
        return {"written": self._held[channel].files.db.is_held_exclusively(SHARED)}

    def _read_lock(self, channel: Channel, message: Message) -> Message:
        return self._hold_as_reader(channel, message, "a snapshot's reader locks", self._try_read_locks)

    def _try_read_locks(self, files: DatabaseFiles) -> bool:
        """SHARED; in WAL mode also no checkpoint (CKPT) and no restart of the WAL (READ4)."""
        if not files.uses_wal():
            return files.db.try_shared()
        if not files.join_wal():
            return False
        if not files.index_is_valid():
            # With CKPT locked no client could make it anew, and would not be told why: have it made first.
            if files.shm.try_lock(WRITE, exclusive=True):
                really = not files.index_is_valid()
                files.shm.unlock(WRITE)
                if really:
                    with suppress(BusyError):
                        self.have_sqlite_read(files.name, 0.0)
            return False
        if not files.shm.try_lock(CKPT, exclusive=True):
            return False
        if not files.shm.try_lock(READ4, exclusive=False):
            files.shm.unlock(CKPT)
            return False
        return True

    def _hold_as_reader(
        self,
        channel: Channel,
        message: Message,
        purpose: str,
        attempt: Callable[[DatabaseFiles], bool],
    ) -> Message:
        files = self.files_of(message)
        try:
            channel.begin_wait(seconds_of(message, "timeout"), lambda: self.holders(files))
            while True:
                if not files.open():
                    raise DatabaseNotFoundError(f"no database {files.name} on the mount")
                if attempt(files):
                    if files.is_named():
                        break
                    files.close()
                else:
                    channel.pause(READER_POLL_S)
        except BaseException:
            files.close()
            raise
        self.keep(channel, files, purpose)
        return {"wal": files.joined}

    def keep(
        self, channel: Channel, files: DatabaseFiles, purpose: str, exclusive: Exclusive | None = None
    ) -> None:
        """The channel has these files, and what is locked in them, until it lets go."""
        with self._lock:
            self._held[channel] = Holding(files, purpose, exclusive)

    def kept(self, channel: Channel) -> DatabaseFiles:
        """What the channel keeps. ApplierError if that is nothing."""
        if channel not in self._held:
            raise ApplierError("nothing is locked on this channel")
        return self._held[channel].files

    def _unlock(self, channel: Channel, _: Message) -> Message:
        self.let_go(channel)
        return {}

    # The rest.

    def _rollback_journal(self, _: Channel, message: Message) -> Message:
        name = text_of(message, "db")
        replica = self._replica(name)
        with replica.mutex:
            replica.files.close()
            self.have_sqlite_read(name, seconds_of(message, "timeout") or 0.0)
        return {}

    def _unlink(self, channel: Channel, message: Message) -> Message:
        """Remove a database file that is in no transaction: what a broken copy left."""
        self._release(channel, message)
        with suppress(FileNotFoundError):
            os.unlink(text_of(message, "db"), dir_fd=self._root_fd)
        return {}

    def _index(self, _: Channel, message: Message) -> Message:
        files = self.files_of(message)
        try:
            return {"index": files.peek_index().hex()}
        finally:
            files.close()

    # Helpers.

    def have_sqlite_read(self, name: str, timeout: float) -> None:
        have_sqlite_read(self._root_fd, self._mount_dir, name, timeout)

    def files_of(self, message: Message) -> DatabaseFiles:
        return DatabaseFiles(self._root_fd, text_of(message, "db"))

    def wait_exclusive(self, channel: Channel, locks: Exclusive, timeout: float | None) -> None:
        channel.begin_wait(timeout, lambda: self.holders(locks.files))
        locks.acquire(channel.pause)

    def holders(self, files: DatabaseFiles) -> str:
        with self._lock:
            own = [h.purpose for h in self._held.values() if h.files.name == files.name]
        return describe_holders(files.lock_places(), " and ".join(own))

    def write(
        self, channel: Channel, locks: Exclusive, tx: Transaction, message: Message, waited: float
    ) -> Message:
        """Write a transaction. UntouchedError if it fails before its first page.

        One that fails in its middle keeps its locks and is written again until it is whole: a reader must see
        no half of it.
        """
        with self._lock:
            self._writing += 1
        try:
            if locks.in_wal and message.get("may_be_held"):
                locks.begin_change()  # At a tracepoint, for long: readers are to be turned away, not kept.
            locks.files.touched = tx.is_in_place
            while True:
                try:
                    remove_wal, known = bool(message.get("remove_wal")), known_of(message)
                    write_transaction(locks, tx, remove_wal=remove_wal, known=known)
                    break
                except OSError as error:
                    if error.errno not in _PASSING:
                        raise
                    if not locks.files.touched:
                        raise UntouchedError(f"nothing was changed: the mount says {error}") from None
                    channel.rest(AGAIN_S, error.strerror or str(error))
        finally:
            with self._lock:
                self._writing -= 1
        return tx.facts(waited)


def load(message: Message) -> Transaction:
    if message["op"] == APPLY_PAGES:
        return Transaction.at_hand_in(message)
    paths = [Path(text_of(message, "path")), *map(Path, cast("list[str]", message.get("more", [])))]
    return Transaction.load(*paths, verified=bool(message.get("verified")))
