"""Writes on a replica in a history: its clients have the HALT lock, and the primary has each commit first.

    a client of the replica --> capture --> Way.commit --> the primary's `take_in` --stream--> every replica

On that way a request or an answer may be lost, and either node may die at any call.

The rule: `HaltHolder` and `Halts` are the product's; what their threads do is done in turn. A lock does not
outlive its step, for nothing here takes SQLite's locks on the primary.
"""

import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from pylitefs.errors import PylitefsError, RemoteError
from pylitefs.store import halted
from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.halt_holder import HaltHolder
from pylitefs.store.halted import Granted, HeldHalt, UnreachableError, UnsureError
from pylitefs.store.halting import Halts
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from tests.sim.accidents import Accidents
from tests.sim.disk import Killed
from tests.sim.network import Link
from tests.sim.node import Node
from tests.sim.oracle import blob
from tests.sim.program import statement, statements
from tests.sim.world import World

ACQUIRE_S = 2.0
_TROUBLES = ("", "", "", "", "request", "answer", "primary dies", "replica dies", "expires")


class InTurn(HaltHolder):
    """The replica's side without its threads."""

    def __init__(self, store: Store, way: "Way") -> None:
        super().__init__(store, lambda: way, acquire_timeout=ACQUIRE_S)
        self._watching = True
        self.later_on: list[Callable[[], None]] = []

    def _start(self, what: Callable[..., None], *arguments: object, **more: object) -> None:
        self.later_on.append(lambda: what(*arguments, **more))

    def _roll_back(self, database: Database) -> None:
        """The applier has SQLite do it, which here has a copy."""
        files = database.path(FileKind.DATABASE), database.path(FileKind.JOURNAL)
        with tempfile.TemporaryDirectory() as folder:
            copies = Path(folder) / "a.db", Path(folder) / "a.db-journal"
            for file, copy in zip(files, copies, strict=True):
                copy.write_bytes(file.read_bytes())
            with closing(sqlite3.connect(copies[0])) as db:
                db.execute("SELECT * FROM sqlite_master").fetchall()
            content = copies[0].read_bytes()
        fd = database.open_file(FileKind.DATABASE, os.O_RDWR, True)
        database.write(FileKind.DATABASE, fd, content, 0, True)
        database.truncate(FileKind.DATABASE, len(content), True, fd)
        database.release(FileKind.DATABASE, fd, True)
        database.remove(FileKind.JOURNAL, applier=True)

    def work(self) -> None:
        waiting, self.later_on = self.later_on, []
        for one in waiting:
            one()


class Way:
    """What a replica asks of the primary, over a network that loses things."""

    def __init__(self, link: Link, trouble: str, chance: random.Random) -> None:
        store = link.primary.store
        assert store is not None
        self._link, self._chance = link, chance
        self.trouble = trouble
        self.halts = Halts(store)
        self.halts._watching = True

    def _ask(self, what: Callable[[], object]) -> None:
        trouble = self.trouble if self._chance.random() < 0.5 else ""
        if self._link.parted or self._link.primary.disk.dead or trouble == "request":
            raise UnreachableError("the network is parted")
        try:
            what()
        except Killed:
            raise UnsureError("the primary is dead") from None
        except PylitefsError as error:
            raise RemoteError(str(error)) from None
        except OSError as error:
            raise RemoteError(f"internal: {error}") from None
        if trouble == "answer" or self._link.primary.disk.dead:
            raise UnsureError("the answer is lost")

    def acquire(self, url: str, name: str, lock_id: int, timeout: float) -> Granted:
        granted: list[Granted] = []

        def acquire() -> None:
            grant = self.halts.acquire(name, lock_id, Patience("a HALT lock", timeout), self._link.node.name)
            granted.append(Granted(grant.pos, grant.expires))

        self._ask(acquire)
        return granted[0]

    def release(self, url: str, name: str, lock_id: int) -> None:
        self._ask(lambda: self.halts.release(name, lock_id))

    def commit(self, url: str, name: str, lock_id: int, ltx: Path) -> None:
        content = ltx.read_bytes()
        cut = self._chance.choice((7, 100, 5000))
        chunks = [content[at : at + cut] for at in range(0, len(content), cut)]
        self._ask(lambda: self.halts.take_in(name, lock_id, chunks))


