"""All databases of one node, and what they share: the data directory, the node's id, the subscribers.

    DATA/clusterid                     LFSC and 16 hex digits
    DATA/dbs/DB/{database,journal,wal,shm}
    DATA/dbs/DB/ltx/MIN-MAX.ltx

The rule: the directory belongs to one node at a time, and everything that reaches up from here (the
applier, the streams) was handed in from above. A database that cannot be recovered is set aside by name: its
files stay as they are, nobody gets at them, and the others are served.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pylitefs.errors import (
    ApplierError,
    DatabaseNotFoundError,
    DataDirectoryError,
    InvalidNameError,
    LtxError,
    ReadOnlyReplicaError,
    RecoveryError,
    SetAsideError,
    SqliteFormatError,
)
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store import cluster_id, super_journals
from pylitefs.store.applying import Applier, DirectApplier
from pylitefs.store.arriving import Arrival, Progress, Source
from pylitefs.store.database import Database
from pylitefs.store.directory_lock import DirectoryLock
from pylitefs.store.disk_state import DiskState, describe, is_trouble
from pylitefs.store.imports import import_arrived
from pylitefs.store.incoming import Received, receive
from pylitefs.store.names import check_database_name, database_dir
from pylitefs.store.privacy import make_directory
from pylitefs.store.publisher import Publisher
from pylitefs.store.recovery import recover
from pylitefs.store.retention import Limits, Retention
from pylitefs.store.rollback import capture_when_it_can
from pylitefs.store.snapshot import SNAPSHOT_S, SnapshotInfo, export_database, make_snapshot
from pylitefs.store.state import DatabaseState, NodeFacts, Subscriber
from pylitefs.store.status import Status
from pylitefs.store.together import receive_together
from pylitefs.store.turns import Patience
from pylitefs.trace import Tracer

log = logging.getLogger("pylitefs")

_TELL_ASIDE_S = 10.0


class Store:
    """The databases of one node. `open()` before use; all other calls may come from any thread."""

    def __init__(
        self,
        data_dir: Path,
        *,
        tracer: Tracer,
        status: Status,
        compress: bool = True,
        retention: Limits | None = None,
        monitor_interval_s: float = 60.0,
        snapshot_timeout_s: float = SNAPSHOT_S,
    ) -> None:
        self.data_dir = Path(data_dir)
        self.tracer = tracer
        self.status = status
        self.node_id = secrets.randbits(64) or 1
        self.cluster_id: str | None = None
        self.applier: Applier = DirectApplier(self.data_dir)
        self.retention = Retention(retention)
        self.monitor_interval_s = monitor_interval_s
        self.snapshot_timeout_s = snapshot_timeout_s
        """An export or a snapshot waits so long for a database's users."""
        self.disk = DiskState(self.data_dir)
        self._facts = NodeFacts(
            self.node_id, compress, tracer, status, self._publish, self.log_refusal, self.disk
        )
        self.terms, self.pace = self._facts.terms, self._facts.pace
        self._databases: dict[str, Database] = {}
        self.set_aside: dict[str, str] = {}
        """Databases that are not served, and why: their recovery failed at the start."""
        self._told_aside: dict[str, float] = {}
        self._lock = threading.Lock()
        self._subscribers: tuple[Subscriber, ...] = ()
        self._directory_lock = DirectoryLock(self.data_dir)
        self._stopping = self._facts.ending
        self._threads: list[threading.Thread] = []
        self._publisher: Publisher | None = None

    @property
    def node_id_text(self) -> str:
        """The node id as the wire shows it: 16 upper-case hex digits."""
        return f"{self.node_id:016X}"

    # -- life ------------------------------------------------------------------------------------------

    def open(self, mount_dir: Path | None = None) -> None:
        """Take the data directory and recover every database in it; one that contradicts itself is set aside.

        Raises DataDirectoryError if another node has it.
        """
        self._directory_lock.acquire()
        try:
            make_directory(self.data_dir / "dbs")
            self._drop_temporaries()
            self.terms.recovering(self.node_id)
            self.cluster_id = cluster_id.read(self.data_dir)
            for entry in sorted(os.scandir(self.data_dir / "dbs"), key=lambda entry: entry.name):
                if entry.is_dir():
                    self._recover(entry.name, mount_dir)
            super_journals.remove_all(self.data_dir, self._databases, self.set_aside)
            self.terms.recovered(self.set_aside)
        except OSError as error:
            self.close()
            raise self._explained(error) from error
        except BaseException:
            self.close()
            raise
        if self.monitor_interval_s > 0:
            self._start(self._monitor, "retention")

    def _explained(self, error: OSError) -> Exception:
        """Why the node cannot start on this disk."""
        if not is_trouble(error) or error.errno is None:
            return error
        trouble = describe(self.data_dir, error.errno)
        return DataDirectoryError(f"cannot start: {trouble}, then start again ({error})")

    def _drop_temporaries(self) -> None:
        """What was half written when the node before this one ended."""
        for path in [*self.data_dir.glob("*.tmp"), *(self.data_dir / "tmp").glob("*")]:
            path.unlink()

    def _recover(self, name: str, mount_dir: Path | None) -> None:
        try:
            database = self._make(name)
        except InvalidNameError as error:
            self._set_aside(name, f"{error}: rename its directory in {self.data_dir / 'dbs'}")
            return
        try:
            recover(database.state, mount_dir)
        except (RecoveryError, LtxError, SqliteFormatError) as error:
            database.state.close()
            self._set_aside(name, str(error))
            return
        except BaseException:
            database.state.close()
            raise
        if database.pos.txid == 0 and not database.exists:
            self._remove_if_empty(database)
        else:
            self._databases[name] = database

    def _remove_if_empty(self, database: Database) -> None:
        """A name that was once mistyped or touched leaves nothing behind."""
        try:
            if database.ltx_dir.is_dir():
                database.ltx_dir.rmdir()
            database.dir.rmdir()
        except OSError:
            self._databases[database.name] = database

    def _set_aside(self, name: str, why: str) -> None:
        self.set_aside[name] = why
        log.error("%s is set aside and not served, the other databases are: %s", name, why)
        if self.tracer.active:
            self.tracer.emit("fault.refused", name, what="serving it", why=why, remedy="see the log")

    def check_served(self, name: str) -> None:
        """Raise SetAsideError for a database that is set aside; the log says so, but not all the time."""
        why = self.set_aside.get(name)
        if why is None:
            return
        now = time.monotonic()
        if now - self._told_aside.get(name, -_TELL_ASIDE_S) >= _TELL_ASIDE_S:
            self._told_aside[name] = now
            log.error("%s was asked for and is set aside since this node's start: %s", name, why)
        raise SetAsideError(f"{name} is set aside on this node: {why}")

    def close(self) -> None:
        """Stop the threads and let the data directory go. The mount must be gone."""
        self._stopping.set()
        if self._publisher is not None:
            self._publisher.stop()
        for thread in self._threads:
            thread.join(timeout=5)
        for database in self._databases.values():
            database.state.close()
        self._directory_lock.release()

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=f"pylitefs-{name}", daemon=True)
        with self._lock:
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
        thread.start()

    # -- ids -------------------------------------------------------------------------------------------

    def set_cluster_id(self, text: str) -> None:
        """Keep the cluster's id for good. DataDirectoryError if it is not one."""
        cluster_id.write(self.data_dir, text)
        self.cluster_id = text

    def make_cluster_id(self) -> str:
        """A new cluster's id, for a primary that has none."""
        try:
            self.set_cluster_id(cluster_id.make())
        except OSError as error:
            raise self._explained(error) from error
        assert self.cluster_id is not None
        return self.cluster_id

    # -- databases -------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """The databases that are served and have a file now, sorted."""
        return sorted(name for name, database in self._snapshot().items() if database.exists)

    def _snapshot(self) -> dict[str, Database]:
        with self._lock:
            return dict(self._databases)

    def databases(self) -> list[Database]:
        """Every database this node knows, dropped ones too, by name."""
        return [database for _, database in sorted(self._snapshot().items())]

    def get(self, name: str) -> Database | None:
        return self._databases.get(name)

    def require(self, name: str) -> Database:
        """The database that has a file or a position under the name; raises DatabaseNotFoundError."""
        self.check_served(name)
        database = self._databases.get(name)
        if database is None or (database.pos.txid == 0 and not database.exists):
            raise DatabaseNotFoundError("database not found")
        return database

    def start_publisher(self) -> None:
        """From now on a transaction of WAL mode is told once SQLite's readers see it. The mount is there."""
        publisher = Publisher(self.applier, self.create)
        publisher.start()
        self._facts.publisher = self._publisher = publisher

    def settle(self) -> None:
        """Tell what SQLite's readers see by now, of every database."""
        for database in self._snapshot().values():
            database.settle()

    def positions(self) -> dict[str, Pos]:
        """The position of every database that has one, dropped ones too."""
        return {name: one.pos for name, one in self._snapshot().items() if one.pos.txid}

    def create(self, name: str) -> Database:
        """The database of that name, made known if it is new. InvalidNameError for what cannot be a name."""
        check_database_name(name)
        self.check_served(name)
        with self._lock:
            database = self._databases.get(name)
            if database is None:
                database = self._databases[name] = self._make(name)
            return database

    def _make(self, name: str) -> Database:
        state = DatabaseState(name, database_dir(self.data_dir, name), self._facts)
        return Database(state, self)

    def later(self, name: str, what: str) -> None:
        """Do in a thread of its own what has to wait for SQLite's locks, or for the caller's own call."""
        action = self._capture_later if what == "capture" else self._remove_later
        self._start(lambda: action(name), f"{what}-{name}")

    def _capture_later(self, name: str) -> None:
        capture_when_it_can(self.create(name).rollback_watch, self.applier, self._stopping)

    def finish_captures(self, timeout: float) -> bool:
        """Wait for what was written without a journal to be captured; False if that took too long."""
        deadline = time.monotonic() + timeout
        while any(database.rollback_watch.unjournaled for database in self.databases()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _remove_later(self, name: str) -> None:
        try:
            self.applier.unlink(name)
        except (ApplierError, OSError) as error:
            log.error("%s: what a broken copy left cannot be removed: %s", name, error)

    # -- positions and subscribers -----------------------------------------------------------------------

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` after each move of a position, in the thread that moved it; it must be quick."""
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

        return unsubscribe

    def _publish(self, name: str, pos: Pos, header: Header | None) -> None:
        for subscriber in self._subscribers:
            subscriber(name, pos, header)

    def log_refusal(self, database: str, what: str, why: str, remedy: str) -> None:
        """One line for the person who sees only SQLite's short error."""
        log.warning("refused on %s: %s: %s; %s", database or "the mount", what, why, remedy)
        if self.tracer.active:
            self.tracer.emit("fault.refused", database, what=what, why=why, remedy=remedy)

    # -- whole databases ---------------------------------------------------------------------------------

    def temp_path(self, suffix: str) -> Path:
        """A new path for a temporary file inside the data directory; whoever asks removes it."""
        directory = self.data_dir / "tmp"
        make_directory(directory)
        return directory / f"{secrets.token_hex(8)}{suffix}.tmp"

    def receive_ltx(self, name: str, chunks: Iterable[bytes], patience: float | None = None) -> Received:
        """Take in a transaction from the primary; see `incoming.receive`."""
        return receive(self.create(name), self.applier, chunks, patience)

    def receive_together(self, name: str, contents: list[bytes], patience: float | None) -> Received | None:
        """Take in several at once, if they can be; see `together.receive_together`."""
        return receive_together(self.create(name), self.applier, contents, patience)

    def snapshot(self, name: str, out: Path, patience: Patience | None = None) -> SnapshotInfo:
        """Write a snapshot LTX file of the newest position to `out`; see snapshot.py."""
        database = self.require(name)
        database.settle()
        return make_snapshot(database, self.applier, out, patience)

    def export(self, name: str, out: Path, patience: Patience | None = None) -> Pos:
        """Copy a database's bytes to `out`; DatabaseNotFoundError if there are none."""
        database = self.require(name)
        database.settle()
        return export_database(database, self.applier, out, patience)

    def import_database(
        self,
        name: str,
        source: Source,
        size: int | None = None,
        progress: Progress | None = None,
    ) -> Pos:
        """Replace (or make) a database by the one read from `source`, as one transaction.

        `size` is how many bytes there should be, where that is known. Raises ReadOnlyReplicaError on a
        replica, SqliteFormatError if the bytes are no whole database.
        """
        check_database_name(name)
        self.check_served(name)
        if not self.status.is_primary:
            raise ReadOnlyReplicaError(f"cannot import {name} on a replica: give -url the primary's address")
        try:
            with Arrival(name, self._facts, self.temp_path(".import"), self.get(name)) as arrival:
                arrival.take(source, size, progress)
                return import_arrived(self.create(name), self.applier, arrival, self._stopping.wait)
        except OSError as error:
            self.disk.note(error)
            raise

    # -- super-journals -----------------------------------------------------------------------------------

    def super_journal_path(self, name: str) -> Path:
        """Where the super-journal `DB-mjXXXXXXXXX` lies in the data directory."""
        return super_journals.path_of(self.data_dir, name)

    def remove_super_journal(self, name: str) -> None:
        """The commit point of a transaction over several databases: durable before the caller goes on."""
        super_journals.remove(self.data_dir, name, self.databases())

    # -- retention -----------------------------------------------------------------------------------------

    def _monitor(self) -> None:
        while not self._stopping.wait(self.monitor_interval_s):
            self.reap()

    def reap(self, now: float | None = None) -> int:
        """Remove LTX files past their retention; how many went."""
        count = 0
        for database in self.databases():
            try:
                count += self.retention.reap(database.state, now, database.wal_watch.unsummed_from)
            except OSError as error:
                if not self.disk.note(error):
                    log.error("%s: its old LTX files cannot be removed: %s", database.name, error)
        return count
