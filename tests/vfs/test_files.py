"""Calls as SQLite makes them, by hand: what each means for the store, and what a mount's kernel does."""

import errno
import os
from contextlib import closing

import pytest

from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.vfs.files import COUNTERS, VERSIONS, Files
from pylitefs.vfs.front import Front
from pylitefs.vfs.locks import Level, LockTable
from pylitefs.vfs.outside import Outside
from tests.vfs.shipping import ship

RW = os.O_RDWR | os.O_CREAT


@pytest.fixture
def files(store: Store) -> Files:
    return Files(store, LockTable(Outside()), Outside())


def test_a_name_without_a_file_is_not_there(files: Files) -> None:
    """And an empty file is none, as for SQLite on a disk."""
    assert not files.exists("a.db")
    with pytest.raises(FileNotFoundError):
        files.open("a.db", os.O_RDWR)
    files.open("a.db", RW).close()
    assert not files.exists("a.db")
    for name in ("a.db-journal", "b.db"):
        with pytest.raises(FileNotFoundError):
            files.delete(name)


def test_a_temporary_file_is_no_database(files: Files, store: Store) -> None:
    files.open(None, RW).close()
    assert not store.databases()


def test_a_process_that_was_forked_is_refused(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks are a copy, and its writes would come behind this one's back."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(PermissionError, match="forked"):
        files.open("a.db", RW)


def test_an_apply_makes_each_connection_s_pages_old_once(front: Front, store: Store) -> None:
    """Whatever the counters in the file say: in WAL mode they stay as they are."""
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
    files = Files(store, front.locks, Outside())
    file = files.open_database("a.db")
    raw = file.read(4096, 0)[COUNTERS]
    assert file.read(16, COUNTERS.start) == raw
    front.locks.of("a.db").forget_pages()
    assert file.read(16, COUNTERS.start) != raw
    assert file.read(4096, 0)[COUNTERS] == raw == file.read(16, COUNTERS.start)
    file.close()


def test_a_replica_shows_a_database_in_wal_mode_as_one_in_a_rollback_mode(
    front: Front, replica: Front, store: Store, replica_store: Store
) -> None:
    """Nobody could read it there otherwise. The file keeps its bytes."""
    db = front.connect("a.db")
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    ship(store, replica_store, "a.db")
    with closing(replica.connect("a.db")) as reader:
        reader.execute("SELECT * FROM t").fetchall()
        for n in range(3):
            db.execute("INSERT INTO t VALUES (?)", (n,))
            ship(store, replica_store, "a.db")
            assert reader.execute("SELECT count(*) FROM t").get == n + 1
    head = replica_store.require("a.db").path(FileKind.DATABASE).read_bytes()[:100]
    assert head[VERSIONS] == b"\2\2"
    db.close()


def test_a_lock_to_write_is_refused_on_a_replica(
    front: Front, replica: Front, store: Store, replica_store: Store
) -> None:
    """Before a statement does its work, and so that nothing waits for it."""
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
    ship(store, replica_store, "a.db")
    file = Files(replica_store, replica.locks, Outside()).open_database("a.db")
    file.lock(Level.SHARED)
    with pytest.raises(OSError) as caught:
        file.lock(Level.RESERVED)
    assert caught.value.errno == errno.EACCES
    file.close()
