"""Whoever has the WAL copied into the database says how many of its frames count: checksums alone do not tell
of those that SQLite left without any, and tell of a commit that was lost."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pylitefs.store.applying import DirectApplier, KnownWal
from pylitefs.store.database import Database
from pylitefs.store.halting import Halts
from pylitefs.store.role_change import stop_writes
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from tests.store.looker import looked_at
from tests.store.serving import Served
from tests.store.support import opened
from tests.store.test_wal_tracker import takes_back

DB = "a.db"


class Told(DirectApplier):
    """Keeps what it is told of the WAL."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.known: list[KnownWal | None] = []

    def apply(self, *arguments: Any, **options: Any) -> None:
        self.known.append(options.get("known"))
        super().apply(*arguments, **options)


@pytest.fixture
def applier(store: Store) -> Told:
    store.applier = told = Told(store.data_dir)
    return told


@pytest.fixture
def database(served: Served, store: Store, applier: Told) -> Database:
    """With SQLite 3.40 its newest transaction has frames without checksums."""
    db = served.connect(DB, "page_size=512", "journal_mode=wal", "cache_size=1", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    takes_back(db, "INSERT INTO t (x) VALUES (1)")
    return store.require(DB)


@pytest.fixture
def known(database: Database) -> KnownWal:
    """All frames of its WAL."""
    header = database.wal_watch.tracker.header
    assert header is not None
    return KnownWal(header.salt1, header.salt2, database.wal_watch.tracker.captured)


def next_of(store: Store, directory: Path) -> bytes:
    """Another node's transaction that continues it."""
    shutil.copytree(store.data_dir, directory / "other")
    with opened(directory / "other") as other, closing(Served(other, directory / "there")) as served:
        served.connect(DB).execute("INSERT INTO t (x) VALUES (2)")
        database = other.require(DB)
        return database.ltx_path(*database.ltx_files()[-1]).read_bytes()


def test_an_old_primary_says_it_with_the_first_transaction_of_the_new_one(
    store: Store, database: Database, known: KnownWal, applier: Told, tmp_path: Path
) -> None:
    content = next_of(store, tmp_path)
    stop_writes(database)
    store.status.is_primary = False
    store.receive_ltx(DB, iter([content]))
    assert applier.known == [known]
    assert database.wal_watch.known is None, "that WAL has gone"


def test_the_primary_says_it_with_a_replica_s_transaction(
    store: Store, database: Database, known: KnownWal, applier: Told, tmp_path: Path
) -> None:
    content = next_of(store, tmp_path)
    halts = Halts(store)
    halts.acquire(DB, 1, Patience("a HALT lock", 5.0))
    halts.take_in(DB, 1, [content])
    halts.release(DB, 1)
    assert applier.known == [known]


def test_what_nobody_was_told_of_does_not_count(
    served: Served, store: Store, database: Database, known: KnownWal
) -> None:
    """It is in the WAL, and SQLite may lose it still."""
    looked_at(store).answer = lambda truth: False
    served.connect(DB).execute("INSERT INTO t (x) VALUES (2)")
    assert database.state.pending is not None
    assert database.wal_watch.tracker.captured > known.frames
    assert database.wal_watch.known == known
