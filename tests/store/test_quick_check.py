"""SQLite's judgement of a file: damage is told, and what only the application knows is no damage."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.store import quick_check
from pylitefs.store.quick_check import objection


def made(path: Path, *statements: str, prepare: Callable[[sqlite3.Connection], None] | None = None) -> Path:
    with closing(sqlite3.connect(path)) as db:
        if prepare:
            prepare(db)
        for statement in statements:
            db.execute(statement)
        db.commit()
    return path


def with_function(db: sqlite3.Connection) -> None:
    db.create_function("f", 1, lambda x: x, deterministic=True)
    db.create_collation("c", lambda a, b: (a > b) - (a < b))


@pytest.mark.parametrize(
    "statements",
    [
        ("CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"),
        ("PRAGMA journal_mode=wal", "CREATE TABLE t (x)"),
        ("PRAGMA page_size=65536", "PRAGMA auto_vacuum=1", "CREATE TABLE t (x)"),
        ('CREATE TABLE "a\'b?#" (x)', "CREATE TABLE t (x CHECK (f(x)))", "INSERT INTO t VALUES (1)"),
        ("CREATE TABLE t (x)", "CREATE INDEX i ON t (f(x))", "INSERT INTO t VALUES (1)"),
        ("CREATE TABLE t (x, y AS (f(x)) STORED)", "INSERT INTO t VALUES (1)", "CREATE TABLE u (x)"),
        ("CREATE TABLE t (x COLLATE c PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES (1)"),
        (
            "CREATE TABLE t (x CHECK (x > 0))",
            "PRAGMA ignore_check_constraints=1",
            "INSERT INTO t VALUES (-1)",
        ),
        (
            "CREATE TABLE t (x)",
            "INSERT INTO t VALUES (NULL)",
            "PRAGMA writable_schema=1",
            "UPDATE sqlite_schema SET sql='CREATE TABLE t (x NOT NULL)'",
        ),
        (
            "CREATE TABLE t (x)",
            "PRAGMA writable_schema=1",
            "INSERT INTO sqlite_schema VALUES ('table','v','v',0,'CREATE VIRTUAL TABLE v USING vec0(x)')",
        ),
    ],
    ids=["plain", "wal", "vacuum", "check", "index", "generated", "collation", "broken", "null", "module"],
)
def test_what_an_application_may_have_is_no_damage(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """Its own functions, collations and modules, and rows that break a rule of its own. Nothing is left."""
    path = made(tmp_path / "a b?#%.db", *statements, prepare=with_function)
    before = path.read_bytes()
    assert objection(str(path)) == ""
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("start", "bytes_", "said"),
    [
        (100, b"\xa5" * 3996, "malformed"),
        (100, bytes(3996), "malformed"),
        (4096, b"\xff" * 4096, "malformed|Tree 2|page 2"),
        # Past the page: what SQLite says of it depends on what lies behind the page in its memory.
        (4096 + 8, b"\xff\xff", "malformed|Tree 2|page 2"),
    ],
    ids=["schema", "zeros", "table", "cell"],
)
def test_damage_is_told(tmp_path: Path, start: int, bytes_: bytes, said: str) -> None:
    """Of the page with the schema, and of others; although the header is whole."""
    path = made(tmp_path / "a.db", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")
    data = bytearray(path.read_bytes())
    data[start : start + len(bytes_)] = bytes_
    path.write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-I", "-S", quick_check.__file__, str(path), "60"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 1
    assert run.stdout.count("\n") == 0
    assert any(one in run.stdout for one in said.split("|")), run.stdout


def test_damage_in_one_table_is_told_where_another_cannot_be_checked(tmp_path: Path) -> None:
    """What needs the application's function is passed over, and no more than that."""
    path = made(
        tmp_path / "a.db",
        "CREATE TABLE t (x)",
        "CREATE INDEX i ON t (f(x))",
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE u (x)",
        "INSERT INTO u VALUES (1)",
        prepare=with_function,
    )
    data = bytearray(path.read_bytes())
    data[3 * 4096 :] = b"\xff" * 4096
    path.write_bytes(data)
    assert objection(str(path))
