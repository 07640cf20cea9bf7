"""Data directories as crashes leave them, and what must be found in them afterwards."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import SetAsideError
from pylitefs.ltx.header import format_filename
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, is_whole, opened, query


def leave(store: Store, to: Path) -> Path:
    """The data directory as `kill -9` at this moment leaves it."""
    return Path(shutil.copytree(store.data_dir, to))


def side(directory: Path, kind: FileKind, name: str = "a.db") -> Path:
    return directory / "dbs" / name / kind.value


def ltx(directory: Path, low: int, high: int = 0, name: str = "a.db") -> Path:
    return directory / "dbs" / name / "ltx" / format_filename(low, high or low)


def values(store: Store, name: str = "a.db") -> list[object]:
    """Column `v` of table `t`, in a database found whole, whose checksum is its bytes' own."""
    database = store.require(name)
    assert_position_is_the_bytes_own(database)
    path = data_file(store, name)
    assert is_whole(path)
    assert path.stat().st_size == database.page_count * database.page_size
    return [value for (value,) in query(path, "SELECT v FROM t ORDER BY rowid")]


def make(served: Served, *pragmas: str, name: str = "a.db", count: int = 2) -> sqlite3.Connection:
    """A database with `count` rows in `t`, each in a transaction of its own."""
    db = served.connect(name, *pragmas)
    db.execute("CREATE TABLE t (v, pad)")
    for value in range(count):
        db.execute("INSERT INTO t VALUES (?, randomblob(600))", (value,))
    return db


def spill(db: sqlite3.Connection) -> None:
    """Begin a transaction so large that SQLite syncs the journal (or fills the WAL) and writes pages."""
    db.execute("PRAGMA cache_size=2")
    db.execute("BEGIN")
    db.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) "
               "INSERT INTO t SELECT 'lost', randomblob(900) FROM n")  # fmt: skip
    db.execute("UPDATE t SET v = 'lost too'")


def set_aside(directory: Path, name: str = "a.db", *, primary: bool = True) -> str:
    """Why a database is not served by a node that starts on `directory`: nobody gets at it."""
    with opened(directory, primary=primary) as store:
        assert store.get(name) is None and name not in store.names() and name not in store.positions()
        for ask in (store.create, store.require):
            with pytest.raises(SetAsideError):
                ask(name)
        return store.set_aside[name]
