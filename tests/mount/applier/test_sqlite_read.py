"""SQLite reads a database once, in the applier's process."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, BusyError
from pylitefs.mount.applier.sqlite_read import have_sqlite_read


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_a_locked_database_and_one_that_is_none_are_told_apart(tmp_path: Path, root: int) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE t(n)")
        have_sqlite_read(root, str(tmp_path), "a.db", 0.0)
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BusyError, match="locked"):
            have_sqlite_read(root, str(tmp_path), "a.db", 0.0)
    (tmp_path / "b.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    with pytest.raises((ApplierError, sqlite3.DatabaseError)):
        have_sqlite_read(root, str(tmp_path), "b.db", 0.0)
