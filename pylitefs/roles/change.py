"""What a change of role does to a running node: its databases, its applier, its clients.

    follow -> primary   stored transactions are applied, the applier lets go, clients may write
    primary -> follow   clients may not write, what they had committed is told, hot journals are rolled back
    a handoff           the same, but writers are waited for first, and wait themselves

The rule: between the two roles nobody writes a transaction. Open connections stay open throughout. What they
may not do is refused, with a line in the log that names the remedy.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pylitefs.errors import BusyError, PylitefsError
from pylitefs.limits import most_databases
from pylitefs.store.applying import Applier
from pylitefs.store.files import file_size
from pylitefs.store.names import FileKind
from pylitefs.store.role_change import finish_stored, go_on, stop_writes
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

JOURNAL_LOOK_S = 0.1
LONGEST_LOOK_S = 2.0


class Changes:
    """Of one node. For the thread that has the lease."""

    def __init__(self, store: Store, applier: Applier) -> None:
        self._store = store
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
        if status.backup is None:  # Else once what it has is restored.
            status.ready = True
        status.changing = False

    def follow(self, *, handed: bool = False) -> None:
        """This node is the primary no longer; `handed`: another has all that is here."""
        self._turn += 1
        store = self._store
        store.status.follow()
        for database in store.databases():
            stop_writes(database)
        store.status.changing = False
        with suppress(OSError):  # The disk's trouble is told by whoever writes a transaction.
            store.terms.end(store.positions() if handed else None)
        for name in store.names()[: most_databases()]:
            with suppress(PylitefsError, OSError):
                self._applier.hold(name)
        threading.Thread(target=self._roll_back, args=(self._turn,), name="roll-back", daemon=True).start()

    @contextmanager
    def writers_waiting(self, seconds: float) -> Iterator[None]:
        """No write transaction is under way, and none begins: for a handoff, or the node's end.

        Who writes is waited for, `seconds` in all: then BusyError, which names the database. Leaving does not
        decide what becomes of those who wait: `writers_go_on` or `follow` does.
        """
        deadline = time.monotonic() + seconds
        with ExitStack() as locks:
            for database in self._store.databases():
                if database.exists and database.has_clients:
                    left = max(0.01, deadline - time.monotonic())
                    locks.enter_context(self._applier.writer_lock(database.name, left))
            self._store.status.changing = True
            self._store.finish_captures(max(0.01, deadline - time.monotonic()))
            for database in self._store.databases():
                stop_writes(database)
            yield

    def writers_go_on(self) -> None:
        """This node stays the primary."""
        for database in self._store.databases():
            go_on(database)
        self._store.status.changing = False

    def _roll_back(self, turn: int) -> None:
        """Have SQLite roll back what clients were in the middle of, as soon as they let go of it.

        Until then a reader finds a hot journal that it may not roll back itself.
        """
        pause = JOURNAL_LOOK_S
        while turn == self._turn and not self._store.status.is_primary:
            left = [one for one in self._store.databases() if file_size(one.path(FileKind.JOURNAL))]
            for database in left:
                try:
                    self._applier.rollback_hot_journal(database.name)
                except BusyError:
                    continue
                except (PylitefsError, OSError) as error:
                    log.debug("%s: its journal cannot be rolled back yet: %s", database.name, error)
            if not left:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK_S)
