"""What happens in a history: a list of steps, drawn from one seed, and the SQL of those that write.

Most histories are of a scenario, and draw their steps by it (scenarios.py).

The rule: pure. A step holds its kind and a seed of its own, so whatever steps are left out before it, it
draws the same. Each statement says all of its values, for two SQLites have to do the same by it.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

MODES = ("delete", "truncate", "persist", "wal")
DATABASES = ("a.db", "b.db")


@dataclass(frozen=True)
class Step:
    """One thing that happens."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed:x}"

    @staticmethod
    def parse(text: str) -> "Step":
        kind, _, seed = text.partition(":")
        return Step(kind, int(seed, 16))


WEIGHTS: dict[str, int] = {
    "write": 10,
    "transaction": 14,
    "savepoint": 5,
    "rollback": 3,
    "burst": 8,
    "both": 4,
    "vacuum": 2,
    "incremental_vacuum": 2,
    "checkpoint": 4,
    "mode": 4,
    "connect": 4,
    "disconnect": 3,
    "read": 3,
    "let_go": 3,
    "drop": 1,
    "import": 2,
    "reap": 7,
    "pass": 4,
    "work": 6,
    "stream": 12,
    "cut": 2,
    "part": 2,
    "half": 2,
    "replica_fault": 2,
    "client_dies": 5,
    "fault": 3,
    "dies": 6,
    "power": 8,
    "both_power": 2,
    "burst_power": 4,
    "replica_dies": 3,
    "replica_power": 3,
    "restart": 1,
    "halt": 4,
}
ROLES: dict[str, int] = {"handoff": 3, "failover": 4, "returns": 2}
"""What changes the primary. These are drawn apart: histories without them are what they were before."""
SHARE = 0.25
"""So many histories have changes of the primary."""

EXPORTS = 0.3
"""So many histories have exports, which are drawn apart as well."""
BACKUPS: dict[str, int] = {"back_up": 6, "restore": 2, "reap_with_backup": 2}
BACKED_UP = 0.25
"""So many of those in which the primary stays have a backup."""
RESIGNS = 0.4
"""In so many of those in which the primary changes, its node is also stopped, once or twice."""
UNJOURNALED = 0.2
"""So many histories have a client in the modes MEMORY and OFF now and then."""
RESTORED = 0.15
"""So many of those that have no copies and no other primary have restores into the primary: after one of
them a TXID says no more which history it is of."""
MOMENTS = 0.3
"""So many of those without such a restore look at what was."""
APART = (*BACKUPS, "export", "unjournaled", "resigns", "put_back", "moment")
"""The kinds that are put among the others afterwards: histories without them are what they were before."""


def draw(seed: int, length: int = 0) -> list[Step]:
    """The steps of a history."""
    chance = random.Random(f"steps {seed}")
    # Each history has its own taste: some kinds often, some never.
    weights = [weight * chance.choice((0, 1, 1, 1, 3)) for weight in WEIGHTS.values()]
    weights[0] += 5
    length = length or chance.randint(6, 30)
    kinds = chance.choices(list(WEIGHTS), weights, k=length)
    steps = [Step(kind, chance.getrandbits(32)) for kind in kinds]
    roles = random.Random(f"roles {seed}")
    if roles.random() < SHARE:
        kinds = ["failover" if roles.random() < 0.5 else "handoff"]
        kinds += roles.choices(list(ROLES), list(ROLES.values()), k=roles.choice((0, 1, 1, 2, 3)))
        at = sorted(roles.randint(0, len(steps)) for _ in kinds)
        for number, (kind, place) in enumerate(zip(kinds, at, strict=True)):
            steps.insert(place + number, Step(kind, roles.getrandbits(32)))
    return with_copies(seed, steps)


