"""What the columns of a table are, from the SQL that made it.

The rule: SQLite's own parser says it. The SQL becomes the schema of an empty database in memory, as it is
read when a database is opened: no table is made, no function of it is called. So what this Python's SQLite
takes is taken, and what it does not is an error with its words.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.keys import Key
from pylitefs.sqlite.records import RawText, Value

_VIRTUAL, _STORED = 2, 3
"""`hidden` in table_xinfo, of generated columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    is_real: bool
    """Whether it has affinity REAL: then a whole number is stored as an integer, and read as a real one."""
    is_generated: bool = False
    default: Value = None
    """What a row has that was written before the column was added."""


@dataclass(frozen=True, slots=True)
class Table:
    """How a table's records are to be read."""

    name: str
    stored: tuple[Column, ...]
    """The columns that have a value in the record, in its order; virtual generated columns have none."""
    rowid_column: int | None
    """Which of them is the rowid itself (INTEGER PRIMARY KEY), and NULL in the record."""
    key: tuple[Key, ...]
    """The order of a table WITHOUT ROWID, whose first stored columns are its key; () of one with rowids."""
    has_unique: bool
    """Whether something else than its key is UNIQUE by the table's own SQL."""
    virtual: tuple[str, ...] = ()
    """Generated columns that are not stored."""

    @property
    def has_rowid(self) -> bool:
        return not self.key

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.stored)

    def row(self, rowid: int, values: list[Value]) -> list[Value]:
        """The values as SQLite shows them, of those that are stored."""
        found = values + [column.default for column in self.stored[len(values) :]]
        for at, column in enumerate(self.stored):
            value = found[at]
            if column.is_real and isinstance(value, int):
                found[at] = float(value)
        if self.rowid_column is not None:
            found[self.rowid_column] = rowid
        return found[: len(self.stored)]


@lru_cache(maxsize=1024)
def read_table(name: str, sql: str) -> Table:
    """The table that the SQL makes. Raises SqliteFormatError if this SQLite does not understand it."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.text_factory = _text
        try:
            db.execute("CREATE TABLE x(x)")
            db.execute("PRAGMA writable_schema=ON")
            db.execute("UPDATE sqlite_schema SET name = ?1, tbl_name = ?1, sql = ?2", (name, sql))
            db.execute("PRAGMA writable_schema=RESET")
            return _table(db, name)
        except sqlite3.Error as error:
            raise SqliteFormatError(
                f"SQLite {sqlite3.sqlite_version} of this Python does not understand table {name}: {error}"
            ) from error


def _table(db: sqlite3.Connection, name: str) -> Table:
    found = db.execute(
        "SELECT cid, name, type, dflt_value, hidden FROM pragma_table_xinfo(?) ORDER BY cid", (name,)
    ).fetchall()
    if not found:
        raise SqliteFormatError(f"table {name} has no columns")
    indexes = db.execute('SELECT name, origin FROM pragma_index_list(?) WHERE "unique"', (name,)).fetchall()
    keys: tuple[Key, ...] = ()
    order = [int(cid) for cid, *_, hidden in found if hidden != _VIRTUAL]
    primary = next((index for index, origin in indexes if origin == "pk"), None)
    if primary is not None:
        parts = db.execute(
            'SELECT cid, coll, "desc", key FROM pragma_index_xinfo(?) ORDER BY seqno', (primary,)
        ).fetchall()
        if all(cid != -1 for cid, *_ in parts):  # With a rowid, that would be its last part.
            order = [int(cid) for cid, *_ in parts]
            keys = tuple(Key(coll, bool(desc)) for _, coll, desc, is_key in parts if is_key)
    alias = None if keys or primary is not None else _alias(db, name)
    by_number = {int(cid): (text, kind, default, hidden) for cid, text, kind, default, hidden in found}
    stored = tuple(
        Column(text, _is_real(kind), hidden == _STORED, _default(db, kind, default) if default else None)
        for text, kind, default, hidden in (by_number[cid] for cid in order)
    )
    return Table(
        name,
        stored,
        order.index(alias) if alias in order else None,
        keys,
        any(origin == "u" or (origin == "pk" and not keys) for _, origin in indexes),
        tuple(text for text, _, _, hidden in by_number.values() if hidden == _VIRTUAL),
    )


def _alias(db: sqlite3.Connection, name: str) -> int | None:
    """The INTEGER PRIMARY KEY: a key without an index of its own is the rowid."""
    keys = db.execute("SELECT cid FROM pragma_table_xinfo(?) WHERE pk", (name,)).fetchall()
    return int(keys[0][0]) if keys else None


def _is_real(declared: str) -> bool:
    """By SQLite's rules, in their order: https://www.sqlite.org/datatype3.html#determination_of_column_affinity"""
    kind = declared.upper()
    if any(word in kind for word in ("INT", "CHAR", "CLOB", "TEXT", "BLOB")):
        return False
    return any(word in kind for word in ("REAL", "FLOA", "DOUB"))


def _default(db: sqlite3.Connection, declared: str, default: str) -> Value:
    """What the default is as a value of the column. Only a constant can be that of rows before the column."""
    for constant in (f"({default})", default):  # `DEFAULT word` is text, and in brackets a column.
        try:
            db.execute("DROP TABLE IF EXISTS temp.one_default")
            db.execute(f"CREATE TEMP TABLE one_default (x {declared} DEFAULT {constant})")
            db.execute("INSERT INTO one_default DEFAULT VALUES")
            value: Value = db.execute("SELECT x FROM one_default").fetchone()[0]
            return value
        except sqlite3.Error:
            continue
    return None


def _text(data: bytes) -> str | RawText:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return RawText(data)
