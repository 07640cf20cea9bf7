"""Exports in a history: what `GET /export` gives, of the primary and of a replica, whatever happens then.

    a client's commit, a replica's apply, `rm` --> in the middle of a copy --> bytes --> the oracle

The copy is the product's (store/snapshot.py), in pieces of a few pages. Between two of them somebody writes,
as far as the locks let them; or a call of the disk fails, or the node is killed.

The rule: what an export gives is a whole database, of a position that was there; it is not older than what
was seen before it. Whoever is not in its way does not make it fail.
"""

import errno
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from pylitefs.errors import BusyError, DatabaseNotFoundError, PylitefsError
from pylitefs.http import app
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.wal_index import read_header
from pylitefs.store import snapshot
from pylitefs.store.applying import LOCK_S
from pylitefs.store.database import Database
from pylitefs.store.turns import LOOK_S, Patience, Turns
from tests.sim.accidents import Accidents
from tests.sim.clients import Clients
from tests.sim.disk import Killed
from tests.sim.known import check_copy, rows_at
from tests.sim.node import Node
from tests.sim.oracle import Oracle, Wrong
from tests.sim.program import statement, statements
from tests.sim.roles import Locking, Roles
from tests.sim.world import World

_KINDS = (frozenset({"write"}), frozenset({"sync"}), frozenset({"open", "unlink", "write", "truncate"}))
_BACKFILLED = slice(96, 100)
"""In the WAL index: how many frames a checkpoint has copied."""


