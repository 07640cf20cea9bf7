"""APSW. Its settings are its own `apsw.bestpractice.recommended`, where the version has them."""
# mypy: disable-error-code="import-not-found"

from contextlib import closing

import apsw

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell

try:
    import apsw.bestpractice
except ImportError:  # Before 3.44.
    SETTINGS = False
else:
    SETTINGS = True


def rows(db: apsw.Connection) -> int:
    return int(next(db.cursor().execute("SELECT count(*) FROM t"))[0])


def write(db: apsw.Connection) -> None:
    db.cursor().execute("INSERT INTO t VALUES (1)")


def settled() -> None:
    with closing(apsw.Connection(PRIMARY)) as primary:
        if SETTINGS:
            apsw.bestpractice.apply(apsw.bestpractice.recommended)
        with closing(apsw.Connection(REPLICA)) as db:
            check_rows(rows(db), 1)
            write(primary)
            follow()
            check_rows(rows(db), 2)


with closing(apsw.Connection(PRIMARY)) as db:
    db.cursor().execute(f"PRAGMA journal_mode={MODE}")
    db.cursor().execute("CREATE TABLE t (x)")
    write(db)
follow()
with closing(apsw.Connection(REPLICA)) as db:
    read, timeout = rows(db), next(db.cursor().execute("PRAGMA busy_timeout"))[0]
    sqlite = next(db.cursor().execute("SELECT sqlite_version()"))[0]
    refused = said(lambda: write(db))
tell(
    sqlite=sqlite,
    timeout=timeout,
    read=read,
    refused=refused,
    settings=said(settled) or "ok",
)