def with_copies(seed: int, steps: list[Step]) -> list[Step]:
    """The same steps, and among them, now and then, those that make copies of databases."""
    chance, steps = random.Random(f"copies {seed}"), list(steps)
    kinds = ["export"] * chance.choice((1, 2, 3)) if chance.random() < EXPORTS else []
    if chance.random() < BACKED_UP and not any(step.kind in ROLES for step in steps):
        kinds += ["back_up", *chance.choices(list(BACKUPS), list(BACKUPS.values()), k=chance.randint(1, 6))]
    at = sorted(chance.randint(1, len(steps)) for _ in kinds)
    for number, (kind, place) in enumerate(zip(kinds, at, strict=True)):
        steps.insert(place + number, Step(kind, chance.getrandbits(32)))
    return _with_more(seed, steps)


def _with_more(seed: int, steps: list[Step]) -> list[Step]:
    """The same steps, and among them, now and then, those that are not drawn with the others."""

    def put(kind: str, share: float, most: int) -> None:
        chance = random.Random(f"{kind} {seed}")
        for _ in range(chance.randint(1, most) if chance.random() < share else 0):
            steps.insert(chance.randint(1, len(steps)), Step(kind, chance.getrandbits(32)))

    kinds = {step.kind for step in steps}
    put("unjournaled", UNJOURNALED, 4)
    if kinds & {*ROLES}:
        put("resigns", RESIGNS, 2)
    elif not kinds & {*BACKUPS, "export"}:
        put("put_back", RESTORED, 3)
    if not any(step.kind == "put_back" for step in steps):
        put("moment", MOMENTS, 4)
    return steps


SCHEMA = (
    "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
    "CREATE TABLE w (k TEXT PRIMARY KEY, v, n INT) WITHOUT ROWID",
)


def statement(chance: random.Random) -> str:
    """A statement that changes something, or not."""
    seed, key = chance.randrange(1 << 30), chance.randint(1, 60)
    some = chance.randint(2, 9)
    return chance.choice(
        [
            f"INSERT INTO t (x) VALUES (blob({seed}, {chance.randint(1, 3000)}))",
            f"INSERT INTO t (x) VALUES (blob({seed}, {chance.randint(1, 300)}))",
            f"INSERT INTO t (x) SELECT blob({seed} + id, 40 * (id % {some})) FROM t WHERE id % {some} = 1",
            f"UPDATE t SET x = blob({seed} + id, {chance.randint(1, 900)}) WHERE id % {some} = 0",
            f"DELETE FROM t WHERE id % {some} = 0",
            "DELETE FROM t WHERE id > (SELECT avg(id) FROM t)",
            "UPDATE t SET x = x",
            f"INSERT OR REPLACE INTO w VALUES ('k{key}', blob({seed}, {chance.randint(1, 700)}), {key})",
            f"INSERT OR REPLACE INTO w SELECT 'k' || id, x, id FROM t WHERE id < {key}",
            f"DELETE FROM w WHERE n % {some} = 1",
            f"UPDATE w SET v = NULL WHERE n < {key}",
            "CREATE TABLE IF NOT EXISTS u (y)",
            f"INSERT INTO t (x) VALUES (zeroblob({chance.randint(5_000, 60_000)}))",
            "DROP TABLE IF EXISTS u",
            "CREATE INDEX IF NOT EXISTS i ON t (x)",
            "CREATE UNIQUE INDEX IF NOT EXISTS j ON w (n, k)",
            "DROP INDEX IF EXISTS i",
        ]
    )


def statements(chance: random.Random, most: int = 5) -> list[str]:
    return [statement(chance) for _ in range(chance.randint(1, most))]


def for_a_shell(statements: Iterable[str]) -> str:
    """The same statements for a shell that has no function `blob`: as many bytes, others each time."""
    said = "; ".join(re.sub("CREATE TABLE (?!IF)", "CREATE TABLE IF NOT EXISTS ", one) for one in statements)
    return re.sub(r"blob\([^,()]*, ", "randomblob(", said.replace("zeroblob(", "zeroBLOB("))
