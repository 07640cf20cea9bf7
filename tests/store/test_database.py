"""What SQLite, `cp` and `rm` do to the four files of a database, call by call, without a mount."""

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import BusyError
from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.trace import Event, Gate
from tests.store.serving import Served
from tests.store.support import data_file, opened, query

RW = os.O_RDWR
WRONLY = os.O_WRONLY


def refused(code: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:
        call()
    assert caught.value.errno == code, caught.value


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A whole database elsewhere."""
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(9000)), (2)")
    return path


def copy_in(database: Database, content: bytes, *, whole: bool = True) -> int:
    """What `cp` does through the mount, up to its close; the descriptor."""
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    end = len(content) if whole else len(content) - 1
    for at in range(0, end, 4096):
        database.write(FileKind.DATABASE, fd, content[at : min(at + 4096, end)], at)
    return fd


# -- cp into the mount ---------------------------------------------------------------------------------------


LOOKS: dict[str, Callable[[Store, Database, Path], object]] = {
    "an open": lambda store, database, tmp: os.close(database.open_file(FileKind.DATABASE, RW, False)),
    "the applier's open": lambda store, database, tmp: os.close(
        database.open_file(FileKind.DATABASE, RW, True)
    ),
    "an export": lambda store, database, tmp: store.export(database.name, tmp / "out"),
    "a snapshot": lambda store, database, tmp: store.snapshot(database.name, tmp / "out"),
    "its position": lambda store, database, tmp: database.settle(),
}


def test_a_database_that_is_copied_in_is_a_transaction_when_it_is_released(
    store: Store, source: Path
) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    assert database.pos.txid == 0, "no close waits for a capture"
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1
    assert data_file(store, "a.db").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_copy_that_has_ended_is_a_transaction_before_anyone_looks(
    store: Store, source: Path, tmp_path: Path, look: Callable[[Store, Database, Path], object]
) -> None:
    """The kernel tells of the release after `close(2)` has returned: whoever looks may come first."""
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    look(store, database, tmp_path)
    assert database.pos.txid == 1
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1


def test_a_copy_is_a_transaction_at_its_sync(store: Store, source: Path) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    database.sync(FileKind.DATABASE, fd)
    assert database.pos.txid == 1
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1


def test_a_copy_that_grew_first_is_not_taken_before_its_end(store: Store, source: Path) -> None:
    """It has its length and its header long before its last page: only the release tells."""
    database = store.create("a.db")
    content = source.read_bytes()
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    database.truncate(FileKind.DATABASE, len(content), False, fd)
    database.write(FileKind.DATABASE, fd, content[:4096], 0)
    database.sync(FileKind.DATABASE, fd)
    assert database.pos.txid == 0
    looking = threading.Thread(target=database.settle)
    looking.start()
    database.write(FileKind.DATABASE, fd, content[4096:], 4096)
    database.release(FileKind.DATABASE, fd)
    looking.join(10)
    assert database.pos.txid == 1
    store.export(database.name, source)
    assert source.read_bytes() == content


def test_what_is_written_after_the_capture_is_captured_too(store: Store, source: Path) -> None:
    database = store.create("a.db")
    content = source.read_bytes()
    fd = copy_in(database, content)
    database.settle()
    database.write(FileKind.DATABASE, fd, content[-100:-50] + bytes(50), len(content) - 100)
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: database.pos.txid == 2)


# -- the applier and journals ------------------------------------------------------------------------------


def test_the_applier_leaves_a_journal_that_a_writer_has_open(
    served: Served, store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the locks say: a live journal with somebody behind it is no leftover."""
    db = served.connect("a.db")
    db.executescript("CREATE TABLE t (x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1); PRAGMA cache_size=1;")
    database = store.require("a.db")
    assert database.path(FileKind.JOURNAL).exists()
    db.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 50)  # The journal is written and synced.
    refused(errno.EBUSY, lambda: database.remove(FileKind.JOURNAL, True))
    refused(errno.EBUSY, lambda: database.open_file(FileKind.JOURNAL, RW, True))
    assert "a client has it open with a transaction in it" in caplog.text
    pos = database.pos
    with open(source, "rb") as file, pytest.raises(BusyError, match="a client has its journal open"):
        store.import_database("a.db", file)
    assert database.pos == pos and database.path(FileKind.JOURNAL).exists()
    db.execute("COMMIT")
    assert query(database.path(FileKind.DATABASE), "SELECT count(*) FROM t") == [(51,)]


@pytest.mark.parametrize("content", ["half", "garbage"])
def test_what_is_not_a_whole_database_at_the_end_is_not_kept(
    store: Store, source: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    database = store.create("a.db")
    raw = source.read_bytes() if content == "half" else b"not a database, but long" * 300
    fd = copy_in(database, raw, whole=False)
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: not database.exists)
    assert database.pos.txid == 0
    assert "refused on a.db: copying a file onto the mount: it is not a whole SQLite database" in caplog.text
    assert "pylitefs import" in caplog.text


def wait_for(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("never came true")


def test_a_copy_that_cannot_be_kept_fails_and_leaves_nothing(
    store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = store.create("a.db")
    descriptors = len(os.listdir("/proc/self/fd"))
    fd = copy_in(database, source.read_bytes())
    database.ltx_dir.rmdir()  # The LTX file cannot be made.
    refused(errno.ENOENT, lambda: database.sync(FileKind.DATABASE, fd))
    database.settle()
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: not database.exists)
    assert store.positions() == {}
    assert "refused on a.db: copying a file onto the mount" in caplog.text
    database.state.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_copy_over_a_database_is_refused_with_the_way_to_do_it(
    served: Served, store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served.connect("a.db").executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    database = store.require("a.db")
    before = data_file(store, "a.db").read_bytes()
    fd = database.open_file(FileKind.DATABASE, WRONLY, False)
    refused(errno.EPERM, lambda: database.truncate(FileKind.DATABASE, 0, False, fd))
    refused(errno.EPERM, lambda: database.write(FileKind.DATABASE, fd, source.read_bytes(), 0))
    refused(errno.EPERM, lambda: database.truncate(FileKind.DATABASE, 0))
    database.release(FileKind.DATABASE, fd)
    assert data_file(store, "a.db").read_bytes() == before
    assert caplog.text.count("use `pylitefs import` to replace a database") == 3


def test_a_copy_whose_name_is_removed_meanwhile_is_no_transaction_of_whoever_has_the_name_next(
    served: Served, store: Store, source: Path
) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    database.remove(FileKind.DATABASE)
    db = served.connect("a.db")
    db.execute("CREATE TABLE other (x)")
    pos = database.pos
    database.release(FileKind.DATABASE, fd)
    assert database.pos == pos and database.exists
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


def test_a_file_that_was_only_touched_is_no_transaction(store: Store) -> None:
    database = store.create("a.db")
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    database.release(FileKind.DATABASE, fd)
    assert store.names() == ["a.db"] and store.positions() == {}
    database.remove(FileKind.DATABASE)
    assert store.names() == [] and not database.dir.exists()


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
    count = len(os.listdir("/proc/self/fd"))
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
    assert len(os.listdir("/proc/self/fd")) == count


def test_writes_are_counted_by_file_and_transactions_too(served: Served, store: Store) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA journal_mode=wal")
    db.execute("INSERT INTO t VALUES (1)")
    counts = store.require("a.db").counts
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