class Exports:
    """The step `export`."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents, roles: Roles) -> None:
        self._world = world
        self._clients = clients
        self._accidents = accidents
        self._roles = roles

    def export(self, chance: random.Random) -> str:
        """Somebody asks a node for a database."""
        world = self._world
        name = self._clients.name(chance)
        up = [node for node in world.nodes if node.is_up and not any(one[0] is node for one in world.left)]
        if not up:
            return "no node is up"
        node = world.primary if world.primary in up and chance.random() < 0.4 else chance.choice(up)
        assert node.store is not None
        if not node.primary:
            for its in node.store.databases():
                its.state.close()  # What is applied goes past the node: a file may be another one.
        database = node.store.get(name)
        if database is None or not database.exists or not database.page_count:
            return f"{node.name} has nothing of {name}"
        return f"{name} of {node.name}: {_Export(self, node, database, chance).made()}"


class _Export:
    """One of them."""

    def __init__(self, exports: Exports, node: Node, database: Database, chance: random.Random) -> None:
        self._world, self._clients = exports._world, exports._clients
        self._accidents, self._roles = exports._accidents, exports._roles
        self._node, self._database, self._chance = node, database, chance
        self._oracle = self._world.oracle(database.name) if node.primary else Oracle()
        self._trouble = chance.choice(("", "", "", "fault", "dies"))
        self._between_at = chance.choice((0, 0, 1, 2, 4, 9)) if chance.random() < 0.6 else -1
        self._said: list[str] = []
        self._ends: Callable[[], None] | None = None

    def made(self) -> str:
        """What came of it."""
        chance, node, database = self._chance, self._node, self._database
        readers = bool(self._world.readers)
        if node.primary and chance.random() < 0.25:
            self._ends = self._roles._begin_to_write(chance)
        before, since = database.pos, self._oracle.now
        maybe = [*self._oracle.maybe]
        quiet = not (self._trouble or self._ends or readers) and self._between_at < 0
        self._arm()
        try:
            with self._in_the_middle():
                content, pos = self._bytes()
        except Killed:
            self._said.append("killed")
        except (PylitefsError, OSError) as error:
            if quiet:
                raise Wrong(f"{database.name} on {node.name} is not exported: {error}") from error
            self._said.append(f"refused ({error})" if isinstance(error, PylitefsError) else f"{error.errno}")
        else:
            self._check(content, pos, before)
            self._check_was_there(pos)
            if node.primary:
                # Several states may hold the same rows.
                later = [*self._oracle.all[_place(self._oracle, since) :], *maybe, *self._oracle.maybe]
                rows = {one.rows for one in later}
                allowed = [one for one in rows_at(self._oracle, pos.txid) if one in rows]
                check_copy(content, pos, allowed, self._where)
            elif database.name not in node.strays and database.name not in node.undone:
                allowed = rows_at(self._world.oracle(database.name), pos.txid)
                check_copy(content, pos, allowed, self._where)
            self._said.append(f"{len(content)} bytes at {pos}")
        self._afterwards()
        return ", ".join(self._said)

    @property
    def _where(self) -> str:
        return f"an export of {self._database.name} on {self._node.name}"

    def _arm(self) -> None:
        disk, chance = self._node.disk, self._chance
        if self._trouble == "fault":
            disk.fault = (
                chance.choice(_KINDS),
                chance.randrange(4),
                chance.choice((errno.ENOSPC, errno.EIO)),
            )
        elif self._trouble == "dies":
            disk.dies_at = disk.calls + chance.randint(1, 8)

    def _bytes(self) -> tuple[bytes, Pos]:
        """As the HTTP server makes them: app.py's `_export`, without a request."""
        store, name = self._node.store, self._database.name
        assert store is not None
        patience = Patience("an export", store.snapshot_timeout_s)
        found: list[Pos] = []
        store.check_served(name)
        path = store.temp_path(".export")
        with app._made_file(path, lambda path: found.append(store.export(name, path, patience))) as file:
            content = file.read()
        if path.exists() and not self._trouble:
            raise Wrong(f"{self._where} has left {path.name}")
        return content, found[0]

    def _check(self, content: bytes, pos: Pos, before: Pos) -> None:
        """By itself: whole, and not older."""
        if self._database.name not in self._node.strays and pos.txid < before.txid:
            raise Wrong(f"{self._where} is at {pos}, and it was at {before} before")
        header = DatabaseHeader.parse(content[:DATABASE_HEADER_SIZE])
        if header.pages(len(content)) * header.page_size != len(content):
            raise Wrong(f"{self._where} has {len(content)} bytes, and its header says otherwise")

    def _check_was_there(self, pos: Pos) -> None:
        """It is a position of the primary's, or, until it follows, of a history that is given up."""
        node, name = self._node, self._database.name
        if str(pos) in self._world.primary.positions.get(name, ()) or name in node.strays:
            return
        span = next((one for one in self._database.ltx_files() if one[1] == pos.txid), None)
        if node.primary and span is not None:
            _, trailer = verify_file(self._database.ltx_path(*span))
            if trailer.post_apply_checksum == pos.checksum:
                return
        raise Wrong(f"{self._where} is at {pos}, where the primary never was")

    def _afterwards(self) -> None:
        node, chance = self._node, self._chance
        node.disk.fault = None
        for link in self._world.links:
            if link.node is node and not node.disk.dead:
                link.flow(chance, 1, quick=True)  # An apply that has waited for its turn goes on.
        if not node.disk.dead and self._trouble == "dies":
            node.disk.dies_at = 0
        if self._ends is not None and not node.disk.dead:
            self._ends()
        store = node.store
        failed = store is not None and any(one.state.sync_failure is not None for one in store.databases())
        if node.disk.dead or failed:
            # After a sync that failed it takes no transaction any more: a person starts it again.
            power = not failed and chance.random() < 0.5
            self._said.append(self._accidents._dies(node, chance, power=power))

    # -- meanwhile -------------------------------------------------------------------------------------

    @contextmanager
    def _in_the_middle(self) -> Iterator[None]:
        """Within, the copy is made in small pieces, and others live on between them."""
        node = self._node
        assert node.store is not None and node.served is not None
        applier: Any = node.store.applier
        whole, pieces = snapshot._copy_bytes, [0]

        def copy(source: int, target: int, size: int) -> Iterator[int]:
            for copied in whole(source, target, size):
                yield copied
                if pieces[0] == self._between_at:
                    self._somebody()
                pieces[0] += 1

        most = self._chance.choice((512, 1024, 4096))
        changes: list[tuple[Any, str, Any]] = [(Turns, "_take", self._take)]
        if self._chance.random() < 0.7:
            # As a large one: under a reader's locks, and not between two writes.
            changes += [(snapshot, "_SMALL", 0), (snapshot, "_FIRST", most), (snapshot, "_COPY", most)]
            changes += [(snapshot, "_copy_bytes", copy)]
        if node.primary:
            locking = Locking(node.store, node.served)
            changes += [
                (applier, "read_lock", self._read_lock),
                (applier, "rollback_hot_journal", locking.rollback_hot_journal),
            ]
        with ExitStack() as stack:
            for owner, attribute, value in changes:
                if attribute in vars(owner):
                    stack.callback(setattr, owner, attribute, vars(owner)[attribute])
                else:
                    stack.callback(delattr, owner, attribute)
                setattr(owner, attribute, value)
            yield

    @property
    def _take(self) -> Callable[[Turns, Patience], None]:
        """`Turns._take`, where who waits lets the history's time pass. A replica's thread waits for its turn
        until the copy is made; were it to give up, the product would go on in a thread of its own."""
        clock = self._world.clock
        link = next((one for one in self._world.links if one.node is self._node), None)

        def take(turns: Turns, patience: Patience) -> None:
            while turns._holder:
                if link is not None and threading.current_thread().name == "fiber":
                    link.fiber.wait(lambda: not turns._holder)
                    continue
                patience.blocked(turns._database, f"{turns._holder} is under way")
                clock.sleep(min(LOOK_S, patience.left))
            turns._holder = patience.what

        return take

    @contextmanager
    def _read_lock(self, name: str, wal: bool, timeout: float = LOCK_S) -> Iterator[None]:
        """A reader's locks are a reader's. (Against checkpoints: see `_may_go_on`.)"""
        served = self._node.served
        assert served is not None
        served.as_applier = True
        db = served.connect(name, mode="ro")
        served._connections.remove(db)
        busy = ""
        try:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            # A dead writer's journal is no lock; the copy sees its pages itself.
            busy = str(error) if "locked" in str(error) else ""
        finally:
            served.as_applier = False
        try:
            if busy:
                self._world.clock.sleep(timeout)
                if self._ends is not None and self._chance.random() < 0.6:
                    self._ends()
                    self._ends = None
                raise BusyError(f"locked: {busy}")
            yield
        finally:
            served.as_applier = True
            with suppress(sqlite3.Error):
                db.close()
            served.as_applier = False

    def _somebody(self) -> None:
        """In the middle of a copy."""
        chance, world, node = self._chance, self._world, self._node
        if not node.primary:
            link = next(one for one in world.links if one.node is node)
            link.flow(chance, chance.choice((4, 12)), quick=True)
            self._said.append("the stream goes on")
            return
        if not self._may_go_on():
            return
        try:
            self._said.append(self._writes())
        except (sqlite3.Error, DatabaseNotFoundError) as error:
            self._said.append(f"nobody writes ({error})")

    def _writes(self) -> str:
        chance, clients, name = self._chance, self._clients, self._database.name
        if chance.random() < 0.1 and self._ends is None:
            return f"dropped: {clients.drop(chance)}"
        db = clients.connection(chance, name)
        db.execute("PRAGMA wal_autocheckpoint=0").fetchall()  # A checkpoint is kept away.
        todo = statements(chance) if chance.random() < 0.5 else [statement(chance)]
        return f"a commit: {clients.commit(db, name, todo)}"

    def _may_go_on(self) -> bool:
        """A WAL that is copied as a whole begins anew with the next commit, and the real locks keep that
        away."""
        shm = self._database.dir / "shm"
        if not shm.exists():
            return True
        raw = shm.read_bytes()
        head = read_header(raw[:96])
        return head is None or int.from_bytes(raw[_BACKFILLED], "little") < head.max_frame


def _place(oracle: Oracle, state: object) -> int:
    """Where a state stands; what came before the first one that is left is no longer known."""
    return next((at for at, one in enumerate(oracle.all) if one is state), 0)
