"""`lease.halt-on-write`: who begins to write on a replica has the HALT lock by itself, until he has written.

    SQLite takes RESERVED (or, in WAL mode, WRITE) --> enter: is this node level with the primary, and halted?
         yes: the lock is SQLite's                       no: SQLITE_BUSY; meanwhile it becomes so
    SQLite gives it back, after its commit         --> leave: the HALT lock goes, too

The rule: nobody writes on top of an old state. Who has read in a transaction already keeps this node from
becoming level, and is told that the database is locked: his transaction ends, and is to be made again. A
statement by itself is made again by SQLite, within its busy timeout. The lock waits a moment for him. Where
no primary is known, locks are as without this: readers must be able to recover a WAL.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pylitefs.errors import PylitefsError
from pylitefs.mount.observed.lock_table import Caller, Held
from pylitefs.sqlite.locks import RESERVED_BYTE, WAL_WRITE_LOCK
from pylitefs.store.halted import HeldHalt
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.database import Database
    from pylitefs.store.halt_holder import HaltHolder
    from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

WAIT_S = 1.0
"""Who asks for a lock waits so long for the primary's answer."""
KEEP_S = 1.0
"""A lock that is there waits so long for whoever wanted it."""
LOOK_S = 0.0005


@dataclass(eq=False)
class _Auto:
    """One database's lock, while somebody writes, or wants to."""

    held: HeldHalt | None = None
    done: bool = False
    """It is there, or cannot be had."""
    inside: set[int] = field(default_factory=set)
    """The owners of SQLite's locks that write."""
    closing: bool = False
    """It is about to be given back."""
    wanted: float = 0.0
    """When somebody asked for it last."""

    @property
    def is_gone(self) -> bool:
        return self.done and (self.held is None or self.closing or bool(self.held.over))


class HaltOnWrite:
    """Of one mount. Calls come from its threads."""

    def __init__(self, store: "Store", holder: "HaltHolder") -> None:
        self._store = store
        self._holder = holder
        self._changed = threading.Condition()
        self._autos: dict[str, _Auto] = {}

    def may_keep(self, caller: Caller, lock: Held, interrupted: Callable[[], bool]) -> bool:
        """A client has got this lock: whether it may keep it. A writer's first only with the HALT lock."""
        if caller.applier or not lock.write or self._store.status.is_primary:
            return True
        return not _begins(caller.file, lock) or self._enter(caller, interrupted)

    def _enter(self, caller: Caller, interrupted: Callable[[], bool]) -> bool:
        database = self._store.get(caller.database)
        if database is None or self._store.status.primary_url is None:
            return True
        with self._changed:
            auto = self._autos.get(caller.database)
            if auto is None and database.state.is_halted:
                return True  # Somebody has it by `DB-lock`.
            if auto is None or auto.is_gone:
                auto = _Auto()
                name = f"halt-on-write {caller.database}"
                thread = threading.Thread(target=self._have, args=(database, auto), name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # This process may have no more of them just now.
                    log.warning("%s: a write here does not get the HALT lock: %s", database.name, error)
                    return False
                self._autos[caller.database] = auto
            auto.wanted = time.monotonic()
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and not interrupted():
            with self._changed:
                if auto.done:
                    if auto.is_gone or auto.held is None or not auto.held.is_live:
                        return False
                    auto.inside.add(caller.owner)
                    auto.wanted = 0.0
                    return True
            if self._is_behind(database):
                return False
            time.sleep(LOOK_S)
        return False

    def _is_behind(self, database: "Database") -> bool:
        """The lock is had, and this node has to apply something first: for that SQLite must let go."""
        held = self._holder.held().get(database.name)
        return held is not None and not database.state.is_halted and held.granted.pos != database.pos

    def leave(self, caller: Caller, released: list[Held]) -> None:
        """A client has given locks back."""
        if caller.database not in self._autos or not any(_begins(caller.file, one) for one in released):
            return
        with self._changed:
            auto = self._autos.get(caller.database)
            if auto is not None:
                auto.inside.discard(caller.owner)
                self._changed.notify_all()

    def _have(self, database: "Database", auto: _Auto) -> None:
        """One lock, from its request to its end; in a thread of its own."""
        try:
            held = self._holder.take(database, quick=True)
        except (PylitefsError, OSError) as error:
            log.warning("%s: a write here does not get the HALT lock: %s", database.name, error)
            held = None
        except Exception:
            log.exception("%s: the HALT lock: an error of pylitefs itself", database.name)
            held = None
        with self._changed:
            auto.held, auto.done = held, True
            auto.wanted = time.monotonic()
            self._changed.notify_all()
            while held is not None and not held.over and self._is_wanted(auto):
                self._changed.wait(KEEP_S / 4 if auto.inside else KEEP_S / 20)
            auto.closing = True
        if held is not None:
            self._holder.give_back(held)
        with self._changed:
            if self._autos.get(database.name) is auto:
                del self._autos[database.name]

    def _is_wanted(self, auto: _Auto) -> bool:
        """`_changed` is held. Who came keeps it until he leaves; who did not come by now will not."""
        return bool(auto.inside) or time.monotonic() - auto.wanted < KEEP_S


def _begins(file: str, lock: Held) -> bool:
    first, last = lock.span
    if file == FileKind.DATABASE.value:
        return first <= RESERVED_BYTE <= last
    return file == FileKind.SHM.value and first <= WAL_WRITE_LOCK <= last
