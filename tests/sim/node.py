"""A node of a history: its store, SQLite on it, and the work of its threads, done when it is their turn.

It starts, is stopped, is killed, or loses its power. Whatever kills it, its clients' connections see what a
dead mount's see (ENOTCONN), and the next start has what the disk has kept.

The rule: the store is the real one. What its threads do is done by `work`, one thing at a time.
"""

import errno
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pylitefs.errors import PylitefsError
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.applying import Applier, DirectApplier
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind, database_dir
from pylitefs.store.publisher import Publisher
from pylitefs.store.retention import Limits
from pylitefs.store.state import DatabaseState
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer
from tests.sim import seam
from tests.sim.clock import Clock
from tests.sim.disk import Disk, Killed
from tests.sim.wal import copied
from tests.store.looker import Looker
from tests.store.serving import Served


class InTurn(Publisher):
    """The publisher and the group sync without their threads."""

    def __init__(self, applier: Applier, find: Callable[[str], Database], clock: Clock) -> None:
        super().__init__(applier, find)
        self._clock = clock

    def start(self) -> None:
        """Nothing runs by itself."""

    def settle(self, state: DatabaseState) -> None:
        awaited = self._awaited.get(state)
        if awaited is not None and state.pending is not None:
            awaited.begun += 1
            awaited.due = self._clock.monotonic()
            self._look_at(state, awaited)

    def look(self) -> None:
        """What the publisher's thread would have done by now."""
        now = self._clock.monotonic()
        for state, awaited in sorted(self._awaited.items(), key=lambda one: one[1].due):
            if awaited.due <= now:
                awaited.due = now
                awaited.begun += 1
                self._look_at(state, awaited)

    def sync(self) -> None:
        """What the group sync's thread would have done by now."""
        self._group._sync_all(list(self._group._states))


class Stopping:
    """The store's `_stopping`: who waits for it lets time pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        self._clock.sleep(seconds)
        return self._set


class Applying(DirectApplier):
    """A replica's applier: what fails half-way is tried again, and nobody sees the database meanwhile. What a
    WAL holds (its clients had the HALT lock) is copied into the database first."""

    def apply(self, database: str, ltx_path: Path, **options: Any) -> None:
        try:
            self._apply_once(database, ltx_path, options)
        except OSError:
            self._apply_once(database, ltx_path, options)

    def _apply_once(self, database: str, ltx_path: Path, options: dict[str, Any]) -> None:
        with open_ltx(ltx_path) as decoder:
            whole = decoder.header.is_snapshot or decoder.header.commit == 0
        directory = database_dir(self.data_dir, database)
        if not whole and (found := copied(directory, options.get("known"))) is not None:
            size, count, pages = found
            fd = os.open(directory / FileKind.DATABASE.value, os.O_RDWR)
            try:
                for pgno, page in pages:
                    os.pwrite(fd, page, (pgno - 1) * size)
                os.ftruncate(fd, count * size)
                os.fdatasync(fd)  # As the node has it, where the LTX files of that WAL are reaped.
            finally:
                os.close(fd)
        super().apply(database, ltx_path, **options)


class Waiting(Store):
    """A store whose `later` waits for its turn, too."""

    later_on: list[Callable[[], None]]
    clock: Clock
    publisher: InTurn | None = None

    def _start(self, target: Callable[[], None], name: str) -> None:
        self.later_on.append(target)

    def start_publisher(self) -> None:
        self.publisher = InTurn(self.applier, self.create, self.clock)
        self._facts.publisher = self._publisher = self.publisher

    def is_gone(self) -> None:
        """Its process is dead: what the kernel closes is closed, and nothing is done any more."""
        for database in self.databases():
            with suppress(OSError):
                database.state.close()
        self._directory_lock.release()


class Role(Protocol):
    """Where the lease changes hands, what a node needs for that (roles.py)."""

    def begins(self, store: Waiting, served: Served) -> None:
        """The node has started, and is nobody's primary yet."""


