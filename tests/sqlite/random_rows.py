"""Databases of all kinds, filled at random, and SQLite's own account of what is in them."""

import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from pylitefs.sqlite.records import RawText, Value, text

SCHEMAS = (
    "CREATE TABLE plain(a, b, c)",
    "CREATE TABLE alias(id INTEGER PRIMARY KEY, name TEXT, weight REAL)",
    "CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
    "CREATE TABLE quirk(id INTEGER PRIMARY KEY DESC, x UNIQUE)",
    "CREATE TABLE keyed(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE TABLE ordered(v, a TEXT COLLATE NOCASE, b INT, PRIMARY KEY(b DESC, a)) WITHOUT ROWID",
    "CREATE TABLE made(a INT, b REAL AS (a * 2) STORED, c AS (a + 1) VIRTUAL, d TEXT)",
    'CREATE TABLE "odd name"("a ""b""" INT, [rowid] TEXT)',
)


def connect(path: Path | str, encoding: str = "UTF-8", page_size: int = 512) -> sqlite3.Connection:
    """A new database."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA page_size={page_size}")
    db.execute(f"PRAGMA encoding='{encoding}'")
    return db


def value(rng: random.Random) -> Value:
    """One of anything that a column can have."""
    kind = rng.randrange(9)
    if kind == 0:
        return None
    if kind in (1, 2):
        return rng.choice(
            [0, 1, -1, 127, -128, 2**15, -(2**23), 2**31, 2**47, 2**63 - 1, -(2**63), rng.randrange(99)]
        )
    if kind == 3:
        return rng.choice([0.0, -0.0, 0.1, 1.0, 1e300, float("inf"), -float("inf"), rng.random()])
    if kind == 4:
        return rng.randbytes(rng.choice([0, 1, 20, 300, 2000]))
    letters = "abcXYZ 'ß€𝄞" if rng.random() < 0.9 else "ab\0c"
    return "".join(rng.choices(letters, k=rng.choice([0, 1, 3, 10, 10, 40, 400])))


def fill(db: sqlite3.Connection, rng: random.Random, count: int) -> None:
    """Rows in every table of SCHEMAS that is there."""
    for _ in range(count):
        statement, values = insertion(rng)
        db.execute(statement, values)


def insertion(rng: random.Random) -> tuple[str, list[Value]]:
    def one() -> Value:
        return value(rng)

    key = rng.choice([rng.randrange(-50, 5000), rng.randrange(2**40)])
    return rng.choice(
        [
            ("INSERT INTO plain VALUES(?,?,?)", [one(), one(), one()]),
            ("INSERT OR REPLACE INTO alias VALUES(?,?,?)", [key, one(), one()]),
            ("INSERT INTO counted(x) VALUES(?)", [one()]),
            ("INSERT OR REPLACE INTO quirk VALUES(?,?)", [key, one()]),
            ("INSERT OR REPLACE INTO keyed VALUES(?,?)", [str(one())[:900], one()]),
            ("INSERT OR REPLACE INTO ordered VALUES(?,?,?)", [one(), str(one())[:9], rng.randrange(9)]),
            ("INSERT INTO made(a, d) VALUES(?,?)", [key, one()]),
            ('INSERT INTO "odd name" VALUES(?,?)', [one(), one()]),
        ]
    )


def by_sqlite(
    db: sqlite3.Connection, table: str, columns: Iterable[str], rowid: str = ""
) -> list[tuple[Value, ...]]:
    """The rows of a table as SQLite says they are, text by its bytes."""
    [(encoding,)] = db.execute("PRAGMA encoding").fetchall()
    names = [rowid] * bool(rowid) + [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in columns]
    # As blobs: sqlite3 would not give back text that is none.
    asked = ", ".join(
        f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"
        for name in names
    )
    codec = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}[encoding]
    quoted = table.replace('"', '""')
    return [
        tuple(
            text(data, codec) if kind == "text" else data
            for kind, data in zip(row[::2], row[1::2], strict=True)
        )
        for row in db.execute(f'SELECT {asked} FROM "{quoted}"')
    ]


def sortable(row: Iterable[Value]) -> str:
    """A text that tells rows apart exactly, types too."""
    return repr([(type(one).__name__, bytes(one) if isinstance(one, RawText) else one) for one in row])
