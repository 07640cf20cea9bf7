"""A primary's store, and SQLite on it without a mount."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import opened


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
def source(tmp_path: Path) -> Path:
    """A whole database elsewhere."""
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(9000)), (2)")
    return path
