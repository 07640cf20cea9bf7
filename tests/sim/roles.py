"""Another node becomes the primary: a handoff, a failover, and the old primary that comes back.

What a node does is roles/change.py, with the store's own code below; what roles/loop.py does around it, with
the lease service, is done here in the same order, by steps:

    handoff    writers end, the replica is sent all that there is, the lease goes over
    failover   the primary dies or is parted; who has the newest data takes over
    resigns    the primary's node ends: its replicas are sent all that there is, and the newest takes over
    returns    the old primary is there again, and its old clients let go

The rule: an acknowledged write that had reached the new primary is there, and the new primary goes on from
its own position. What is newer never was: who has it gives it up, and keeps it aside if it made it.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pylitefs.errors import ApplierError, BusyError, PylitefsError
from pylitefs.http import turnover
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.position import Pos
from pylitefs.replication.handover import HandOver
from pylitefs.roles import change
from pylitefs.roles.candidates import Standing, total
from pylitefs.roles.change import Changes
from pylitefs.store import status
from pylitefs.store.applying import LOCK_S, KnownWal
from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.names import FileKind, split_name
from pylitefs.store.status import FOR_GOOD
from tests.sim.accidents import Accidents, attempt
from tests.sim.clients import Clients
from tests.sim.network import Link
from tests.sim.node import Node, Waiting
from tests.sim.oracle import Wrong, opened, rows_of
from tests.sim.program import DATABASES
from tests.sim.wal import copied
from tests.sim.world import World
from tests.store.looker import Looker
from tests.store.serving import Served

WRITERS_S = 2.0
_ROUNDS = 60
"""So often the network lives while a lease is handed over; then it is too late."""


class Locking(Looker):
    """The applier of a node that is a primary now and then. SQLite's locks are taken by SQLite itself."""

    def __init__(self, store: Waiting, served: Served) -> None:
        super().__init__(store.data_dir)
        self._store, self._served = store, served
        self.waits: Callable[[], None] = lambda: None
        """Called while a writer is waited for."""

    def _connect(self, name: str) -> sqlite3.Connection:
        db = self._served.connect(name)
        self._served._connections.remove(db)
        return db

    @contextmanager
    def _as_applier(self) -> Iterator[None]:
        self._served.as_applier = True
        try:
            yield
        finally:
            self._served.as_applier = False

    @contextmanager
    def writer_lock(self, database: str, timeout: float = LOCK_S) -> Iterator[None]:
        with self._as_applier():
            db = self._connect(database)
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                db.close()
                busy = f"{database} is locked: {error}"
            else:
                busy = ""
        if busy:
            self._store.clock.sleep(timeout)
            self.waits()
            raise BusyError(busy)
        try:
            yield
        finally:
            with self._as_applier(), suppress(sqlite3.Error):
                db.execute("ROLLBACK")
                db.close()

    def rollback_hot_journal(self, database: str) -> None:
        its = self._store.create(database)
        if not file_size(its.path(FileKind.JOURNAL)):
            return
        with self._as_applier():
            db = self._connect(database)
            try:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except sqlite3.OperationalError as error:
                kind = BusyError if "locked" in str(error) else ApplierError
                raise kind(f"{database}: {error}") from None
            finally:
                db.close()

    def unlink(self, database: str) -> None:
        name, kind = split_name(database)
        self._store.create(name).remove(kind, applier=True)

    def apply(self, database: str, ltx_path: Path, **options: Any) -> None:
        if self._served._connections and file_size(self._store.create(database).path(FileKind.WAL)):
            # They have the WAL open, and here are no locks to end it under them.
            raise BusyError(f"{database}: its clients are there still")
        try:
            self._apply_once(database, ltx_path, options)
        except OSError:
            self._apply_once(database, ltx_path, options)

    def _apply_once(self, database: str, ltx_path: Path, options: dict[str, Any]) -> None:
        its = self._store.get(database)
        if its is not None and its.exists:
            with open_ltx(ltx_path) as decoder:
                whole = decoder.header.is_snapshot or decoder.header.commit == 0
            self._end_sides(its, options.get("known"), whole=whole)
        super().apply(database, ltx_path, **options)

    def _end_sides(self, database: Database, known: KnownWal | None, *, whole: bool) -> None:
        """Journal and WAL of the past go, as the real appliers have it: SQLite rolls back by a hot journal,
        and what a WAL holds is copied into the database first."""
        if not whole:
            self.rollback_hot_journal(database.name)
            if (found := copied(database.dir, known)) is not None:
                self._write(database, *found)
        for kind in (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM):
            if database.path(kind).exists():
                database.remove(kind, applier=True)

    @staticmethod
    def _write(database: Database, size: int, count: int, pages: list[tuple[int, bytes]]) -> None:
        kind = FileKind.DATABASE
        fd = database.open_file(kind, 2, applier=True)
        try:
            for pgno, page in pages:
                database.write(kind, fd, page, (pgno - 1) * size, applier=True)
            database.truncate(kind, count * size, applier=True, fd=fd)
        finally:
            database.release(kind, fd, applier=True)


