"""SQLAlchemy, over Python's sqlite3. Its settings are the foreign keys that its documentation turns on."""
# mypy: disable-error-code="import-not-found"

import sqlite3

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell


def engine(path: str) -> Engine:
    return create_engine(f"sqlite:///{path}", poolclass=NullPool)


def rows(on: Engine) -> int:
    with on.connect() as db:
        return int(db.execute(text("SELECT count(*) FROM t")).scalar_one())


def write(on: Engine) -> None:
    with on.begin() as db:
        db.execute(text("INSERT INTO t VALUES (1)"))


def settled() -> None:
    one = create_engine(f"sqlite:///{REPLICA}")
    event.listen(one, "connect", lambda db, _: db.execute("PRAGMA foreign_keys=ON"))
    check_rows(rows(one), 1)
    write(primary)
    follow()
    check_rows(rows(one), 2)
    one.dispose()


primary = engine(PRIMARY)
with primary.connect() as db:
    db.execute(text(f"PRAGMA journal_mode={MODE}"))
with primary.begin() as db:
    db.execute(text("CREATE TABLE t (x)"))
write(primary)
follow()
replica = engine(REPLICA)
read = rows(replica)
with replica.connect() as db:
    timeout = db.execute(text("PRAGMA busy_timeout")).scalar_one()
refused = said(lambda: write(replica))
tell(
    sqlite=sqlite3.sqlite_version,
    timeout=timeout,
    read=read,
    refused=refused,
    settings=said(settled) or "ok",
)
