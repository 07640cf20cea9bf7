"""What a history is about: a scenario, drawn from its seed, with its own world, its own weights and steps.

Some faults need several things at once: a burst in WAL mode, whose pages no LTX file holds any more, and a
power failure in the checkpoint after it. Drawn one by one from thirty kinds they seldom meet. So most
histories are of a scenario: few kinds, drawn often, in a world in which they matter. (Swarm testing: Groce
and others, 2012.) The others are drawn from all kinds, for what nobody thought of.

The rule: a scenario says only how often and where. Each of its steps asks the same oracle as all others.
"""

import errno
import random
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.sim import program
from tests.sim.accidents import Accidents, attempt
from tests.sim.clients import Clients
from tests.sim.disk import Killed
from tests.sim.program import Step, statement, statements
from tests.sim.world import World

PLAIN = 0.4
"""So many histories are of no scenario."""


@dataclass(frozen=True)
class Scenario:
    """A kind of history."""

    name: str
    weights: Mapping[str, int]
    world: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Of `World`'s settings, those that are chosen from fewer."""
    pragmas: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """The same of each connection's."""


_WAL = {"mode": ("wal",), "synchronous": (1,)}
_SHORT = {"retention": (1.0,)}
_ROLLBACK = {"mode": ("delete", "truncate", "persist"), "synchronous": (1, 2)}
_FOLLOWED = {"replicas": (1, 1, 2)}

SCENARIOS = (
    Scenario(
        "a burst whose older files are gone, and the power in its checkpoint",
        {"write": 4, "transaction": 5, "fresh_burst": 8, "burst": 2, "reap": 3, "checkpoint": 1, "work": 2},
        {**_WAL, **_SHORT, "replicas": (0, 0, 1), "auto_vacuum": (0,)},
        {"wal_autocheckpoint": (1000,)},
    ),
    Scenario(
        "a burst, and a replica that asks at once",
        {"write": 3, "burst": 4, "ships": 8, "stream": 5, "power": 2, "burst_power": 3, "replica_power": 1},
        {**_WAL, **_FOLLOWED},
        {"wal_autocheckpoint": (1000,)},
    ),
    Scenario(
        "retention of a second and power failures, on a replica that follows",
        {"transaction": 8, "follows": 6, "stream": 6, "reap": 8, "replica_power": 6, "power": 2, "burst": 2},
        {**_SHORT, **_FOLLOWED, "synchronous": (1, 2)},
    ),
    Scenario(
        "retention of a second and power failures, on the primary",
        {"write": 6, "transaction": 6, "reap": 8, "power": 6, "checkpoint": 2, "work": 3},
        {**_WAL, **_SHORT, "replicas": (0, 0, 1)},
        {"wal_autocheckpoint": (0, 1000)},
    ),
    Scenario(
        "free pages, written by a spill that is never committed",
        {"transaction": 6, "frees": 5, "spill_dies": 8, "rollback": 3, "reap": 5, "stream": 2},
        {**_ROLLBACK, **_SHORT, "auto_vacuum": (0,), "replicas": (0, 0, 1)},
        {"secure_delete": (0,), "cache_spill": (1,), "cache_size": (1, 3)},
    ),
    Scenario(
        "growth by pages that are never written",
        {"grow": 8, "frees": 3, "write": 4, "savepoint": 3, "dies": 3, "power": 3, "vacuum": 1, "stream": 3},
        {**_ROLLBACK, "auto_vacuum": (0,)},
        {"secure_delete": (0,), "cache_size": (2000,)},
    ),
    Scenario(
        "a commit that is lost, and a WAL that is written over",
        {
            "loses": 8,
            "write": 5,
            "burst": 3,
            "connect": 4,
            "checkpoint": 1,
            "dies": 2,
            "stream": 3,
            "read": 1,
        },
        {"mode": ("wal",), "synchronous": (1, 2)},
    ),
    Scenario(
        "a connection that is cut among gathered files",
        {"write": 3, "gathered_cut": 8, "stream": 4, "burst": 3, "half": 1, "part": 1, "reap": 1},
        {**_FOLLOWED, "synchronous": (1, 2)},
    ),
    Scenario(
        "gathered files, and the power of who gathers them",
        {"write": 3, "gathered_power": 8, "stream": 4, "burst": 3, "follows": 2, "reap": 2},
        {**_FOLLOWED, "synchronous": (1, 2)},
    ),
    Scenario(
        "a replica that follows at once",
        {"follows": 12, "stream": 2, "replica_power": 4, "replica_dies": 2, "replica_fault": 3, "reap": 2},
        {**_FOLLOWED},
    ),
)


