"""Random statements in every journal mode, on several connections, with clients that are killed and disks
that fail: after each, what SQLite's readers see, the position and the LTX files agree (invariants 1 to 3)."""

import errno
import itertools
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import checksum_of, data_file, is_whole, opened, replayed

MODES = ["delete", "truncate", "persist", "wal"]
TABLE = "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)"


class World:
    """One database under several connections; `step` does something random to it."""

    def __init__(self, store: Store, directory: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.blobs = random.Random(seed + 1)
        self.store = store
        self.served = Served(store, directory)
        self.done: list[str] = []
        self.mode = self.chance.choice([*MODES, "wal", "wal"])
        self.psow = self.chance.choice([1, 1, 0])
        first = self.connect()
        first.execute(f"PRAGMA page_size={self.chance.choice([512, 1024, 4096, 4096, 65536])}")
        first.execute(f"PRAGMA auto_vacuum={self.chance.choice([0, 0, 1, 2])}")
        first.execute(f"PRAGMA journal_mode={self.mode}")
        first.execute(TABLE)
        self.connections = [first]

    def connect(self) -> sqlite3.Connection:
        choose = self.chance.choice
        db = self.served.connect(
            "a.db",
            f"cache_size={choose([1, 5, 2000])}",
            f"secure_delete={choose([0, 1])}",
            f"synchronous={choose([0, 1, 2, 3])}",
            f"wal_autocheckpoint={choose([0, 3, 1000])}",
            f"cache_spill={choose([0, 1])}",
            psow=self.psow,
        )
        # The same seed makes the same bytes.
        db.create_function("randomblob", 1, self.blobs.randbytes)
        return db

    @property
    def db(self) -> sqlite3.Connection:
        return self.chance.choice(self.connections)

    def execute(self, db: sqlite3.Connection, *statements: str) -> None:
        """Statements, which may fail as SQLite's do; no transaction is open afterwards."""
        try:
            for statement in statements:
                self.done.append(statement)
                db.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            self.done.append(f"  -> {error}")
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.OperationalError as error:
                self.done.append(f"  -> rollback: {error}")

    def statement(self) -> str:
        chance = self.chance
        return chance.choice(
            [
                f"INSERT INTO t (x) VALUES (randomblob({chance.randint(1, 6000)}))",
                "INSERT INTO t (x) SELECT randomblob(id % 900) FROM t LIMIT 9",
                f"UPDATE t SET x = randomblob({chance.randint(1, 999)}) WHERE id % {chance.randint(2, 9)}",
                f"DELETE FROM t WHERE id % {chance.randint(2, 9)} = 0",
                "UPDATE t SET x = x",
                "DELETE FROM t WHERE id > (SELECT avg(id) FROM t)",
                "CREATE TABLE IF NOT EXISTS u (y)",
                "DROP TABLE IF EXISTS u",
                "CREATE INDEX IF NOT EXISTS i ON t (x)",
                "DROP INDEX IF EXISTS i",
                f"INSERT INTO t (x) VALUES (zeroblob({chance.randint(10_000, 90_000)}))",
            ]
        )

    def statements(self) -> list[str]:
        return [self.statement() for _ in range(self.chance.randint(1, 5))]

    # -- steps -----------------------------------------------------------------------------------------

    def write(self) -> None:
        self.execute(self.db, self.statement())

    def transaction(self) -> None:
        self.execute(self.db, "BEGIN", *self.statements(), self.chance.choice(["COMMIT", "ROLLBACK"]))

    def savepoint(self) -> None:
        self.execute(self.db, "BEGIN", self.statement(), "SAVEPOINT s", *self.statements(), "ROLLBACK TO s",
                     self.statement(), "COMMIT")  # fmt: skip

    def checkpoint(self) -> None:
        how = self.chance.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
        self.execute(self.db, f"PRAGMA wal_checkpoint({how})")

    def vacuum(self) -> None:
        size = self.chance.choice([0, 0, 512, 1024, 8192])
        self.execute(self.db, *[f"PRAGMA page_size={size}"] * bool(size), "VACUUM")

    def incremental_vacuum(self) -> None:
        self.execute(self.db, f"PRAGMA incremental_vacuum({self.chance.randint(1, 20)})")

    def change_mode(self) -> None:
        self.execute(self.db, f"PRAGMA journal_mode={self.chance.choice(MODES)}")

    def open_another(self) -> None:
        if len(self.connections) < 3:
            self.connections.append(self.connect())

    def close_one(self) -> None:
        if len(self.connections) > 1:
            self.connections.pop(self.chance.randrange(len(self.connections))).close()

    def nothing(self) -> None:
        self.execute(self.db, "BEGIN IMMEDIATE", "COMMIT")

    def drop(self) -> None:
        if self.chance.random() < 0.3:
            self.close_all()
            self.served.unlink("a.db")
            self.connections = [self.connect()]
            self.execute(self.connections[0], f"PRAGMA journal_mode={self.mode}", TABLE)

    def kill(self) -> None:
        """Every client is killed in the middle of a transaction; the next one finds what they left."""
        calls = itertools.count()
        last = self.chance.randint(0, 60)
        self.served.refuse = lambda call, name: errno.ENOTCONN if next(calls) > last else 0
        self.execute(self.db, "BEGIN IMMEDIATE", *self.statements(), "COMMIT")
        self.served.refuse = lambda call, name: errno.ENOTCONN
        self.close_all()
        self.served.refuse = lambda call, name: 0
        self.done.append("(killed)")
        self.connections = [self.connect()]
        # Who reads rolls back; who writes to a WAL writes over what was never published.
        self.execute(self.connections[0], TABLE, "INSERT INTO t (x) VALUES ('next')")

    def fail(self) -> None:
        """One call of a kind fails; a WAL's commit may be lost until the next writer."""
        kind, code = self.chance.choice(["write", "sync", "truncate", "unlink"]), self.chance.choice([5, 28])
        left = itertools.count(self.chance.randint(0, 40), -1)
        self.served.refuse = lambda call, name: code if call == kind and next(left) == 0 else 0
        self.execute(self.db, "BEGIN IMMEDIATE", *self.statements(), "COMMIT")
        self.served.refuse = lambda call, name: 0
        self.execute(self.db, "INSERT INTO t (x) VALUES ('next')")

    def close_all(self) -> None:
        for db in self.connections:
            db.close()
        self.connections = []

    # -- what must hold ------------------------------------------------------------------------------------

    def check(self) -> None:
        assert self.store.finish_captures(5)
        database = self.store.require("a.db")
        fresh = self.served.connect("a.db", timeout=5)
        seen = fresh.serialize()
        fresh.close()
        assert len(seen) == database.page_count * database.page_size
        assert checksum_of(seen, database.page_size) == database.pos.checksum, "invariant 2"
        assert replayed(database) == seen, "what a replica has"


STEPS: list[Callable[[World], None]] = [
    World.write, World.write, World.write, World.transaction, World.transaction, World.transaction,
    World.savepoint, World.savepoint, World.checkpoint, World.vacuum, World.incremental_vacuum,
    World.change_mode, World.open_another, World.close_one, World.nothing, World.drop, World.kill,
    World.kill, World.fail, World.fail,
]  # fmt: skip


def live(directory: Path, seed: int, steps: int) -> None:
    data = directory / f"data{seed}"
    with opened(data) as store:
        world = World(store, directory / f"mnt{seed}", seed)
        try:
            for _ in range(steps):
                step = world.chance.choice(STEPS)
                world.done.append(f"-- {step.__name__}")
                step(world)
                world.check()
            world.close_all()
            positions = store.positions()
        except BaseException as error:
            error.add_note(f"seed {seed}; the last steps:\n" + "\n".join(world.done[-25:]))
            raise
        finally:
            world.served.close()
    with opened(data) as store:
        assert store.positions() == positions
        assert is_whole(data_file(store, "a.db"))


@pytest.mark.parametrize("seed", range(12))
def test_whatever_sqlite_does_position_bytes_and_ltx_files_agree(tmp_path: Path, seed: int) -> None:
    live(tmp_path, seed, 40)


@pytest.mark.full
@pytest.mark.timeout(900)
def test_whatever_sqlite_does_for_a_long_time(tmp_path: Path) -> None:
    for seed in range(1000, 1200):
        live(tmp_path, seed, 60)
