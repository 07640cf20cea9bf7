"""What the databases must hold: every acknowledged transaction, and each other one wholly or not at all.

A transaction has a number. In every database that it changes it also writes that number into the table
`log`, so the log says which transactions a database holds, and in which order they were committed. A shadow,
a SQLite database in memory, gets the same statements in that order, and must end with the same rows.
"""

import random
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

SCHEMA = (
    "CREATE TABLE {s}.log (seq INTEGER PRIMARY KEY, n INTEGER)",
    "CREATE TABLE {s}.t (id INTEGER PRIMARY KEY, n INTEGER, x)",
)


@dataclass
class Transaction:
    """Statements for each database. `{s}` in them stands for the schema's name: main, or an attached one."""

    number: int
    parts: dict[str, list[str]]
    rolled_back: bool = False
    acknowledged: bool = False
    atomic: bool = True
    """Whether SQLite promises all or nothing over several databases: not in WAL mode."""

    def sql(self, schemas: dict[str, str]) -> list[str]:
        """The statements for a connection that knows the databases under these names."""
        inner = [line.format(s=schemas[name]) for name, part in self.parts.items() for line in part]
        return ["BEGIN IMMEDIATE", *inner, "ROLLBACK" if self.rolled_back else "COMMIT"]

    def __str__(self) -> str:
        end = "rolled back" if self.rolled_back else "committed"
        return f"#{self.number} in {'+'.join(self.parts)}, {end}"


class Statements:
    """Draws transactions. They give the same rows in the shadow, whatever pages they use."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.count = 0

    def transaction(self, databases: list[str], *, may_roll_back: bool = True) -> Transaction:
        self.count += 1
        rolled_back = may_roll_back and self.chance.random() < 0.25
        return Transaction(self.count, {name: self._part() for name in databases}, rolled_back)

    def mark(self, database: str) -> Transaction:
        """A transaction of one row."""
        return self._simple(database)

    def fill(self, database: str) -> Transaction:
        """Rows over many pages."""
        upto = "WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM i WHERE k < 200)"
        return self._simple(database, f"INSERT INTO {{s}}.t (x) {upto} SELECT printf('%0700d', k) FROM i")

    def empty(self, database: str) -> Transaction:
        """Without most of them, their pages are free."""
        return self._simple(database, "DELETE FROM {s}.t WHERE id > 40")

    def _simple(self, database: str, *lines: str) -> Transaction:
        self.count += 1
        return Transaction(
            self.count, {database: [f"INSERT INTO {{s}}.log (n) VALUES ({self.count})", *lines]}
        )

    def _part(self) -> list[str]:
        """What a transaction does in one database; some of it goes back to a savepoint."""
        part = [f"INSERT INTO {{s}}.log (n) VALUES ({self.count})", *self._change()]
        while self.chance.random() < 0.4:
            part += self._change()
        if self.chance.random() < 0.25:
            undo = ["ROLLBACK TO p"] * (self.chance.random() < 0.7)
            part += ["SAVEPOINT p", *self._change(), *self._change(), *undo, "RELEASE p", *self._change()]
        return part

    def _filled(self, key: str, longest: int) -> str:
        """An expression for text that differs from row to row and from transaction to transaction."""
        length = self.chance.randint(1, longest)
        return f"replace(printf('%0{length}d', {key}), '0', char(65 + ({key} * 7 + {self.count}) % 26))"

    def _change(self) -> list[str]:
        draw, number = self.chance.randint, self.count
        upto = f"WITH RECURSIVE i(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM i WHERE k < {draw(2, 120)})"
        changes = {
            "row": [f"INSERT INTO {{s}}.t (n, x) SELECT {number}, {self._filled('1', 3000)}"],
            "rows": [f"INSERT INTO {{s}}.t (n, x) {upto} SELECT {number}, {self._filled('k', 2000)} FROM i"],
            "overflow": [f"INSERT INTO {{s}}.t (n, x) VALUES ({number}, zeroblob({draw(9_000, 90_000)}))"],
            "update": [
                f"UPDATE {{s}}.t SET n = {number}, x = {self._filled('id', 1500)} WHERE id % {draw(2, 9)} = 0"
            ],
            "delete": [f"DELETE FROM {{s}}.t WHERE id % {draw(2, 5)} = {draw(0, 1)}"],
            "delete half": ["DELETE FROM {s}.t WHERE id > (SELECT avg(id) FROM {s}.t)"],
            "another table": [
                "CREATE TABLE IF NOT EXISTS {s}.u (id INTEGER PRIMARY KEY, y)",
                f"INSERT INTO {{s}}.u (y) {upto} SELECT {self._filled('k', 900)} FROM i",
            ],
            "drop it": ["DROP TABLE IF EXISTS {s}.u"],
            "index": ["CREATE INDEX IF NOT EXISTS {s}.j ON t (x)"],
            "drop the index": ["DROP INDEX IF EXISTS {s}.j"],
        }
        weights = [6, 4, 2, 3, 3, 2, 2, 2, 1, 1]
        return self.chance.choices(list(changes.values()), weights)[0]


def memory() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def loaded(content: bytes) -> sqlite3.Connection:
    """A database file's bytes as a database in memory, where WAL mode does not exist."""
    db = memory()
    db.deserialize(content[:18] + b"\x01\x01" + content[20:])
    return db


