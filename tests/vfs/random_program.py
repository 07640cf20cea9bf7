"""Random programs for SQLite, the same on two databases: on a front end, and on plain SQLite beside it.

The same seed gives the same statements and the same blobs. What a statement may raise, it raises on both.
"""

import random
from collections.abc import Callable, Iterator

import apsw

MODES = ("delete", "truncate", "persist", "memory", "wal")


def prepare(db: apsw.Connection, seed: int, mode: str = "", locking: str = "exclusive") -> None:
    """Page size, mode and tables by the seed; `randomblob` is the seed's own. `locking`: in WAL mode."""
    chance = random.Random(seed)
    blobs = random.Random(seed + 1)

    def blob(*size: object) -> bytes:
        return blobs.randbytes(max(int(str(size[0])), 1))

    db.create_scalar_function("randomblob", blob, 1)
    mode = mode or chance.choice(MODES)
    db.execute(f"PRAGMA page_size={chance.choice([512, 1024, 4096, 65536])}")
    db.execute(f"PRAGMA auto_vacuum={chance.choice([0, 0, 1, 2])}")
    db.execute(f"PRAGMA cache_size={chance.choice([2, 5, 2000])}")
    db.execute(f"PRAGMA secure_delete={chance.choice([0, 1])}")
    db.execute(f"PRAGMA synchronous={chance.choice([0, 1, 2])}")
    if mode == "wal":
        db.execute(f"PRAGMA locking_mode={locking}")
        db.execute(f"PRAGMA wal_autocheckpoint={chance.choice([0, 3, 1000])}")
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("CREATE TABLE w (k TEXT PRIMARY KEY, x) WITHOUT ROWID")


def steps(seed: int, count: int) -> Iterator[list[str]]:
    """So many pieces of a program, each whole: outside a transaction before and afterwards."""
    chance = random.Random(seed + 2)

    def statement() -> str:
        n = chance.randint(1, 9)
        return chance.choice(
            [
                f"INSERT INTO t (x) VALUES (randomblob({chance.randint(1, 6000)}))",
                f"INSERT INTO t (x) SELECT randomblob(id % 900) FROM t LIMIT {n}",
                f"UPDATE t SET x = randomblob({chance.randint(1, 999)}) WHERE id % {n} = 0",
                f"DELETE FROM t WHERE id % {n + 1} = 0",
                f"REPLACE INTO w VALUES ('k{chance.randint(1, 40)}', randomblob({chance.randint(1, 700)}))",
                f"DELETE FROM w WHERE k LIKE '%{n}'",
                "CREATE INDEX IF NOT EXISTS i ON t (x)",
                "DROP INDEX IF EXISTS i",
                "CREATE TABLE IF NOT EXISTS u (y)",
                "DROP TABLE IF EXISTS u",
                f"INSERT INTO t (x) VALUES (zeroblob({chance.randint(10_000, 60_000)}))",
                "CREATE TEMP TABLE IF NOT EXISTS z AS SELECT * FROM t",
            ]
        )

    def some() -> list[str]:
        return [statement() for _ in range(chance.randint(1, 5))]

    pieces: list[Callable[[], list[str]]] = [
        lambda: [statement()],
        lambda: ["BEGIN", *some(), "COMMIT"],
        lambda: ["BEGIN IMMEDIATE", *some(), "ROLLBACK"],
        lambda: ["BEGIN", *some(), "SAVEPOINT s", *some(), "ROLLBACK TO s", *some(), "COMMIT"],
        lambda: ["PRAGMA wal_checkpoint(TRUNCATE)"],
        lambda: [f"PRAGMA incremental_vacuum({chance.randint(1, 20)})"],
        lambda: ["VACUUM"],
    ]
    for _ in range(count):
        yield chance.choices(pieces, [6, 6, 3, 3, 1, 1, 1])[0]()


def rows(db: apsw.Connection) -> list[tuple[object, ...]]:
    """All there is, and the schema."""
    found = [*db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name")]
    tables = [name for kind, name, _ in found if kind == "table"]
    return found + [row for name in tables for row in db.execute(f"SELECT * FROM {name} ORDER BY 1")]
