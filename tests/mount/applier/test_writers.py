"""A writer's lock, as a handoff takes it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.writers import try_writer_lock


@pytest.fixture(params=["delete", "wal"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0)) as db:
        db.execute(f"PRAGMA journal_mode={request.param}")
        db.execute("CREATE TABLE t(n)")
        yield db


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DatabaseFiles]:
    import os

    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    made = DatabaseFiles(root, "a.db")
    yield made
    made.close()
    os.close(root)


def test_it_waits_for_who_writes_and_lets_readers_read(
    database: sqlite3.Connection, files: DatabaseFiles
) -> None:
    """In each mode: not had while a transaction is open; had afterwards; then nobody writes, and all read."""
    database.execute("BEGIN IMMEDIATE")
    assert files.open() and not try_writer_lock(files)
    database.execute("COMMIT")
    assert try_writer_lock(files)
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        database.execute("INSERT INTO t VALUES(1)")
    files.close()
    database.execute("INSERT INTO t VALUES(1)")