class Node:
    """One machine with one node on it."""

    def __init__(self, root: Path, name: str, clock: Clock, *, primary: bool, retention_s: float) -> None:
        self.name = name
        self.primary = primary
        self.clock = clock
        self.root = root / name
        self.disk = Disk(self.root / "data", clock.time_ns)
        self.booted_ns = 0
        self.store: Waiting | None = None
        self.served: Served | None = None
        self.told: dict[str, Pos] = {}
        """The newest position of each database that others have heard of."""
        self.positions: dict[str, set[str]] = {}
        """Every position of each database that others have heard of."""
        self.retention = Limits(seconds=retention_s)
        self.role: Role | None = None
        self.own: dict[str, tuple[str, str]] = {}
        """The newest LTX file of each database that it made as the primary of a history that is given up, and
        its position."""
        self.undone: set[str] = set()
        """Databases in which a roll-back has left a position of this node's own (halts.py)."""
        self.strays: dict[str, list[set[str]]] = {}
        """Positions of a history that is given up: where a database may be until it follows."""

    @property
    def lesson_name(self) -> str:
        """What a lesson calls it."""
        return "n1" if self.name == "primary" else f"n{int(self.name.removeprefix('replica')) + 2}"

    @property
    def is_up(self) -> bool:
        return self.store is not None

    @property
    def publisher(self) -> InTurn | None:
        return self.store.publisher if self.store is not None else None

    # -- life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises Killed if the disk says so."""
        seam.attach(self.disk)
        self.clock.booted_ns = self.booted_ns
        self.disk.stamp()
        leased = self.role is not None
        status = Status(
            is_primary=self.primary and not leased,
            candidate=self.primary or leased,
            ready=self.primary,
            wal_stays_writable=leased,
        )
        store = Waiting(
            self.disk.root,
            tracer=Tracer(self.name),
            status=status,
            monitor_interval_s=0,
            retention=self.retention,
        )
        store.later_on = []
        store._stopping = Stopping(self.clock)  # type: ignore[assignment]
        store.applier = Applying(store.data_dir)
        store.clock = self.clock
        if leased:
            store.terms.load(store.data_dir)
            status.is_primary = store.terms.was_primary
        store.open(self.root / "mnt")
        for database in store.databases():
            if database.pos.txid:
                self._comes_back(database)
        store.subscribe(self._moved)
        self.store = store
        self.served = Served(store, self.root / "mnt")
        if self.role is not None:
            status.follow()
            self.role.begins(store, self.served)
        elif self.primary:
            store.applier = Looker(store.data_dir)
            store.start_publisher()

    def _comes_back(self, database: Database) -> None:
        """What a killed node had written and not told counts from now on, and each LTX file is sent."""
        told = self.told[database.name].txid if database.name in self.told else 0
        for span in database.ltx_files():
            if span[1] > told:
                _, trailer = verify_file(database.ltx_path(*span))
                self._moved(database.name, Pos(span[1], trailer.post_apply_checksum), None)
        self._moved(database.name, database.pos, None)

    def _moved(self, name: str, pos: Pos, header: Header | None) -> None:
        self.told[name] = pos
        self.positions.setdefault(name, set()).add(str(pos))

    def stop(self) -> None:
        """As a person stops it: clients first."""
        assert self.store is not None and self.served is not None
        self.close_clients()
        self.work()
        self._forget()
        if not self.disk.dead:
            if self.publisher is not None:
                self.publisher.sync()
            self.store.close()
        else:
            self.store.is_gone()
        self.store = self.served = None

    def die(self) -> None:
        """The process is killed, with all who have its mount."""
        self.disk.dead = True
        if self.store is not None and self.served is not None:
            self.served.refuse = self.refuse_all
            self.close_clients()
            self._forget()
            self.store.is_gone()
        self.store = self.served = None

    def power_off(self, chance: random.Random) -> None:
        """The same, and what was not synced may be gone."""
        self.die()
        self.disk.power_failure(chance)
        self.clock.sleep(1.0)
        self.booted_ns = self.clock.passed_ns

    def _forget(self) -> None:
        assert self.served is not None
        bugs = [error for error in self.served.unexpected if not isinstance(error, Killed)]
        self.served.unexpected.clear()
        self.served.close()
        if bugs:
            raise bugs[0]

    def close_clients(self) -> None:
        assert self.served is not None
        for one in self.served._connections:
            with suppress(sqlite3.Error):
                one.close()
        self.served._connections.clear()

    @staticmethod
    def refuse_all(call: str, name: str) -> int:
        """What a dead mount says; the kernel closes a killed client's files all the same."""
        return 0 if call == "close" else errno.ENOTCONN

    # -- work ------------------------------------------------------------------------------------------

    def work(self) -> None:
        """What the node's threads would have done by now."""
        if self.store is None or self.disk.dead:
            return
        if self.publisher is not None:
            self.publisher.look()
            self.publisher.sync()
        waiting, self.store.later_on = self.store.later_on, []
        for one in waiting:
            with suppress(PylitefsError):
                one()
