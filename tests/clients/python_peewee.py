"""Peewee. Its settings are those that its documentation recommends."""
# mypy: disable-error-code="import-not-found,import-untyped"

import sqlite3
from typing import Any

from peewee import SqliteDatabase

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell

SETTINGS = {
    "journal_mode": "wal",
    "cache_size": -64000,
    "foreign_keys": 1,
    "ignore_check_constraints": 0,
    "synchronous": 0,
}


def rows(db: Any) -> int:
    return int(db.execute_sql("SELECT count(*) FROM t").fetchone()[0])


def write(db: Any) -> None:
    with db.atomic():
        db.execute_sql("INSERT INTO t VALUES (1)")


def settled() -> None:
    db = SqliteDatabase(REPLICA, pragmas=SETTINGS)
    check_rows(rows(db), 1)
    write(primary)
    follow()
    check_rows(rows(db), 2)
    db.close()


primary = SqliteDatabase(PRIMARY, pragmas={"journal_mode": MODE})
primary.execute_sql("CREATE TABLE t (x)")
write(primary)
follow()
replica = SqliteDatabase(REPLICA)
tell(
    read=rows(replica),
    timeout=replica.execute_sql("PRAGMA busy_timeout").fetchone()[0],
    refused=said(lambda: write(replica)),
    settings=said(settled) or "ok",
    sqlite=sqlite3.sqlite_version,
)
