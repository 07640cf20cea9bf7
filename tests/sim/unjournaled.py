"""Transactions in the modes MEMORY and OFF: no journal on the disk says where one begins or ends.

    BEGIN … COMMIT         pages written, nobody has the database locked: the node captures what changed
    BEGIN … ROLLBACK       with MEMORY, SQLite writes the old pages back: there is nothing to capture

Between a commit and its capture the node may be killed, and a call of its disk may fail. In the middle of
a transaction nothing happens here: SQLite itself promises nothing then (docs/reliability.md), nor after a
power failure before the capture.

The rule: what was committed is there afterwards, as one transaction of the node's or as several.
"""

import errno
import random
import sqlite3
from contextlib import suppress

from tests.sim.accidents import Accidents
from tests.sim.clients import Clients
from tests.sim.disk import Killed
from tests.sim.oracle import Wrong
from tests.sim.program import statements
from tests.sim.world import World

_FAULTS = ("write", "sync", "open", "unlink", "rename")


class Unjournaled:
    """The step of it."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents) -> None:
        self._world = world
        self._clients = clients
        self._accidents = accidents

    def unjournaled(self, chance: random.Random) -> str:
        """One client, in one of the two modes, and what comes between its commits and their capture."""
        world, clients = self._world, self._clients
        name = clients.name(chance)
        if not world.oracle(name).now.content:
            return "nothing there"
        clients.let_go(chance)
        clients.close_all(name)
        db = clients.open(chance, name)
        mode = chance.choice(("memory", "off"))
        try:
            if db.execute(f"PRAGMA journal_mode={mode}").fetchone() != (mode,):
                return f"no {mode} here"
            said = [self._write(chance, db, name, mode) for _ in range(chance.randint(1, 4))]
        except sqlite3.OperationalError as error:
            said = [f"failed ({error})"]
        if chance.random() < 0.5:
            clients.close(db)
        said.append(self._captured(chance))
        clients.close(db)
        return f"{mode}: {' '.join(said)}"

    def _write(self, chance: random.Random, db: sqlite3.Connection, name: str, mode: str) -> str:
        seed = chance.getrandbits(20)
        todo = [*statements(chance), f"INSERT INTO t (x) VALUES (blob({seed}, {chance.randint(1, 9000)}))"]
        if mode == "memory" and chance.random() < 0.3:
            return self._clients.execute(db, ["BEGIN", *todo, "ROLLBACK"])
        oracle, database = self._world.oracle(name), self._world.unlocked(name)
        assert database is not None
        after = oracle.after(todo)
        outcome = self._clients.execute(db, ["BEGIN IMMEDIATE", *todo, "COMMIT"])
        if outcome != "done":
            raise Wrong(f"{name}: nothing was in the way of a commit, and it {outcome}")
        # It is the next transaction, with those that are captured together with it.
        oracle.acknowledged(after, database.pos.txid + 1)
        if chance.random() < 0.3:
            self._world.primary.work()
        return outcome

    def _captured(self, chance: random.Random) -> str:
        """What the node's thread does, or what keeps it from it."""
        node = self._world.primary
        trouble = chance.choice(("", "", "fails", "dies", "killed"))
        if trouble == "fails":
            node.disk.fault = (
                frozenset(_FAULTS),
                chance.randrange(6),
                chance.choice((errno.ENOSPC, errno.EIO)),
            )
        elif trouble == "dies":
            node.disk.dies_soon(chance)
        if trouble != "killed":
            with suppress(Killed):
                node.work()
        node.disk.fault = None
        assert node.store is not None
        broken = any(one.state.sync_failure is not None for one in node.store.databases())
        if broken or node.disk.dead or trouble in {"dies", "killed"}:
            trouble += f", {self._accidents._killed(node, chance)}"
        return trouble
