"""Transactions of another node come in beside connections of this process."""

import errno
import threading
from contextlib import closing

import apsw
import pytest

from pylitefs.errors import BusyError, UntouchedError
from pylitefs.store.incoming import HeldUpError
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.vfs.front import Front
from tests.store.support import assert_position_is_the_bytes_own
from tests.vfs.shipping import ship


def test_a_reader_in_a_transaction_keeps_its_state_and_then_sees_the_newest(
    front: Front, replica: Front, store: Store, replica_store: Store
) -> None:
    with closing(front.connect("a.db")) as db, pytest.raises(HeldUpError):
        db.execute("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
        ship(store, replica_store, "a.db")
        with closing(replica.connect("a.db")) as reader:
            reader.execute("BEGIN; SELECT * FROM t").fetchall()
            db.execute("INSERT INTO t VALUES (2)")
            try:
                ship(store, replica_store, "a.db", patience=0)
            except HeldUpError as error:
                assert reader.execute("SELECT count(*) FROM t").get == 1
                reader.execute("COMMIT")
                error.finish()
                assert reader.execute("SELECT count(*) FROM t").get == 2
                raise
    assert_position_is_the_bytes_own(replica_store.require("a.db"))


def test_a_drop_reaches_the_replica_and_old_connections_harm_nothing(
    front: Front, replica: Front, store: Store, replica_store: Store
) -> None:
    """A connection on a file that lost its name is told so: a journal beside the new one is not its own."""
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
    ship(store, replica_store, "a.db")
    old = replica.connect("a.db")
    old.execute("SELECT * FROM t").fetchall()
    store.require("a.db").remove(FileKind.DATABASE)
    front.locks.removed("a.db")
    ship(store, replica_store, "a.db")
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE other (x)")
    ship(store, replica_store, "a.db")
    with pytest.raises(apsw.IOError, match="removed while it was open"):
        old.execute("SELECT count(*) FROM t")
    with closing(replica.connect("a.db")) as new:
        assert new.execute("SELECT name FROM sqlite_schema").get == "other"
    old.close()
    assert_position_is_the_bytes_own(replica_store.require("a.db"))


def test_a_primary_s_old_connection_does_not_write_a_new_file(front: Front, store: Store) -> None:
    old = front.connect("a.db")
    old.execute("CREATE TABLE t (x)")
    store.require("a.db").remove(FileKind.DATABASE)
    front.locks.removed("a.db")
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE other (x)")
        with pytest.raises(apsw.IOError, match="removed while it was open"):
            old.execute("INSERT INTO t VALUES (1)")
        assert db.execute("PRAGMA integrity_check").get == "ok"
    old.close()
    assert_position_is_the_bytes_own(store.require("a.db"))


def test_what_was_begun_is_finished_and_what_was_not_has_not_happened(
    front: Front, replica: Front, store: Store, replica_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the first page changes nothing; at a later one it is tried until there is room."""
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
        ship(store, replica_store, "a.db")
        db.execute("INSERT INTO t VALUES (zeroblob(900000)), (1)")
    target = replica_store.require("a.db")
    write, calls, fails = target.write, [0], [{1}]

    def failing(*arguments: object) -> int:
        calls[0] += 1
        if calls[0] in fails[0]:
            raise OSError(errno.ENOSPC, "no room")
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(target, "write", failing)
    with pytest.raises(UntouchedError):
        ship(store, replica_store, "a.db")
    with closing(replica.connect("a.db")) as reader:
        assert reader.execute("SELECT count(*) FROM t").get == 0
    calls[0], fails[0] = 0, {2}
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    path = store.require("a.db").ltx_path(2, 2)
    replica.applier.apply("a.db", path)
    assert slept and calls[0] > 3
    with closing(replica.connect("a.db")) as reader:
        assert reader.execute("SELECT count(*) FROM t").get == 2


def test_a_database_that_one_connection_has_for_itself_is_copied_all_the_same(
    front: Front, store: Store
) -> None:
    """In WAL mode: it commits meanwhile, and its checkpoint waits for the copy."""
    db = front.connect("a.db")
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    with front.applier.read_lock("a.db", True, 0.1):
        db.execute("INSERT INTO t VALUES (1)")
        done = threading.Event()

        def checkpoint() -> None:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            done.set()

        thread = threading.Thread(target=checkpoint)
        thread.start()
        assert not done.wait(0.05)
    thread.join(10)
    assert done.is_set()
    db.close()
    assert_position_is_the_bytes_own(store.require("a.db"))


def test_locks_for_others_name_who_is_in_the_way(front: Front, store: Store) -> None:
    applier = front.applier
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN IMMEDIATE")
        for lock in (applier.writer_lock, applier.write_lock, applier.halt_lock):
            with pytest.raises(BusyError, match=r"connection of this process.*a\.db"), lock("a.db", 0.0):
                pass
        db.execute("COMMIT")
        with applier.writer_lock("a.db", 0.1), pytest.raises(apsw.BusyError):
            db.set_busy_timeout(0)
            db.execute("BEGIN IMMEDIATE")
        with applier.watch_writers("a.db") as is_written:
            assert not is_written()


def test_an_import_is_seen_by_a_connection_that_is_open(front: Front, store: Store) -> None:
    with closing(front.connect("b.db")) as other, closing(front.connect("a.db")) as db:
        other.execute("CREATE TABLE t (x); INSERT INTO t VALUES (7)")
        db.execute("CREATE TABLE t (x)")
        store.export("b.db", store.data_dir / "copy")
        with open(store.data_dir / "copy", "rb") as source:
            store.import_database("a.db", source)
        assert db.execute("SELECT x FROM t").get == 7
        db.execute("INSERT INTO t VALUES (8)")
    assert_position_is_the_bytes_own(store.require("a.db"))
