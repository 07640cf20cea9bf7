"""Python's own sqlite3. Its settings are those that most guides name."""

import platform
import sqlite3
from contextlib import closing

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell

SETTINGS = ("busy_timeout=5000", "journal_mode=wal", "synchronous=normal", "foreign_keys=on")


def rows(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def write(db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    db.commit()


def settled() -> None:
    with closing(sqlite3.connect(REPLICA)) as db, closing(sqlite3.connect(PRIMARY)) as primary:
        for setting in SETTINGS:
            db.execute(f"PRAGMA {setting}")
        check_rows(rows(db), 1)
        write(primary)
        follow()
        check_rows(rows(db), 2)


with closing(sqlite3.connect(PRIMARY)) as db:
    db.execute(f"PRAGMA journal_mode={MODE}")
    db.execute("CREATE TABLE t (x)")
    write(db)
follow()
with closing(sqlite3.connect(REPLICA)) as db:
    read, (timeout,) = rows(db), db.execute("PRAGMA busy_timeout").fetchone()
    refused = said(lambda: write(db))
tell(
    version=platform.python_version(),
    sqlite=sqlite3.sqlite_version,
    timeout=timeout,
    read=read,
    refused=refused,
    settings=said(settled) or "ok",
)