class Shadow:
    """One database as it must be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.db = memory()
        self.applied: list[int] = []
        self._run(SCHEMA)

    def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self.db.execute(statement.format(s="main"))

    def apply(self, transaction: Transaction) -> None:
        self._run(["BEGIN", *transaction.parts[self.name], "COMMIT"])
        self.applied.append(transaction.number)

    def with_one_more(self, transaction: Transaction) -> bytes:
        """The file that this database would be after a transaction: something to import."""
        with closing(memory()) as copy:
            copy.deserialize(self.db.serialize())
            for statement in ["BEGIN", *transaction.parts[self.name], "COMMIT"]:
                copy.execute(statement.format(s="main"))
            return copy.serialize()


class Model:
    """Both databases, and the transactions whose end nobody has looked up yet."""

    def __init__(self, names: list[str]) -> None:
        self.shadows = {name: Shadow(name) for name in names}
        self.open: dict[int, Transaction] = {}

    def begun(self, transaction: Transaction) -> None:
        self.open[transaction.number] = transaction

    def settle(self, contents: dict[str, bytes]) -> None:
        """Hold the databases' bytes against what was acknowledged; from here on they are the truth."""
        found = {name: loaded(content) for name, content in contents.items()}
        try:
            for name, db in found.items():
                problems = db.execute("PRAGMA integrity_check").fetchall()
                assert problems == [("ok",)], f"{name}: {problems[:5]}"
            logs = {name: [n for (n,) in db.execute("SELECT n FROM log ORDER BY seq")]
                    for name, db in found.items()}  # fmt: skip
            self._assert_all_or_nothing(logs)
            for name, db in found.items():
                self._assert_same_rows(self.shadows[name], logs[name], db)
        finally:
            for db in found.values():
                db.close()
        self.open.clear()

    def _assert_all_or_nothing(self, logs: dict[str, list[int]]) -> None:
        for one in self.open.values():
            held = [name for name in one.parts if one.number in logs[name]]
            if one.rolled_back:
                assert not held, f"{one}: it is in {held}"
            elif one.acknowledged:
                assert held == list(one.parts), f"{one}: was acknowledged, and is only in {held}"
            elif one.atomic:
                assert held in ([], list(one.parts)), f"{one}: half of it is there, in {held}"

    def _assert_same_rows(self, shadow: Shadow, log: list[int], db: sqlite3.Connection) -> None:
        before = len(shadow.applied)
        assert log[:before] == shadow.applied, f"{shadow.name}: what was there has changed, {log[-20:]}"
        for number in log[before:]:
            assert number in self.open, f"{shadow.name}: nobody committed #{number}, or it was rolled back"
            shadow.apply(self.open[number])
        for (table,) in shadow.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            query = f"SELECT rowid, * FROM {table} ORDER BY 1"
            assert db.execute(query).fetchall() == shadow.db.execute(query).fetchall(), (
                f"{shadow.name}: the rows of {table} are not what the transactions {log} give"
            )
        names = "SELECT type, name FROM sqlite_master ORDER BY 1, 2"
        assert db.execute(names).fetchall() == shadow.db.execute(names).fetchall(), shadow.name