class HaltSteps:
    """The step `halt`."""

    def __init__(self, world: World, accidents: Accidents) -> None:
        self._world = world
        self._accidents = accidents
        self._clients = accidents.clients

    def halt(self, chance: random.Random) -> str:
        """A replica's clients write."""
        world = self._world
        name = self._clients.name(chance)
        links = [one for one in world.links if one.node.is_up and one.node is not world.primary]
        if not links or not world.primary.is_up or not world.oracle(name).now.content:
            return "no replica, or nothing there"
        link = chance.choice(links)
        for _ in range(20):
            link.flow(chance, 5, quick=True)
        self._clients.let_go(chance)
        self._clients.close_all(name)
        primary, replica = world.primary.store, link.node.store
        if primary is None or replica is None or not primary.status.is_primary or replica.status.is_primary:
            return "who is the primary is not settled"
        database, there = replica.get(name), primary.get(name)
        if database is None or there is None or not database.exists:
            return "the replica has it not"
        if file_size(there.path(FileKind.JOURNAL)) or file_size(there.path(FileKind.WAL)):
            return "a dead client's journal or WAL is there"
        for one in (database, there):
            one.state.close()  # What is applied here goes to the files, past the node: one may be another.
        return self._with_lock(chance, link, database)

    def _with_lock(self, chance: random.Random, link: Link, database: Database) -> str:
        world, name = self._world, database.name
        status = database.state.node.status
        before, status.primary_url = status.primary_url, "http://primary"
        echo, halted.ECHO_S = halted.ECHO_S, 0.0
        trouble = chance.choice(_TROUBLES)
        way = Way(link, trouble, chance)
        assert link.node.store is not None
        holder = InTurn(link.node.store, way)
        said: list[str] = []
        try:
            held = holder.take(database, quick=chance.random() < 0.5)
            assert held is not None
            said = self._write(chance, link, database, trouble)
            if trouble == "expires":
                world.clock.sleep(40.0)
                said += self._write(chance, link, database, "")
            if not link.node.disk.dead:
                _end(holder, held)
        except PylitefsError as error:
            said.append(f"not had ({error})")
        finally:
            halted.ECHO_S, status.primary_url = echo, before
            with suppress(Killed):
                way.halts.end_all("its time is over")
        self._forgive_free_pages(link.node, database)
        doomed = {"primary dies": world.primary, "replica dies": link.node}.get(trouble)
        for node in (node for node in (world.primary, link.node) if node is doomed or node.disk.dead):
            said.append(f"{node.name}: {self._accidents._dies(node, chance, power=chance.random() < 0.5)}")
        return f"{link.node.name} {name} {trouble or 'well'}: {' '.join(said)}"

    def _forgive_free_pages(self, node: Node, database: Database) -> None:
        """SQLite journals no free page, so its roll-back may leave other bytes there: that is a position of
        the replica's own, until the primary's next transaction brings a snapshot (docs/reliability.md)."""
        known = self._world.primary.positions[database.name]
        if str(database.pos) not in known:
            node.strays.setdefault(database.name, []).append({str(database.pos)})
            node.undone.add(database.name)

    def _write(self, chance: random.Random, link: Link, database: Database, trouble: str) -> list[str]:
        """A few transactions of one client of the replica, which closes then."""
        served, name = link.node.served, database.name
        assert served is not None
        if trouble == "primary dies":
            link.primary.disk.dies_soon(chance)
        elif trouble == "replica dies":
            link.node.disk.dies_soon(chance)
        outcomes = []
        try:
            db = served.connect(name)
        except sqlite3.Error as error:
            return [f"not opened ({error})"]
        db.create_function("blob", 2, blob, deterministic=True)
        for _ in range(chance.randint(1, 4)):
            todo = [statement(chance)] if chance.random() < 0.5 else statements(chance)
            try:
                after = self._world.oracle(name).after(todo)
            except sqlite3.Error as error:
                outcomes.append(f"nothing to write ({error})")
                break
            if len(todo) > 1:
                todo = ["BEGIN IMMEDIATE", *todo, "COMMIT"]
            outcomes.append(self._clients.execute(db, todo))
            if link.node.disk.dead and outcomes[-1] == "done":
                outcomes[-1] = "unanswered (killed)"
            self._clients.answered(name, after, outcomes[-1])
            if outcomes[-1] != "done":
                break
        if link.node.disk.dead:
            served.refuse = Node.refuse_all
        with suppress(sqlite3.Error):
            db.close()
        served._connections.remove(db)
        return outcomes


def _end(holder: InTurn, held: HeldHalt) -> None:
    with suppress(Killed):
        holder.give_back(held)
        holder.work()
        holder.work()
