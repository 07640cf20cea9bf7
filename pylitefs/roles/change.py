"""What a change of role does to a running node: its databases, its applier, its clients.

    follow -> primary   stored transactions are applied, the applier lets go, clients may write
    primary -> follow   clients may not write, what they had committed is told, hot journals are rolled back,
                        and a WAL ends that its index alone tells
    a handoff           the same, but writers are waited for first, and wait themselves

The rule: between the two roles nobody writes a transaction. Open connections stay open throughout. What they
may not do is refused, with a line in the log that names the remedy.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from pylitefs.errors import BusyError, PylitefsError
from pylitefs.limits import most_databases
from pylitefs.store.apply_again import apply_again
from pylitefs.store.applying import Applier
from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.halting import Halts
from pylitefs.store.names import FileKind
from pylitefs.store.role_change import finish_stored, go_on, stop_between, stop_writes
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

JOURNAL_LOOK_S = 0.1
TRY_S = 0.02
"""A writer's lock is waited for so long at a time."""
LONGEST_LOOK_S = 2.0
DRAIN_S = 2.0
"""A node that ends waits so long until its replicas were sent all that there is."""


class Changes:
    """Of one node. For the thread that has the lease."""

    def __init__(
        self,
        store: Store,
        applier: Applier,
        on_following: Callable[[], object] = lambda: None,
        halts: Halts | None = None,
    ) -> None:
        """`on_following` is called once this node is the primary no longer, and before another can be."""
        self._on_following = on_following
        self._store = store
        self._halts = halts or Halts(store)
        self._applier = applier
        self._publishing = False
        self._turn = 0
        """Counts the changes of role: a thread that tidies up after an older one ends."""

    def why_not_ready(self) -> str:
        """Apply what is stored and not applied yet; why this node cannot be the primary before that is
        done."""
        for database in self._store.databases():
            try:
                finish_stored(self._store, database)
            except (PylitefsError, OSError) as error:
                return f"{database.name} holds a transaction that cannot be applied yet: {error}"
        return ""

    def lead(self, until: float, index: int) -> None:
        """This node is the primary, until then on the lease's clock. DataDirectoryError, OSError."""
        self._turn += 1
        store, status = self._store, self._store.status
        store.terms.begin(store.node_id, index)
        self._applier.release()
        if not self._publishing:
            store.start_publisher()
            self._publishing = True
        for database in store.databases():
            go_on(database)
        status.primary_hostname = status.primary_url = None
        status.lead(until)
        status.note_role("primary")
        if status.backup is None:  # Else once what it has is restored.
            status.ready = True
        status.changing = False

    def follow(self, *, handed: bool = False, why: str = "") -> None:
        """This node is the primary no longer, for the reason `why`; `handed`: another has all that is
        here."""
        self._turn += 1
        store = self._store
        if why:
            store.status.note_role(f"not the primary any more: the lease was {why}")
        store.status.follow()
        self._halts.end_all("this node is the primary no longer")
        for database in store.databases():
            stop_writes(database)
        store.status.changing = False
        with suppress(OSError):  # The disk's trouble is told by whoever writes a transaction.
            store.terms.end(store.positions() if handed else None)
        with suppress(PylitefsError, OSError):
            self._applier.release()  # Whatever it knows of a WAL, clients have written to it since.
        for name in store.names()[: most_databases()]:
            with suppress(PylitefsError, OSError):
                self._applier.hold(name)
        self._on_following()
        threading.Thread(target=self._tidy, args=(self._turn,), name="tidy", daemon=True).start()

    def stop_writers(self, seconds: float) -> None:
        """Let the write transactions that are under way come to their end, and begin no other: for a handoff,
        or the node's end. Who writes then, waits for `writers_go_on` or `follow`.

        BusyError, which names the database and who holds it, after `seconds`.
        """
        deadline = time.monotonic() + seconds
        self._store.status.changing = True
        self._halts.end_all("the lease is handed over")
        for database in self._store.databases():
            if database.exists and database.has_clients:
                self._stop_writer(database, deadline)
            else:
                stop_writes(database)

    def _stop_writer(self, database: Database, deadline: float) -> None:
        """With the lock that a writer takes first; or, where writers come without end, between two of
        them."""
        before = database.pos
        while True:
            left = deadline - time.monotonic()
            try:
                with self._applier.writer_lock(database.name, max(0.01, min(left, TRY_S))):
                    stop_writes(database)
                return
            except BusyError:
                if database.pos != before and stop_between(database):
                    return
                if left <= 0:
                    raise

    def writers_go_on(self) -> None:
        """This node stays the primary."""
        for database in self._store.databases():
            go_on(database)
        self._store.status.changing = False

    def drain(self, is_drained: Callable[[], bool]) -> None:
        """The node ends: nobody writes any more, and what was committed goes out first."""
        try:
            self.stop_writers(DRAIN_S / 2)
        except (PylitefsError, OSError) as error:
            log.warning("a write transaction is cut short by the end of this node: %s", error)
        deadline = time.monotonic() + DRAIN_S
        while not is_drained() and time.monotonic() < deadline:
            time.sleep(0.005)

    def _tidy(self, turn: int) -> None:
        """End what clients of the time before have left, as soon as they let go of it.

        A journal: a reader finds it hot, and may not roll it back itself. And a WAL of which the index alone
        tells all: a reader who comes when nobody has it open any more would find less.
        """
        pause = JOURNAL_LOOK_S
        while turn == self._turn and not self._store.status.is_primary:
            left = [one for one in self._store.databases() if _has_journal(one) or _has_unsummed(one)]
            for database in left:
                try:
                    if _has_unsummed(database):
                        apply_again(self._store, database, "a change of role", TRY_S)
                    else:
                        self._applier.rollback_hot_journal(database.name)
                        self._remove_cold_journal(database)
                except BusyError:
                    continue
                except (PylitefsError, OSError) as error:
                    log.debug("%s: what its clients left is there still: %s", database.name, error)
            if not left:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_S)

    def _remove_cold_journal(self, database: Database) -> None:
        """One that SQLite rolls nothing back by, of a writer that was turned away and may not remove it.

        Whoever writes next would hear of a disk I/O error by it, instead of a database that is read-only.
        """
        with self._applier.writer_lock(database.name, TRY_S):
            try:
                with database.path(FileKind.JOURNAL).open("rb") as journal:
                    is_hot = journal.read(1) not in {b"", b"\0"}  # As SQLite's own test.
            except FileNotFoundError:
                return
            if not is_hot:
                self._applier.unlink(f"{database.name}-journal")


def _has_journal(database: Database) -> bool:
    return file_size(database.path(FileKind.JOURNAL)) > 0


def _has_unsummed(database: Database) -> bool:
    return database.wal_watch.tracker.unsummed
