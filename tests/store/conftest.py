"""A primary's store, and SQLite on it without a mount."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pylitefs.store.store import Store
from tests.store.looker import Looker, looked_at
from tests.store.serving import Served
from tests.store.support import opened

MEMORY, ROOM = "/dev/shm", 1 << 30
"""A file system in memory, which some machines lack, and the bytes that must be free there."""


@pytest.fixture
def folder_in_memory() -> Iterator[Path]:
    """Where there is one, for tests with thousands of small files: to make and remove them is most of such a
    test on a disk. What survives a crash these tests reckon themselves, and ask no disk."""
    there = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    with TemporaryDirectory(prefix="pylitefs-test-", dir=MEMORY if there else None) as folder:
        yield Path(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory."""
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with opened(data) as store:
        yield store


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    """SQLite's front end on `store`; connections that a test leaves open do not outlive it."""
    served = Served(store, tmp_path / "mnt")
    yield served
    served.close()


@pytest.fixture
def looker(store: Store) -> Looker:
    """The store's publisher looks through this one's eyes."""
    return looked_at(store)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A whole database elsewhere."""
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(9000)), (2)")
    return path
