"""What SQLite, `cp` and `rm` do to the four files of a database, call by call, without a mount."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.trace import Event, Gate
from tests.open_files import open_below
from tests.store.serving import Served
from tests.store.support import data_file, opened, query, refused

RW = os.O_RDWR
WRONLY = os.O_WRONLY


# -- rm ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["delete", "persist", "wal"])
def test_an_unlinked_database_is_dropped_with_what_sqlite_kept_beside_it(
    served: Served, store: Store, mode: str
) -> None:
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    txid = store.require("a.db").pos.txid
    served.unlink("a.db")
    database = store.require("a.db")
    assert (database.pos.txid, database.pos.checksum) == (txid + 1, EMPTY_CHECKSUM)
    assert not any(database.path(kind).exists() for kind in FileKind)
    assert store.names() == [] and "a.db" in store.positions()
    assert database.page_count == 0
    db.close()
    assert database.pos.txid == txid + 1
    refused(errno.ENOENT, lambda: database.remove(FileKind.DATABASE))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_whoever_has_a_dropped_database_open_reads_on_and_harms_no_successor(
    served: Served, store: Store, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = served.connect("a.db", f"journal_mode={mode}")
    old.execute("CREATE TABLE t (x)")
    old.execute("INSERT INTO t VALUES ('old')")
    served.unlink("a.db")
    new = served.connect("a.db", f"journal_mode={mode}")
    new.execute("CREATE TABLE t (x)")
    new.execute("INSERT INTO t VALUES ('new')")
    pos = store.require("a.db").pos
    assert old.execute("SELECT x FROM t").fetchall() == [("old",)]
    with pytest.raises(sqlite3.OperationalError):
        old.execute("INSERT INTO t VALUES ('lost')")
    old.close()
    assert store.require("a.db").pos == pos
    new.execute("INSERT INTO t VALUES ('newer')")
    assert new.execute("SELECT x FROM t").fetchall() == [("new",), ("newer",)]
    assert new.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if mode == "wal":
        assert "its database was removed while it was open" in caplog.text


def test_a_dropped_database_comes_again_with_another_page_size(served: Served, store: Store) -> None:
    for number, page_size in enumerate((512, 4096, 65536, 1024), start=1):
        db = served.connect("a.db", f"page_size={page_size}")
        db.execute("CREATE TABLE t (x)")
        assert store.require("a.db").page_size == page_size
        assert store.require("a.db").pos.txid == 2 * number - 1
        db.close()
        served.unlink("a.db")


def test_a_drop_that_cannot_be_made_durable_leaves_the_database(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    before = store.positions()
    database = store.require("a.db")
    shutil.move(database.ltx_dir, database.dir / "away")
    refused(errno.ENOENT, lambda: served.unlink("a.db"))
    shutil.move(database.dir / "away", database.ltx_dir)
    assert store.positions() == before and store.names() == ["a.db"]
    db.execute("INSERT INTO t VALUES (1)")
    assert store.require("a.db").pos.txid == 2


# -- a replica -----------------------------------------------------------------------------------------------


@pytest.fixture
def replica(served: Served, store: Store, tmp_path: Path) -> "Store":
    db = served.connect("a.db")
    db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    db.close()
    store.status.is_primary = False
    return store


def test_a_replica_refuses_every_write_with_one_line_each(
    replica: Store, caplog: pytest.LogCaptureFixture
) -> None:
    database = replica.require("a.db")
    pos, content = database.pos, data_file(replica, "a.db").read_bytes()
    fd = database.open_file(FileKind.DATABASE, RW, False)
    wal = database.create_file(FileKind.WAL, RW | os.O_CREAT, False)
    calls: list[tuple[int, Callable[[], object]]] = [
        (errno.EIO, lambda: database.write(FileKind.DATABASE, fd, b"x", 0)),
        (errno.EIO, lambda: database.truncate(FileKind.DATABASE, 0, False, fd)),
        (errno.EACCES, lambda: database.create_file(FileKind.JOURNAL, RW | os.O_CREAT, False)),
        (errno.EACCES, lambda: database.create_file(FileKind.DATABASE, RW | os.O_CREAT, False)),
        (errno.EACCES, lambda: database.write(FileKind.WAL, wal, b"x" * 32, 0)),
        (errno.EACCES, lambda: database.truncate(FileKind.WAL, 32, False, wal)),
        (errno.EACCES, lambda: database.remove(FileKind.DATABASE)),
    ]
    for number, (code, call) in enumerate(calls, start=1):
        refused(code, call)
        assert caplog.text.count("this node is a replica; write on the primary") == number
    database.truncate(FileKind.WAL, 0, False, wal)  # As a checkpoint does, to a WAL that is empty.
    refused(errno.EACCES, lambda: database.remove(FileKind.WAL))  # As the last client does, without a line.
    assert caplog.text.count("this node is a replica; write on the primary") == len(calls)
    assert database.pos == pos and data_file(replica, "a.db").read_bytes() == content


def test_a_replica_s_readers_may_make_a_wal_index(replica: Store) -> None:
    """SQLite in WAL mode cannot read without one."""
    database = replica.require("a.db")
    fd = database.create_file(FileKind.SHM, RW | os.O_CREAT, False)
    assert database.write(FileKind.SHM, fd, bytes(32768), 0) == 32768
    database.truncate(FileKind.SHM, 0, False, fd)
    database.release(FileKind.SHM, fd)


def test_the_applier_s_writes_are_no_transactions(replica: Store) -> None:
    database = replica.require("a.db")
    pos = database.pos
    content = data_file(replica, "a.db").read_bytes()
    fd = database.open_file(FileKind.DATABASE, RW, True)
    assert not database.has_clients
    database.write(FileKind.DATABASE, fd, content[:4096], 0, True)
    database.truncate(FileKind.DATABASE, len(content), True, fd)
    wal = database.create_file(FileKind.WAL, RW | os.O_CREAT, True)
    database.write(FileKind.WAL, wal, bytes(32), 0, True)
    database.truncate(FileKind.WAL, 0, True, wal)
    database.remove(FileKind.WAL, True)
    database.release(FileKind.WAL, wal, True)
    database.release(FileKind.DATABASE, fd, True)
    assert database.pos == pos and not database.rollback_watch.dirty and not database.wal_watch.live


# -- handles, counts, tracepoints ---------------------------------------------------------------------------


def test_no_descriptor_is_left_behind(served: Served, store: Store) -> None:
    """Whatever modes a database went through, drops included."""
    served.connect("warm.db").execute("CREATE TABLE t (x)")
    store.require("warm.db").state.close()
    served.close()
    before = open_below(store.data_dir)
    again = Served(store, served.directory)
    for mode in ("delete", "truncate", "persist", "wal", "memory", "off"):
        db = again.connect("a.db", f"journal_mode={mode}")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (randomblob(9000))")
        assert store.finish_captures(5)
        db.execute("VACUUM")
        assert store.finish_captures(5)
        db.close()
        again.unlink("a.db")
    again.close()
    store.require("a.db").state.close()
    assert open_below(store.data_dir) == before


def test_writes_are_counted_by_file_and_transactions_too(served: Served, store: Store) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA journal_mode=wal")
    db.execute("INSERT INTO t VALUES (1)")
    counts = store.require("a.db").state.counts
    assert counts["commit"] == store.require("a.db").pos.txid == 3
    assert counts["database"] >= 3 and counts["journal"] >= 6 and counts["wal"] == 3 and counts["shm"] > 0


def test_each_write_is_traced_with_its_place_and_not_its_bytes(served: Served, store: Store) -> None:
    events: list[Event] = []
    store.tracer.listen(events.append)
    db = served.connect("a.db", "page_size=1024")
    db.execute("CREATE TABLE t (x)")
    found = {event.name for event in events}
    assert found == {
        "journal.open", "journal.write", "journal.sync", "page.write", "journal.invalidate", "ltx.encode",
        "ltx.commit", "pos.advance",
    }  # fmt: skip
    pages = [event.payload for event in events if event.name == "page.write"]
    assert [dict(payload) for payload in pages] == [
        {"offset": at, "length": 1024, "checkpoint": False, "pgno": at // 1024 + 1} for at in (0, 1024)
    ]
    assert all(
        not isinstance(value, bytes | memoryview) for event in events for value in event.payload.values()
    )


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_gate_holds_the_writer_and_no_reader(served: Served, store: Store, mode: str) -> None:
    """Positions can be read, other databases written, while a commit stands still between two steps."""
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    other = served.connect("b.db")
    before = store.require("a.db").pos
    gate = Gate(["ltx.commit"], database="a.db")
    stop = store.tracer.listen(gate)
    writer = threading.Thread(target=lambda: db.execute("INSERT INTO t VALUES (1)"))
    writer.start()
    held = gate.wait_held(10)
    assert held is not None and held.txid == before.txid + 1
    assert store.positions()["a.db"] == before
    other.execute("CREATE TABLE t (x)")
    assert store.require("b.db").pos.txid == 1
    assert store.names() == ["a.db", "b.db"]
    gate.close()
    stop()
    writer.join(10)
    assert store.require("a.db").pos.txid == before.txid + 1


def test_a_kernel_that_still_knows_a_dropped_side_file_gets_a_new_one(served: Served, store: Store) -> None:
    db = served.connect("a.db", "journal_mode=wal")
    db.execute("CREATE TABLE t (x)")
    database = store.require("a.db")
    os.unlink(database.path(FileKind.SHM))
    fd = database.open_file(FileKind.SHM, RW, False)
    assert os.fstat(fd).st_size == 0
    database.release(FileKind.SHM, fd)
    served.unlink("a.db")
    refused(errno.ENOENT, lambda: database.open_file(FileKind.SHM, RW, False))
    refused(errno.ENOENT, lambda: database.open_file(FileKind.DATABASE, RW, False))


def test_a_store_that_is_opened_again_knows_all_of_it(served: Served, store: Store, data: Path) -> None:
    db = served.connect("a.db", "journal_mode=wal")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (7)")
    database = store.require("a.db")
    facts = (database.pos, database.page_size, database.page_count, database.timestamp_ms)
    served.close()
    store.close()
    with opened(data) as again:
        found = again.require("a.db")
        assert (found.pos, found.page_size, found.page_count, found.timestamp_ms) == facts
        assert query(data_file(again, "a.db"), "SELECT x FROM t") == [(7,)]