class Candidate:
    """A node that may be the primary: what roles/ is to it."""

    def __init__(self, node: Node, world: World) -> None:
        self._node, self._world = node, world
        self.index = 0
        self.asleep = False
        """Its lease is over, and its thread has not noticed."""

    def begins(self, store: Waiting, served: Served) -> None:
        self.asleep = False
        store.applier = self.applier = Locking(store, served)
        store.terms.history = self._history
        self.changes = Changes(store, store.applier)
        if self._node.primary:
            self.lead()

    def lead(self, index: int = 0) -> None:
        """As RoleLoop: what is stored is applied first."""
        if why := self.changes.why_not_ready():
            raise Wrong(f"{self._node.name} cannot be the primary: {why}")
        self.changes.lead(FOR_GOOD, index)

    def _history(self, name: str) -> dict[int, int]:
        """What the primary answers whoever asks."""
        store = self._world.primary.store
        if store is None or self._node.primary:
            return {}
        asked = SimpleNamespace(_store=store)
        said = turnover.TurnoverApi._history(asked, name)  # type: ignore[arg-type]
        return {pos.txid: pos.checksum for pos in map(Pos.parse, said)}


def role_of(node: Node) -> Candidate:
    assert isinstance(node.role, Candidate)
    return node.role


class Roles:
    """The changes of one history."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents) -> None:
        self.world = world
        self.clients = clients
        self.accidents = accidents
        self._index = 1

    def begin(self) -> None:
        """Before the nodes start: the lease may change hands."""
        for node in self.world.nodes:
            node.role = Candidate(node, self.world)

    def end(self) -> None:
        """All old primaries are there, and their clients are gone."""
        chance = random.Random(0)
        for node in self.world.nodes:
            if node.role is not None and not node.primary:
                self._return(node, chance)

    # -- steps -----------------------------------------------------------------------------------------

    def handoff(self, chance: random.Random) -> str:
        """The primary hands its lease to a replica."""
        world, old = self.world, self.world.primary
        links = [one for one in world.links if one.node.is_up and not one.parted and not one.waits]
        if old.role is None or not links:
            return "no replica is there"
        link = chance.choice(links)
        for _ in range(chance.choice((0, 4, 20))):
            link.flow(chance, 1)
        ends = self._begin_to_write(chance) if chance.random() < 0.4 else None
        role_of(old).applier.waits = ends if ends and chance.random() < 0.6 else lambda: None
        said = self._hand_over(link, chance)
        role_of(old).applier.waits = lambda: None
        if ends is not None and old.primary:
            ends()
        return f"to {link.node.name}: {said}"

    def failover(self, chance: random.Random) -> str:
        """The primary is gone, or thinks so; another takes over."""
        world, old = self.world, self.world.primary
        if old.role is None:
            return "the lease is static"
        if chance.random() < 0.4:
            self._begin_to_write(chance)
        how = chance.choice(("killed", "power off", "parted", "parted"))
        if how == "parted":
            self._loses_the_lease(chance)
        else:
            if chance.random() < 0.5:
                old.disk.dies_soon(chance)
                attempt(self.accidents._some_act(chance), chance)
            self.accidents._off(old, chance, how == "power off" and world.synchronous > 0)
            world.connections, world.readers = [], []
        new = self._elect(chance)
        if new is old:
            self._lead_again(old, chance, back=how == "power off" and world.synchronous > 0)
        elif chance.random() < 0.5:
            self._return(old, chance)
        return f"{how}; {world.primary.name} has the lease"

    def resigns(self, chance: random.Random) -> str:
        """RoleLoop._lead, where a person stops the node; who was sent all of it may lose nothing."""
        world, old = self.world, self.world.primary
        if old.role is None or old.store is None:
            return "the lease is static"
        for link in world.links:
            link.flow(chance, chance.choice((0, 4, 20)))
        if chance.random() < 0.7:
            attempt(self.clients.burst, chance)
        changes = role_of(old).changes
        with suppress(PylitefsError, OSError):
            changes.stop_writers(WRITERS_S)
        drained = [link for link in world.links if self._drain(link, chance)]
        at = old.store.positions()
        self._follows(old, why="given back: the node ends")
        for link in drained:
            self._end_stream(link, chance)
        world.connections, world.readers = [], []
        old.stop()
        new = self._elect(chance)
        if new is old:
            self._lead_again(old, chance)
            return f"nobody else is there; {len(drained)} drained"
        assert new.store is not None
        if any(link.node is new for link in drained):
            got = {name: new.store.positions().get(name) for name in at}
            if got != at:
                raise Wrong(f"{old.name} ended at {at}, all of it was sent, and {new.name} leads from {got}")
        if chance.random() < 0.5:
            self._return(old, chance)
        return f"{new.name} has the lease; {len(drained)} drained"

    @staticmethod
    def _drain(link: Link, chance: random.Random) -> bool:
        """Whether it was sent all that there is."""
        for _ in range(_ROUNDS):
            if (stream := link.stream) is None or link.connection is None or link.connection.silent:
                return False
            if stream.is_level():
                return True
            link.flow(chance, 1, quick=chance.random() < 0.5)
        return False

    @staticmethod
    def _end_stream(link: Link, chance: random.Random) -> None:
        """All that is on its way comes, and End with it."""
        stream, connection = link.stream, link.connection
        if stream is None or connection is None:
            return
        stream.end()
        link.send(3)
        for _ in range(_ROUNDS):
            if connection.over:
                return
            link.flow(chance, 1, quick=chance.random() < 0.7)

    def returns(self, chance: random.Random) -> str:
        """Those that were the primary are there again."""
        world = self.world
        gone = [one for one in world.nodes if one.role is not None and not one.primary and self._is_away(one)]
        for node in gone:
            self._return(node, chance)
        return " ".join(node.name for node in gone) or "nobody is away"

    def _is_away(self, node: Node) -> bool:
        return not node.is_up or role_of(node).asleep or any(one[0] is node for one in self.world.left)

    # -- a handoff -------------------------------------------------------------------------------------

    def _hand_over(self, link: Link, chance: random.Random) -> str:
        """RoleLoop._hand_off, and the end of RoleLoop._lead."""
        world, old = self.world, self.world.primary
        changes, stream = role_of(old).changes, link.stream
        assert old.store is not None
        if stream is None:
            return "it is not connected"
        try:
            changes.stop_writers(WRITERS_S)
        except (PylitefsError, OSError) as error:
            changes.writers_go_on()
            return f"unsuccessful: {error}"
        self._try_to_write(old, [*world.connections], chance)
        handing = stream._handing = HandOver("lease")
        stream._wake.set()
        for _ in range(_ROUNDS):
            if handing._future.running() or handing._future.done():
                break
            link.flow(chance, 1, quick=chance.random() < 0.5)
        if handing._future.cancel():
            changes.writers_go_on()
            return "the target did not take it in time"
        old.store.status.follow()
        at = old.store.positions()
        self._follows(old, handed=True, why="handed over")
        if chance.random() < 0.1:
            link.break_off("cut", chance)
        for _ in range(_ROUNDS):
            if link.handed or link.stream is None:
                break
            link.flow(chance, 1, quick=chance.random() < 0.5)
        if not link.handed:
            new = self._elect(chance)
            if new is old:
                self._lead_again(old, chance)
            return f"it was lost on its way; {new.name} has it"
        known = {
            name: {one.rows for one in (its.now, *its.maybe)} for name, its in sorted(world.oracles.items())
        }
        self._leads(link.node, chance, 0)
        for name, rows in known.items():
            # What the old one never had, the new one may still have: a database like this stays there.
            if name in at and world.oracle(name).now.rows not in rows:
                raise Wrong(f"{name}: what was acknowledged is not handed over from {old.name}")
        assert link.node.store is not None
        got = {name: link.node.store.positions().get(name) for name in at}
        if got != at:
            raise Wrong(f"{old.name} was at {at}, and handed over to {got}")
        return "done"

    def _begin_to_write(self, chance: random.Random) -> Callable[[], None] | None:
        """A client is in the middle of a transaction; what ends it."""
        world, clients = self.world, self.clients
        name = clients.name(chance)
        if not world.oracle(name).now.content:
            return None
        try:
            db = clients.connection(chance, name)
            todo = [f"INSERT INTO t (x) VALUES (blob({seed}, 900))" for seed in range(chance.choice((1, 9)))]
            after = world.oracle(name).after(todo)
            for one in ("BEGIN IMMEDIATE", *todo):
                db.execute(one)
        except (sqlite3.Error, OSError):
            return None

        def end() -> None:
            if db.in_transaction:
                clients.answered(name, after, clients.execute(db, ["COMMIT"]))

        return end

    # -- the old primary -------------------------------------------------------------------------------

    def _follows(self, old: Node, *, handed: bool = False, why: str) -> None:
        """Its thread notices that it is the primary no longer."""
        role_of(old).changes.follow(handed=handed, why=why)
        role_of(old).asleep = False

    def _loses_the_lease(self, chance: random.Random) -> None:
        """It is cut off, and the lease's time is over."""
        old = self.world.primary
        assert old.store is not None
        for link in self.world.links:
            link.break_off("parted", chance)
        old.store.status.follow()
        if chance.random() < 0.7:
            self._follows(old, why="lost: it could not be renewed in time")
        else:
            role_of(old).asleep = True
        self._try_to_write(old, self.world.connections, chance)

    def _try_to_write(
        self, node: Node, connections: list[tuple[str, sqlite3.Connection]], chance: random.Random
    ) -> None:
        """Whoever has a database of it open tries to write: nothing of that may count."""
        if node.store is None:
            return
        for name, db in connections:
            if chance.random() < 0.3:
                continue
            before = node.store.positions()
            try:
                if not db.in_transaction:
                    db.execute("BEGIN IMMEDIATE")
                db.execute(f"INSERT INTO t (x) VALUES (blob({chance.randint(0, 99)}, 1500))")
                db.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            else:
                raise Wrong(f"{name} on {node.name} takes a write, and the node is the primary no longer")
            if node.store.positions() != before and not role_of(node).asleep:
                raise Wrong(f"{name} on {node.name} moves, and the node is the primary no longer")

    def _return(self, node: Node, chance: random.Random) -> None:
        """The old primary is there again, and its clients let go of it."""
        world = self.world
        its = [one for one in world.left if one[0] is node]
        if node.is_up:
            if role_of(node).asleep:
                self._follows(node, why="lost: it could not be renewed in time")
            self._try_to_write(node, [(name, db) for _, name, db in its], chance)
        world.left = [one for one in world.left if one[0] is not node]
        for _, _, db in its:
            with suppress(sqlite3.Error):
                db.close()
            if node.served is not None and db in node.served._connections:
                node.served._connections.remove(db)
        for link in world.links:
            if link.node is node:
                link.waits = False
        if not node.is_up:
            self.accidents._dies(node, chance, power=False)
        node.work()
        # A disk that has failed may have kept a file that is not applied: it stays listed, to be tried again.
        # In the end, when all is level, all of it is looked at.
        world.check_all(node, whole=not node.disk.faults)

    # -- the new primary -------------------------------------------------------------------------------

    def _elect(self, chance: random.Random) -> Node:
        """Who takes the free lease: whose data is the newest, most often. The old primary, if nobody can."""
        world = self.world
        up = [
            link for link in world.links if link.node.is_up and self._has_joined(link.node) and not link.waits
        ]
        for link in up:
            link.leave()
        up = [link for link in up if link.node.is_up and not link.node.disk.dead]
        if not up:
            return world.primary
        best = max(up, key=lambda one: _standing(one.node))
        if chance.random() < 0.15:
            best = chance.choice(up)
        self._index += 10
        self._leads(best.node, chance, self._index)
        return best.node

    def _has_joined(self, node: Node) -> bool:
        """Whether it has given up what is to be given up; else it is not asked."""
        primary = self.world.primary
        assert node.store is not None
        return all(
            str(pos) in primary.positions.get(name, ()) or not primary.positions.get(name)
            for name, pos in node.store.positions().items()
        )

    def _lead_again(self, old: Node, chance: random.Random, *, back: bool = False) -> None:
        """Nobody else is there: it takes the lease again. `back`: after a power failure."""
        if not old.is_up:
            self.accidents._dies(old, chance, power=False, back=back)
            return
        if role_of(old).asleep:
            self._follows(old, why="lost: it could not be renewed in time")
        for _, db in self.world.connections:
            if db.in_transaction and db not in self.world.readers:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
        for db in list(self.world.readers):
            self.clients.close(db)
        for name in sorted(self.world.oracles):
            self.clients.close_all(name)
        old.work()
        self._index += 10
        role_of(old).lead(self._index)

    def _leads(self, new: Node, chance: random.Random, index: int) -> None:
        """It has the lease: everybody else follows it."""
        world, old = self.world, self.world.primary
        assert new.store is not None
        link = next(one for one in world.links if one.node is new)
        link.retire()
        for database in new.store.databases():
            database.state.close()
        before = {name: pos.txid for name, pos in new.store.positions().items()}
        role_of(new).lead(index)
        for name, pos in new.store.positions().items():
            if pos.txid < before.get(name, 0):
                raise Wrong(f"{name} on {new.name} was at TXID {before[name]}, and leads from {pos}")
        self._go_on_from(new, old)
        new.strays, new.own = {}, {}
        new.primary, old.primary = True, False
        world.primary = new
        world.left += [(old, name, db) for name, db in world.connections]
        world.left += [(old, "", db) for db in world.readers]
        world.connections, world.readers, world.pair = [], [], None
        others = [one for one in world.links if one is not link]
        back = Link(old, new, world.clock)
        back.waits = any(one[0] is old for one in world.left) or role_of(old).asleep
        for one in others:
            one.lead_on_to(new)
        world.links[:] = [*others, back]
        world.look_anew()

    def _go_on_from(self, new: Node, old: Node) -> None:
        """The history up to its position is everybody's; what is newer is given up."""
        world = self.world
        assert new.store is not None
        positions = new.store.positions()
        for name in DATABASES:
            pos, known = positions.get(name, Pos()), old.positions.setdefault(name, set())
            if pos.txid and not known and name in new.strays:
                # The primary before never had it, told nobody of it, and so this node has kept its own.
                known = self._history_of(new, name, pos)
                world.oracle(name).revived(world.seen(new, name), pos.txid)
            if pos.txid and str(pos) not in known:
                raise Wrong(f"{name} on {new.name} leads from {pos}, where the primary never was")
            there = old.store.get(name) if old.store is not None else None
            pending = there.state.pending if there is not None else None
            may_be = known | ({str(pending.pos)} if pending is not None else set())
            for node in world.nodes:
                if node is not new:
                    node.strays.setdefault(name, []).append(may_be)
            new.positions[name] = {one for one in known if Pos.parse(one).txid <= pos.txid}
            db = opened(world.seen(new, name))
            try:
                world.oracle(name).taken_over(rows_of(db), pos.txid, f"{name} on {new.name}")
            finally:
                db.close()

    @staticmethod
    def _history_of(node: Node, name: str, pos: Pos) -> set[str]:
        """The positions up to this one of the history that it is in. Others that were given up are not its
        own: who is still in one of those has not joined it."""
        assert node.store is not None
        database, strays = node.store.require(name), node.strays[name]
        told, own = pos, {node.own[name][1]} if name in node.own else set()
        # What it had not told when the power went may have come back: that is its own as well.
        for span in reversed(database.ltx_files() if str(pos) in own else []):
            header = database.ltx_header(*span)
            if header is None or any(str(told) in one for one in strays):
                break
            told = Pos(header.min_txid - 1, header.pre_apply_checksum)
        its = set().union(*(one for one in strays if str(told) in one))
        return {one for one in its if Pos.parse(one).txid <= told.txid} | own


