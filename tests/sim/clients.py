"""What SQLite's clients do in a history, and what the oracle makes of the answers.

The rule: what SQLite has answered with success counts. A commit that failed has not happened, unless the
answer alone was lost: then one of the two is found, and it must be whole.
"""

import io
import random
import sqlite3
from collections.abc import Sequence
from contextlib import suppress

from pylitefs.errors import PylitefsError
from tests.sim.disk import Killed
from tests.sim.oracle import State, blob, opened, rows_of
from tests.sim.program import DATABASES, MODES, SCHEMA, for_a_shell, statement, statements
from tests.sim.world import World

_LOCKED = ("database is locked", "database table is locked", "database schema is locked")


class Clients:
    """Those on the primary. Each step takes a generator of its own."""

    def __init__(self, world: World) -> None:
        self.world = world

    # -- one transaction -------------------------------------------------------------------------------

    def name(self, chance: random.Random) -> str:
        return DATABASES[0] if chance.random() < 0.8 else DATABASES[1]

    def connection(self, chance: random.Random, name: str) -> sqlite3.Connection:
        """One of those that are open, or a new one."""
        world = self.world
        there = [db for its, db in world.connections if its == name and not db.in_transaction]
        return chance.choice(there) if there else self.open(chance, name)

    def open(self, chance: random.Random, name: str) -> sqlite3.Connection:
        world, choose = self.world, chance.choice
        db = world.connect(name)
        world.connections.append((name, db))
        with suppress(sqlite3.Error):
            for pragma in (
                f"page_size={world.page_size}",
                f"auto_vacuum={world.auto_vacuum}",
                f"cache_size={choose((1, 3, 10, 2000))}",
                f"cache_spill={choose((0, 1, 1))}",
                f"secure_delete={choose((0, 1))}",
                # With OFF a power failure may tear a database that no LTX file holds yet, as on a plain disk.
                f"synchronous={world.synchronous if world.oracle(name).now.content else 2}",
                f"wal_autocheckpoint={choose((0, 3, 20, 1000))}",
                *(f"{its}={choose(values)}" for its, values in world.pragmas.items()),
            ):
                db.execute(f"PRAGMA {pragma}").fetchall()
            if not world.oracle(name).now.content:
                db.execute(f"PRAGMA journal_mode={world.mode}").fetchall()
        return db

    def commit(
        self, db: sqlite3.Connection, name: str, todo: Sequence[str], how: str = "BEGIN IMMEDIATE"
    ) -> str:
        """One transaction, and what became of it."""
        world, oracle = self.world, self.world.oracle(name)
        todo = [*world.statements_of_new(name), *todo]
        after = oracle.after(todo)
        calls = world.primary.disk.calls
        outcome = self.execute(db, todo if len(todo) == 1 else [how, *todo, "COMMIT"])
        # What wrote nothing writes over nothing: a lost commit that got no answer may still come back.
        if outcome != "done" or world.primary.disk.calls != calls:
            self.answered(name, after, outcome)
        if name == DATABASES[0]:
            said = for_a_shell(todo if len(todo) == 1 else ["BEGIN", *todo, "COMMIT"])
            world.tell(f"sql {world.primary.lesson_name} {said}")
        return outcome

    def answered(self, name: str, after: State, outcome: str) -> None:
        """The oracle learns of it."""
        oracle, database = self.world.oracle(name), self.world.unlocked(name)
        if outcome == "done" and database is not None:
            pending = database.state.pending
            oracle.acknowledged(after, (pending.pos if pending is not None else database.state.pos).txid)
        elif outcome.startswith("unanswered"):
            oracle.unanswered(after)

    def execute(self, db: sqlite3.Connection, todo: Sequence[str]) -> str:
        """`done`; or `failed` where no commit was asked for, or SQLite had to wait for somebody; else
        nobody knows: `unanswered`. No transaction is open afterwards."""
        outcome = "done"
        for at, one in enumerate(todo):
            try:
                db.execute(one).fetchall()
            except sqlite3.Error as error:
                is_last = at == len(todo) - 1
                unsure = is_last and str(error) not in _LOCKED
                outcome = f"{'unanswered' if unsure else 'failed'} ({error})"
                break
        if outcome == "done" and self.world.primary.disk.dead:
            outcome = "unanswered (killed)"
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        return outcome

    # -- steps -----------------------------------------------------------------------------------------

    def write(self, chance: random.Random) -> str:
        name = self.name(chance)
        return self.commit(self.connection(chance, name), name, [statement(chance)])

    def transaction(self, chance: random.Random) -> str:
        name = self.name(chance)
        return self.commit(self.connection(chance, name), name, [statement(chance), *statements(chance)])

    def savepoint(self, chance: random.Random) -> str:
        name = self.name(chance)
        todo = [statement(chance), "SAVEPOINT s", *statements(chance), "ROLLBACK TO s", statement(chance)]
        return self.commit(self.connection(chance, name), name, todo)

    def rollback(self, chance: random.Random) -> str:
        name = self.name(chance)
        if not self.world.oracle(name).now.content:
            return "nothing there"
        db = self.connection(chance, name)
        outcome = self.execute(db, ["BEGIN", *statements(chance), "ROLLBACK"])
        return outcome.replace("unanswered", "failed")

    def burst(self, chance: random.Random) -> str:
        """Commits that come closer than the publisher looks."""
        name = self.name(chance)
        db = self.connection(chance, name)
        outcomes = []
        for _ in range(chance.randint(2, 8)):
            self.world.clock.sleep(0.0004)
            outcomes.append(self.commit(db, name, [statement(chance)]))
            if self.world.primary.disk.dead or outcomes[-1] != "done":
                break
        return " ".join(outcomes)

    def both(self, chance: random.Random) -> str:
        """One transaction over two databases."""
        world = self.world
        one, two = DATABASES
        if not world.oracle(one).now.content or not world.oracle(two).now.content:
            return "not both there"
        assert world.primary.served is not None
        db = self.connection(chance, one)
        first, second = _in_schema(chance), _in_schema(chance)
        afters = [world.oracle(name).after([text.format("") for text in todo])
                  for name, todo in ((one, first), (two, second))]  # fmt: skip
        try:
            db.execute("ATTACH ? AS b", (world.primary.served.uri(two),))
        except sqlite3.Error as error:
            return f"failed ({error})"
        atomic = world.synchronous > 0 and all(
            db.execute(f"PRAGMA {schema}.journal_mode").fetchone() != ("wal",) for schema in ("main", "b")
        )
        todo = [*(text.format("main.") for text in first), *(text.format("b.") for text in second)]
        outcome = self.execute(db, ["BEGIN IMMEDIATE", *todo, "COMMIT"])
        for name, after in zip(DATABASES, afters, strict=True):
            self.answered(name, after, outcome)
        if atomic and outcome.startswith("unanswered"):
            world.pair = afters[0].rows, afters[1].rows
        with suppress(sqlite3.Error):
            db.execute("DETACH b")
        return outcome

    def vacuum(self, chance: random.Random) -> str:
        name = self.name(chance)
        db = self.connection(chance, name)
        with suppress(sqlite3.Error):
            db.execute(f"PRAGMA page_size={chance.choice((512, 1024, 4096))}")
        return self._keeps_rows(db, "VACUUM")

    def incremental_vacuum(self, chance: random.Random) -> str:
        db = self.connection(chance, self.name(chance))
        return self._keeps_rows(db, f"PRAGMA incremental_vacuum({chance.randint(1, 20)})")

    def checkpoint(self, chance: random.Random) -> str:
        how = chance.choice(("PASSIVE", "FULL", "RESTART", "TRUNCATE"))
        return self._keeps_rows(self.connection(chance, self.name(chance)), f"PRAGMA wal_checkpoint({how})")

    def mode(self, chance: random.Random) -> str:
        db = self.connection(chance, self.name(chance))
        with suppress(sqlite3.Error):
            # Else SQLite may write old pages from its cache (docs/reliability.md).
            db.execute("SELECT count(*) FROM sqlite_master").fetchall()
        return self._keeps_rows(db, f"PRAGMA journal_mode={chance.choice(MODES)}")

    def _keeps_rows(self, db: sqlite3.Connection, what: str) -> str:
        return f"{what}: {self.execute(db, [what])}"

    def connect(self, chance: random.Random) -> str:
        name = self.name(chance)
        if sum(its == name for its, _ in self.world.connections) > 2:
            return "enough"
        self.open(chance, name)
        return name

    def disconnect(self, chance: random.Random) -> str:
        world = self.world
        if not world.connections:
            return "nobody there"
        self.close(world.connections[chance.randrange(len(world.connections))][1])
        return "closed"

    def close(self, db: sqlite3.Connection) -> None:
        world = self.world
        world.connections = [one for one in world.connections if one[1] is not db]
        world.readers = [one for one in world.readers if one is not db]
        with suppress(sqlite3.Error):
            db.close()
        if world.primary.served is not None and db in world.primary.served._connections:
            world.primary.served._connections.remove(db)

    def close_all(self, name: str) -> None:
        for its, db in list(self.world.connections):
            if its == name:
                self.close(db)

    def read(self, chance: random.Random) -> str:
        """A read transaction that stays open."""
        name = self.name(chance)
        if not self.world.oracle(name).now.content:
            return "nothing there"
        db = self.open(chance, name)
        self.world.readers.append(db)
        with suppress(sqlite3.Error):
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM t").fetchall()
        # It writes nothing: it is no connection for the other steps.
        self.world.connections = [one for one in self.world.connections if one[1] is not db]
        return name

    def let_go(self, chance: random.Random) -> str:
        for db in list(self.world.readers):
            self.close(db)
        return "readers are gone"

    def drop(self, chance: random.Random) -> str:
        world = self.world
        name = self.name(chance)
        if not world.oracle(name).now.content or world.primary.served is None:
            return "nothing there"
        self.let_go(chance)
        self.close_all(name)
        gone = State(rows_of(opened(b"")), b"", 0)
        try:
            world.primary.served.unlink(name)
        except (OSError, Killed) as error:
            self.answered(name, gone, "unanswered")
            return f"unanswered ({error})"
        self.answered(name, gone, "unanswered" if world.primary.disk.dead else "done")
        return name

    def import_(self, chance: random.Random) -> str:
        """Another database takes the place of this one."""
        world = self.world
        name = self.name(chance)
        assert world.primary.store is not None
        self.let_go(chance)
        self.close_all(name)
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.create_function("blob", 2, blob, deterministic=True)
        for text in (f"PRAGMA page_size={chance.choice((512, 1024))}", *SCHEMA, *statements(chance)):
            db.execute(text)
        content = db.serialize()
        after = State(rows_of(db), content, 0)
        db.close()
        try:
            world.primary.store.import_database(name, io.BytesIO(content), len(content))
        except (OSError, PylitefsError, Killed) as error:
            self.answered(name, after, "unanswered")
            return f"unanswered ({error})"
        finally:
            if (database := world.unlocked(name)) is not None:
                # The applier here removes a WAL past the node, which on a mount is told: its descriptor goes.
                database.state.close()
        self.answered(name, after, "unanswered" if world.primary.disk.dead else "done")
        return f"{name}, {len(content)} bytes"


def _in_schema(chance: random.Random) -> list[str]:
    """Statements with a place for the schema's name."""
    seed, some = chance.randrange(1 << 30), chance.randint(2, 9)
    return [
        f"INSERT INTO {{}}t (x) VALUES (blob({seed}, {chance.randint(1, 2000)}))",
        f"UPDATE {{}}t SET x = blob({seed} + id, 50) WHERE id % {some} = 0",
    ]
