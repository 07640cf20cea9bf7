"""A literal is read back by SQLite as the very value, and JSON loses nothing either."""

import json
import math
import random
import sqlite3
import struct
from contextlib import closing

import pytest

from pylitefs.rows.literals import identifier, json_value, shown_value, sql_literal
from pylitefs.sqlite.records import RawText, Value
from tests.sqlite.random_rows import by_sqlite, connect, sortable

VALUES: list[Value] = [
    None, 0, -(2**63), 2**63 - 1, 0.0, -0.0, 0.1, 1e300, -5e-324, 2.2250738585072014e-308,
    math.inf, -math.inf,
    "", "it's", "a\0b", "ß𝄞\n", b"", b"\0'\xff", RawText(b"\xff\xfe"),
]  # fmt: skip


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_sqlite_reads_each_literal_as_the_value(encoding: str) -> None:
    rng = random.Random(1)
    codec = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le"}[encoding]
    reals = [struct.unpack(">d", rng.randbytes(8))[0] for _ in range(200)]
    raw = RawText(b"\x00\xd8") if encoding != "UTF-8" else RawText(b"\xff")
    values = [*VALUES[:-1], raw, *(one for one in reals if math.isfinite(one))]
    with closing(connect(":memory:", encoding)) as db:
        db.execute("CREATE TABLE t(x)")
        for value in values:
            db.execute(f"INSERT INTO t VALUES({sql_literal(value, codec)})")
        assert [sortable(row) for row in by_sqlite(db, "t", ["x"])] == [sortable([one]) for one in values]


def test_a_name_in_quotes_is_the_name() -> None:
    name = 'a "b" [c] `d`'
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(f"CREATE TABLE {identifier(name)}(x)")
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [(name,)]


def test_json_is_strict_and_says_what_it_cannot() -> None:
    for value in VALUES:
        json.loads(json.dumps(json_value(value, "utf-8"), allow_nan=False))
    assert json_value(b"\xff", "utf-8") == {"blob": "ff"}
    assert json_value(RawText(b"\xff"), "utf-8") == {"text": "ff", "encoding": "utf-8"}


def test_a_long_value_is_shortened_for_people() -> None:
    assert shown_value("x" * 1000) == "'" + "x" * 40 + "…'"
    assert len(shown_value(bytes(10**6))) < 80
    assert shown_value("\x1b[31m") == "'·[31m'" and shown_value(None) == "NULL"
