"""Random transactions on a database with tables of all kinds."""

import random
import sqlite3
from contextlib import suppress

from tests.ltx.histories import LivingDatabase
from tests.sqlite.random_rows import SCHEMAS, fill, insertion, value

MORE = (
    "CREATE INDEX plain_ab ON plain(a, b)",
    "CREATE VIEW seen AS SELECT id, name FROM alias",
    "CREATE TABLE said(id INTEGER PRIMARY KEY, what)",
    "CREATE TRIGGER told AFTER INSERT ON alias BEGIN INSERT INTO said(what) VALUES(new.name); END",
    "CREATE UNIQUE INDEX keyed_v ON keyed(v) WHERE typeof(v) = 'text'",
    "CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES alias(id) ON DELETE CASCADE)",
    "CREATE VIRTUAL TABLE words USING fts5(body, note)",
)
TABLES = ("plain", "alias", "counted", "quirk", "keyed", "ordered", "made", "odd name", "said", "child")


class RandomProgram:
    """Changes a database, one transaction at a time; the same seed gives the same ones."""

    def __init__(self, living: LivingDatabase, seed: str) -> None:
        self.rng = random.Random(seed)
        self.living = living
        self.count = 0

    def begin(self) -> None:
        db = self.living.db
        db.execute("BEGIN")
        for sql in (*SCHEMAS, *MORE):
            db.execute(sql)
        fill(db, self.rng, 150)
        db.execute("COMMIT")
        self.living.commit()

    def step(self) -> str:
        """One transaction; what it was."""
        rng, db = self.rng, self.living.db
        kinds = (
            ["insert"] * 6 + ["update"] * 6 + ["delete"] * 4 + ["in place", "blob", "clear", "words", "swap"]
        )
        kinds += [
            "create",
            "drop",
            "add column",
            "drop column",
            "rename",
            "rename column",
            "vacuum",
            "index",
            "analyze",
            "recreate",
        ]
        kind = rng.choice(kinds)
        if kind == "vacuum":
            db.execute("VACUUM")
        else:
            db.execute("BEGIN")
            for _ in range(rng.choice([1, 1, 2, 8])):
                with suppress(sqlite3.Error):  # A table that was dropped, two rows that cannot both be.
                    getattr(self, kind.replace(" ", "_"))()
            db.execute("COMMIT")
        self.living.commit(whole=kind == "vacuum")
        return kind

    def insert(self) -> None:
        statement, values = insertion(self.rng)
        self.living.db.execute(statement, values)

    def update(self) -> None:
        rng = self.rng
        table, column, where = rng.choice(
            [("plain", "b", "rowid"), ("alias", "weight", "id"), ("alias", "id", "-id"),
             ("keyed", "v", "length(k)"), ("ordered", "v", "b"), ("ordered", "a", "b"),
             ("made", "a", "rowid"),
             ("counted", "x", "id"),
             ("quirk", "x", "rowid"), ('"odd name"', '"a ""b"""', "_rowid_"), ("plain", "rowid", "rowid")]
        )  # fmt: skip
        new = rng.randrange(10**6) if column == "rowid" else value(rng)
        limit = f" AND rowid = (SELECT max(rowid) FROM {table})" if column in ("id", "rowid") else ""
        self.living.db.execute(
            f"UPDATE OR IGNORE {table} SET {column}=? WHERE {where} % {rng.choice([3, 17, 101])} = 1{limit}",
            [new],
        )

    def delete(self) -> None:
        table = self.rng.choice(TABLES)
        many = self.rng.choice([2, 3, 50, 500])
        key = {"keyed": "length(k)", "ordered": "b"}.get(table, "_rowid_")
        self.living.db.execute(f'DELETE FROM "{table}" WHERE {key} % {many} = 0')

    def in_place(self) -> None:
        """Values as long as before, which SQLite writes over the old ones."""
        self.living.db.execute(
            "UPDATE plain SET c = substr(c, 1, length(c) - 1) || 'Q' WHERE c > '' AND length(c) > 99"
        )
        self.living.db.execute("UPDATE keyed SET v = zeroblob(length(v)) WHERE typeof(v) = 'blob'")

    def blob(self) -> None:
        rows = self.living.db.execute(
            "SELECT rowid, length(a) FROM plain WHERE typeof(a) = 'blob' AND length(a) > 1000"
        ).fetchall()
        if rows:
            rowid, length = self.rng.choice(rows)
            with self.living.db.blobopen("plain", "a", rowid) as blob:
                blob.seek(length - 5)
                blob.write(self.rng.randbytes(3))

    def clear(self) -> None:
        self.living.db.execute(f'DELETE FROM "{self.rng.choice(TABLES)}"')

    def words(self) -> None:
        self.living.db.execute("INSERT INTO words VALUES(?, ?)", [f"a b c {self.rng.random()}", "x" * 50])
        self.living.db.execute("DELETE FROM words WHERE rowid % 5 = 0")

    def swap(self) -> None:
        """Two rows change places, and a unique column with them."""
        self.living.db.execute("UPDATE quirk SET x = NULL WHERE typeof(x) = 'integer'")
        self.living.db.execute("INSERT INTO quirk VALUES(1000000, 'one'), (1000001, 'two')")
        self.living.db.execute("UPDATE quirk SET x = 'three' WHERE x = 'one'")

    def create(self) -> None:
        self.count += 1
        self.living.db.execute(f"CREATE TABLE new{self.count}(a INTEGER PRIMARY KEY, b UNIQUE)")
        self.living.db.execute(f"INSERT INTO new{self.count}(b) SELECT DISTINCT a FROM plain")

    def drop(self) -> None:
        names = [
            row[0] for row in self.living.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        name = self.rng.choice([one for one in names if one.startswith("new")] or ["child", "made"])
        self.living.db.execute(f"DROP TABLE {name}")

    def add_column(self) -> None:
        self.count += 1
        table, default = (
            self.rng.choice(["plain", "keyed", "alias"]),
            self.rng.choice(["7", "'é'", "NULL", "-1.5"]),
        )
        self.living.db.execute(f"ALTER TABLE {table} ADD COLUMN n{self.count} DEFAULT {default}")
        self.living.db.execute(f"UPDATE {table} SET n{self.count} = 1 WHERE random() % 9 = 0")

    def drop_column(self) -> None:
        self.living.db.execute("ALTER TABLE plain DROP COLUMN c")

    def rename(self) -> None:
        self.count += 1
        self.living.db.execute(f"ALTER TABLE child RENAME TO child{self.count}")
        self.living.db.execute(f"CREATE TABLE child(id INTEGER PRIMARY KEY, parent, n{self.count})")
        self.living.db.execute("INSERT INTO child(parent) VALUES(1), (2), ('three')")

    def rename_column(self) -> None:
        self.count += 1
        names = [row[1] for row in self.living.db.execute("PRAGMA table_info(said)")]
        self.living.db.execute(f"ALTER TABLE said RENAME COLUMN {names[1]} TO what{self.count}")

    def index(self) -> None:
        self.count += 1
        self.living.db.execute(f"CREATE INDEX index{self.count} ON alias(name, weight)")
        self.living.db.execute("DROP INDEX IF EXISTS plain_ab")
        self.living.db.execute("REINDEX")

    def analyze(self) -> None:
        self.living.db.execute("ANALYZE")

    def recreate(self) -> None:
        self.living.db.execute("DROP TABLE ordered")
        self.living.db.execute(
            "CREATE TABLE ordered(v, a TEXT COLLATE NOCASE, b INT, PRIMARY KEY(b DESC, a)) WITHOUT ROWID"
        )
        self.living.db.execute("INSERT INTO ordered VALUES(1, 'a', 1), (2, 'b', 2)")
