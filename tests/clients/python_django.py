"""Django's database layer. Its settings are those of its notes on SQLite, with WAL."""
# mypy: disable-error-code="import-not-found,import-untyped"

import sqlite3

import django
from django.conf import settings
from django.db import connections

from tests.clients.steps import MODE, PRIMARY, REPLICA, check_rows, follow, said, tell

OPTIONS = {
    "timeout": 20,
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}
BACKEND = "django.db.backends.sqlite3"
DATABASES = {
    "default": {"ENGINE": BACKEND, "NAME": PRIMARY},
    "replica": {"ENGINE": BACKEND, "NAME": REPLICA},
    "settled": {"ENGINE": BACKEND, "NAME": REPLICA, "OPTIONS": OPTIONS},
}


def ask(alias: str, sql: str) -> object:
    """The first column of the first row, if there is one."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def write(alias: str) -> object:
    return ask(alias, "INSERT INTO t VALUES (1)")


def settled() -> None:
    check_rows(ask("settled", "SELECT count(*) FROM t"), 1)
    write("default")
    follow()
    check_rows(ask("settled", "SELECT count(*) FROM t"), 2)


settings.configure(DATABASES=DATABASES)
django.setup()
ask("default", f"PRAGMA journal_mode={MODE}")
ask("default", "CREATE TABLE t (x)")
write("default")
follow()
tell(
    read=ask("replica", "SELECT count(*) FROM t"),
    timeout=ask("replica", "PRAGMA busy_timeout"),
    refused=said(lambda: write("replica")),
    settings=said(settled) or "ok",
    sqlite=sqlite3.sqlite_version,
)
