"""Keys are ordered as SQLite orders them."""

import random
import sqlite3
from contextlib import closing
from functools import cmp_to_key

import pytest

from pylitefs.sqlite.keys import Key, compare, compare_values
from pylitefs.sqlite.records import Value
from tests.sqlite.random_rows import by_sqlite, connect, sortable, value


@pytest.mark.parametrize("collation", ["BINARY", "NOCASE", "RTRIM"])
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_values_are_sorted_as_by_order_by(collation: str, encoding: str) -> None:
    rng = random.Random(collation + encoding)
    codec = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le"}[encoding]
    with closing(connect(":memory:", encoding)) as db:
        db.execute("CREATE TABLE t(x)")
        found = [value(rng) for _ in range(200)] + ["a", "A", "a ", "A  ", "B", "b"]
        found = [one for one in found if not (isinstance(one, str) and "\0" in one)]
        db.executemany("INSERT INTO t VALUES(?)", [(one,) for one in found])
        db.execute(f"CREATE TABLE s AS SELECT x FROM t ORDER BY x COLLATE {collation}, rowid")
        expected = [row[0] for row in by_sqlite(db, "s", ["x"])]
        rows = [row[0] for row in by_sqlite(db, "t", ["x"])]

    def ordered(one: Value, other: Value) -> int:
        return compare_values(one, other, collation, codec)

    order = cmp_to_key(ordered)
    assert list(map(sortable, [[one] for one in sorted(rows, key=order)])) == list(
        map(sortable, [[one] for one in expected])
    )


def test_a_descending_column_turns_the_order() -> None:
    order = [Key(descending=True), Key("NOCASE")]
    assert compare([1, "a"], [2, "a"], order, "utf-8") > 0
    assert compare([1, "a", 3], [1, "A", 4], order, "utf-8") == 0
    assert not Key("german").is_known and sqlite3.sqlite_version