def _standing(node: Node) -> tuple[int, int]:
    assert node.store is not None
    found = Standing(node.store.terms.term, total(node.store.positions()))
    return found.term, found.transactions


class _LaterError(Exception):
    """A thread of a change pauses: it goes on in its next turn."""


class _Thread:
    """What tidies up after a change: a look at each of the node's turns."""

    def __init__(self, *, target: Callable[..., None], args: tuple[Any, ...], **options: object) -> None:
        self._target, self._arguments = target, args
        self._store: Waiting = target.__self__._store  # type: ignore[attr-defined]

    def start(self) -> None:
        self._store.later_on.append(self._look)

    def _look(self) -> None:
        try:
            self._target(*self._arguments)
        except _LaterError:
            self.start()


def _later(seconds: float) -> None:
    if threading.current_thread().name == "tidy":
        time.sleep(seconds)  # A node of another test's, which ends as it can.
    else:
        raise _LaterError


@contextmanager
def changing() -> Iterator[None]:
    """Within, a change of role waits for nothing, and its thread takes turns."""
    clock: Any = vars(change)["time"]
    with ExitStack() as stack:
        for owner, name, value in (
            (change, "threading", SimpleNamespace(Thread=_Thread)),
            (change, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=_later)),
            (status, "CHANGE_S", 0.0),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