def of(seed: int) -> Scenario | None:
    """What a seed's history is about."""
    chance = random.Random(f"scenario {seed}")
    return None if chance.random() < PLAIN else chance.choice(SCENARIOS)


def drawn(seed: int) -> list[Step]:
    """The steps of its history."""
    scenario = of(seed)
    if scenario is None:
        return program.draw(seed)
    chance = random.Random(f"steps {seed}")
    weights = {**dict.fromkeys(program.WEIGHTS, 0.15), **scenario.weights}
    kinds = ["transaction", *chance.choices(list(weights), list(weights.values()), k=chance.randint(5, 14))]
    return program.with_copies(seed, [Step(kind, chance.getrandbits(32)) for kind in kinds])


class Scenes:
    """The steps that scenarios add: several things that have to come one upon the other."""

    def __init__(self, world: World, clients: Clients, accidents: Accidents) -> None:
        self._world = world
        self._clients = clients
        self._accidents = accidents

    def _connection(self, chance: random.Random, name: str, *pragmas: str) -> sqlite3.Connection:
        db = self._clients.connection(chance, name)
        with suppress(sqlite3.Error):
            for pragma in pragmas:
                db.execute(f"PRAGMA {pragma}").fetchall()
        return db

    def _writes(self, chance: random.Random, name: str, most: int, pause: float) -> list[str]:
        """Commits of a statement each, one after the other; what became of them."""
        # Who made the database has synchronous=FULL: then each commit is durable at once.
        there = bool(self._world.oracle(name).now.content)
        db = self._connection(chance, name, *([f"synchronous={self._world.synchronous}"] if there else []))
        outcomes = []
        for _ in range(chance.randint(2, most)):
            self._world.clock.sleep(pause)
            outcomes.append(self._clients.commit(db, name, [statement(chance)]))
            if self._world.primary.disk.dead or outcomes[-1] != "done":
                break
        return outcomes

    # -- the primary -----------------------------------------------------------------------------------

    def fresh_burst(self, chance: random.Random) -> str:
        """Neither the WAL nor an LTX file that is kept holds what a burst changes, and the power fails while
        its pages are copied."""
        clients, accidents, disk = self._clients, self._accidents, self._world.primary.disk
        name = clients.name(chance)
        attempt(lambda _: clients.commit(clients.connection(chance, name), name, statements(chance)), chance)
        with suppress(sqlite3.Error):
            clients.connection(chance, name).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if chance.random() < 0.7:
            accidents.work(chance)
            accidents.reap(chance)
        outcome = " ".join(self._writes(chance, name, 6, 0.0004))
        disk.dies_when = frozenset({chance.choice(("write", "sync"))}), chance.randrange(4, 14)
        how = chance.choice(("PASSIVE", "FULL", "RESTART"))
        outcome += f", {attempt(lambda _: self._checkpoint(chance, name, how), chance)}"
        return f"{outcome}; {accidents._dies(self._world.primary, chance, power=True)}"

    def _checkpoint(self, chance: random.Random, name: str, how: str) -> str:
        return self._clients.execute(
            self._clients.connection(chance, name), [f"PRAGMA wal_checkpoint({how})"]
        )

    def frees(self, chance: random.Random) -> str:
        """Pages are used, and free again."""
        name = self._clients.name(chance)
        db = self._connection(chance, name, "secure_delete=0")
        size = chance.randint(5_000, 40_000)
        outcome = self._clients.commit(db, name, [f"INSERT INTO t (x) VALUES (blob({size}, {size}))"])
        if outcome != "done":
            return outcome
        gone = chance.choice(
            ("(SELECT max(id) FROM t)", "(SELECT min(id) FROM t)", "(SELECT avg(id) FROM t)")
        )
        return self._clients.commit(db, name, [f"DELETE FROM t WHERE id >= {gone}"])

    def grow(self, chance: random.Random) -> str:
        """A transaction makes the database longer by pages that it frees again: SQLite never writes them."""
        name = self._clients.name(chance)
        db = self._connection(chance, name, "secure_delete=0", "cache_size=2000")
        todo = [
            f"INSERT INTO t (x) VALUES (zeroblob({chance.randint(5_000, 60_000)}))",
            *statements(chance, 2),
            "DELETE FROM t WHERE id = (SELECT max(id) FROM t WHERE length(x) > 4000)",
        ]
        return self._clients.commit(db, name, todo[: chance.choice((1, 3))] + todo[-1:])

    def spill_dies(self, chance: random.Random) -> str:
        """A transaction that does not fit into the cache is killed, once it has written into free pages."""
        clients, disk = self._clients, self._world.primary.disk
        name = clients.name(chance)
        if not self._world.oracle(name).now.content:
            return "nothing there"
        db = self._connection(chance, name, "secure_delete=0", "cache_size=1", "cache_spill=1")
        seed = chance.getrandbits(20)
        todo = [f"INSERT INTO t (x) VALUES (blob({seed + at}, {chance.randint(3_000, 30_000)}))"
                for at in range(3)]  # fmt: skip
        disk.dies_when = frozenset({"write"}), chance.randint(4, 60)
        outcome = attempt(lambda _: clients.commit(db, name, todo), chance)
        return f"{outcome}; {self._accidents._dies(self._world.primary, chance, power=chance.random() < 0.3)}"

    def loses(self, chance: random.Random) -> str:
        """A client is killed once its commit is in the WAL, and before others may see it; then others write
        over it."""
        clients, world = self._clients, self._world
        name = clients.name(chance)
        served = world.primary.served
        assert served is not None
        if not world.oracle(name).now.content:
            return "nothing there"
        other = clients.connection(chance, name)
        with suppress(sqlite3.Error):
            other.execute("SELECT count(*) FROM t").fetchall()
        db = clients.open(chance, name)
        left = [chance.randint(1, 10)]

        def refuse(call: str, its: str) -> int:
            return errno.ENOTCONN if left[0] <= 0 and call != "close" else 0

        def lose(call: str, its: str) -> int:
            left[0] -= call == "write"
            return errno.ENOTCONN if left[0] <= 0 and call != "close" else 0

        served.refuse, served.lose = refuse, lose
        try:
            outcome = clients.commit(db, name, [f"UPDATE t SET x = blob({left[0]}, 30) WHERE id < 4"])
            left[0] = 0
            clients.close(db)
        finally:
            served.refuse = served.lose = lambda call, its: 0
        world.check(world.primary, name)  # Which of the two is there decides what the next one makes.
        todo = statements(chance, 3)
        return f"{outcome}, then {attempt(lambda _: clients.commit(other, name, todo), chance)}"

    # -- replicas --------------------------------------------------------------------------------------

    def ships(self, chance: random.Random) -> str:
        """A burst, and its replicas ask before its files are durable."""
        outcome = " ".join(self._writes(chance, self._clients.name(chance), 6, 0.0004))
        for link in self._world.links:
            link.flow(chance, 4, quick=True)
        return outcome

    def follows(self, chance: random.Random) -> str:
        """Transactions that come one by one: each is applied before the next."""
        name = self._clients.name(chance)
        db = self._clients.connection(chance, name)
        outcomes = []
        for _ in range(chance.randint(1, 3)):
            some = chance.choice((f"UPDATE t SET x = blob({chance.getrandbits(20)}, 200) WHERE id < 4",
                                  "INSERT INTO t (x) VALUES (NULL)", statement(chance)))  # fmt: skip
            outcomes.append(self._clients.commit(db, name, [some]))
            self._world.primary.work()
            for link in self._world.links:
                link.flow(chance, 5, quick=True)
        return " ".join(outcomes)

    def gathered_cut(self, chance: random.Random) -> str:
        """Several files are on their way, a part of them comes, and then the connection's end."""
        if (outcome := self._gather(chance)) and self._world.links:
            for link in self._world.links:
                link.break_off("cut", chance)
                self._world.tell(f"drop {link.lesson_name}")
                link.flow(chance, chance.choice((1, 4, 12)), quick=True)
        return outcome

    def gathered_power(self, chance: random.Random) -> str:
        """Several files come at once, and the power fails while they are made durable."""
        outcome = self._gather(chance)
        if not self._world.links:
            return "no replica"
        link = chance.choice(self._world.links)
        link.node.disk.dies_when = frozenset({chance.choice(("sync", "sync", "write"))}), chance.randrange(4)
        link.flow(chance, 3, quick=True)
        return f"{outcome}; {self._accidents._dies(link.node, chance, power=True)}"

    def _gather(self, chance: random.Random) -> str:
        """Replicas have all; then files are sent to them that do not come yet."""
        for link in self._world.links:
            link.flow(chance, 6, quick=True)
        outcomes = self._writes(chance, self._clients.name(chance), 6, 0.005)
        with suppress(Killed):
            self._world.primary.work()
        for link in self._world.links:
            link.send(8)
        return " ".join(outcomes)
