"""What SQLite itself says of two states: every row of both, read as a whole."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from pylitefs.rows.script import rowid_name
from pylitefs.sqlite.columns import read_table
from pylitefs.sqlite.records import Value
from tests.sqlite.random_rows import by_sqlite, sortable

Rows = dict[str, list[tuple[Value, ...]]]
_NOT_COMPARED = ("sqlite_stat",)


def rows_of(path: Path) -> Rows:
    """All rows of every table that has a b-tree: the rowid where there is one, then the stored columns."""
    found: Rows = {}
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND rootpage > 0"
        ).fetchall()
        for name, sql in tables:
            if not name.startswith(_NOT_COMPARED):
                table = read_table(name, sql)
                found[name] = by_sqlite(db, name, table.names, rowid_name(table, alias=True))
    return found


def schema_of(path: Path) -> set[tuple[str, ...]]:
    """Everything with SQL, its spaces as they are."""
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL").fetchall()
    # A table that was renamed has its name in quotes.
    return {
        (kind, name, sql.replace(f'TABLE "{name}"', f"TABLE {name}"))
        for kind, name, sql in found
        if not name.startswith(_NOT_COMPARED)
    }


def apply(path: Path, statements: Iterable[str]) -> None:
    """Run a script, as the sqlite3 shell would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("\n".join(statements))


def in_order(rows: Rows) -> dict[str, list[str]]:
    """Comparable, types too."""
    return {name: sorted(map(sortable, found)) for name, found in rows.items()}
