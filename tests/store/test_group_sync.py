"""In a burst of WAL mode the LTX files are synced behind the commits, and nobody hears of one before."""

import errno
import gc
import os
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store import group_sync, publisher
from pylitefs.store.database import Database
from pylitefs.store.group_sync import MOST_LATE, GroupSync, sync_all
from pylitefs.store.retention import Limits, Retention
from pylitefs.store.snapshot import make_snapshot
from pylitefs.store.state import Captured
from pylitefs.store.store import Store
from tests.store.crashes import Recorder, watching
from tests.store.looker import Looker, looked_at
from tests.store.serving import Served
from tests.store.support import assert_captured, assert_position_is_the_bytes_own, opened, query, refused

DB = "a.db"


@pytest.fixture
def burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit is one of a burst, and no thread syncs it."""
    monkeypatch.setattr(publisher, "BURST_S", 600.0)
    monkeypatch.setattr(publisher, "LATER_S", 600.0)
    monkeypatch.setattr(GroupSync, "add", lambda self, state: None)


@pytest.fixture
def keeper(served: Served, looker: Looker, burst: None) -> sqlite3.Connection:
    """A connection to a database in WAL mode that stays."""
    del looker, burst
    keeper = served.connect(DB, "journal_mode=wal", "synchronous=normal", "wal_autocheckpoint=0")
    keeper.execute("CREATE TABLE t (x)")
    keeper.execute("INSERT INTO t VALUES (0)")
    return keeper


@pytest.fixture
def database(keeper: sqlite3.Connection, store: Store) -> Database:
    """At TXID 3, and told so."""
    del keeper
    database = store.require(DB)
    assert database.current_pos().txid == 3
    return database


def insert(db: sqlite3.Connection, count: int) -> None:
    for _ in range(count):
        db.execute("INSERT INTO t VALUES (randomblob(300))")


@contextmanager
def syncs(directory: Path) -> Iterator[list[str]]:
    """The names of the LTX files that are synced."""
    names: list[str] = []

    def note(call: str, name: str, fd: int) -> None:
        if call in ("fsync", "fdatasync") and name.endswith(".ltx"):
            names.append(name.rpartition("/")[2])

    with watching(directory, note):
        yield names


def test_a_commit_of_a_burst_waits_for_no_disk_and_is_told_to_nobody(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    heard: list[int] = []
    store.subscribe(lambda name, pos, header: heard.append(pos.txid))
    shown = database.timestamp_ms, dict(database.state.counts)["commit"]
    with syncs(store.data_dir) as names:
        insert(keeper, 5)
        assert not names and not heard
        assert shown == (database.timestamp_ms, database.state.counts["commit"]), "for `stat` and the metrics"
        assert database.pos.txid == 3 and database.state.pos.txid == 7, (
            "SQLite's readers see all but the last"
        )
        sync_all(database.state)
        assert len(names) == 5 and names == sorted(names)
    assert heard == [4, 5, 6, 7] and database.pos.txid == 7
    assert database.current_pos().txid == 8
    assert_captured_by_all(database, 8)


def assert_captured_by_all(database: Database, txid: int) -> None:
    assert_position_is_the_bytes_own(database)
    spans = database.ltx_files()
    assert [span[1] for span in spans] == list(range(1, txid + 1))
    for span in spans:
        verify_file(database.ltx_path(*span))


def test_who_asks_for_the_position_has_it_made_durable(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    with syncs(store.data_dir) as names:
        for txid in range(4, 9):
            insert(keeper, 1)
            assert database.current_pos().txid == txid and len(names) == txid - 3


def test_who_asks_while_a_group_is_being_told_waits_for_all_of_it(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    """They are synced, and the news goes out one by one: the answer is the newest, as always."""
    insert(keeper, 5)
    store._publisher.settle(database.state)  # type: ignore[union-attr]
    assert database.state.pending is None
    telling, go = threading.Event(), threading.Event()

    def slow(name: str, pos: Pos, header: Header | None) -> None:
        if pos.txid == 4:
            telling.set()
            go.wait(10)

    store.subscribe(slow)
    answers: list[int] = []
    syncing = threading.Thread(target=lambda: sync_all(database.state))
    asking = threading.Thread(target=lambda: answers.append(database.current_pos().txid))
    syncing.start()
    assert telling.wait(10)
    assert not database.state.unsynced and database.state.unsettled
    asking.start()
    asking.join(0.1)
    assert not answers
    go.set()
    asking.join()
    syncing.join()
    assert answers == [8]


def test_a_subscriber_that_fails_keeps_no_position_back(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    insert(keeper, 4)

    def fail(name: str, pos: Pos, header: Header | None) -> None:
        raise ValueError(name)

    unsubscribe = store.subscribe(fail)
    with pytest.raises(ValueError, match=DB):
        sync_all(database.state)
    unsubscribe()
    assert database.current_pos().txid == 7 and not database.state.unsettled


@pytest.mark.parametrize("synchronous", ["normal", "off"])
def test_a_checkpoint_writes_no_page_before_its_ltx_file_is_durable(
    keeper: sqlite3.Connection, database: Database, store: Store, synchronous: str
) -> None:
    """Also with synchronous=OFF, where SQLite itself syncs nothing."""
    keeper.execute(f"PRAGMA synchronous={synchronous}")
    insert(keeper, 4)
    assert len(database.state.unsynced) == 4
    order: list[str] = []
    with watching(store.data_dir, lambda call, name, fd: order.append(f"{call} {name}")):
        keeper.execute("PRAGMA wal_checkpoint(PASSIVE)")
    written = next(at for at, call in enumerate(order) if call.endswith("/database"))
    assert sum(".ltx" in call for call in order[:written]) == 4
    assert not any(".ltx" in call for call in order[written:])
    assert database.pos.txid == 7


@pytest.mark.parametrize("synchronous", ["full", "extra"])
def test_a_commit_that_sqlite_syncs_is_durable_when_it_returns(
    keeper: sqlite3.Connection, database: Database, synchronous: str
) -> None:
    keeper.execute(f"PRAGMA synchronous={synchronous}")
    for _ in range(4):
        insert(keeper, 1)
        assert not database.state.unsynced


def test_any_other_transaction_comes_after_them(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    insert(keeper, 3)
    with syncs(store.data_dir) as names:
        keeper.execute("PRAGMA journal_mode=delete")
        keeper.execute("INSERT INTO t VALUES (1)")
        assert names == sorted(names) and len(names) >= 4
    assert not database.state.unsynced and database.pos == database.state.pos


def test_a_snapshot_holds_nothing_that_may_be_lost(
    keeper: sqlite3.Connection, database: Database, store: Store, tmp_path: Path
) -> None:
    insert(keeper, 3)
    info = make_snapshot(database, store.applier, tmp_path / "s.ltx")
    assert database.pos == database.state.pos == info.pos


def test_retention_keeps_the_newest_durable_file_and_all_after_it(
    keeper: sqlite3.Connection, database: Database
) -> None:
    """A power failure may take those after it. Then the position hangs on that one."""
    insert(keeper, 4)
    reap(database)
    assert database.ltx_files() == [(txid, txid) for txid in range(3, 7)]
    assert database.current_pos().txid == 7
    reap(database)
    assert database.ltx_files() == [(7, 7)]


def test_what_is_late_has_a_bound(keeper: sqlite3.Connection, database: Database) -> None:
    most = 0
    for _ in range(3 * MOST_LATE):
        insert(keeper, 1)
        most = max(most, len(database.state.unsynced))
    assert most == MOST_LATE and database.pos.txid >= 2 * MOST_LATE


def test_a_long_ltx_file_is_synced_at_once_and_all_before_it(
    keeper: sqlite3.Connection, database: Database
) -> None:
    """So those that are late are few bytes, and at most so many as recovery looks at."""
    insert(keeper, 3)
    keeper.execute("INSERT INTO t VALUES (randomblob(2000000))")
    assert not database.state.unsynced


def test_what_is_late_is_not_kept_in_memory(keeper: sqlite3.Connection, database: Database) -> None:
    others = [one for one in gc.get_objects() if isinstance(one, Captured)]  # Of other tests.
    keeper.execute("INSERT INTO t VALUES (randomblob(500000))")
    store_keeps = database.state.node.ltx_cache
    insert(keeper, 1)
    store_keeps.clear()
    assert database.state.unsynced
    kept = [one for one in gc.get_objects() if isinstance(one, Captured) and one.pos.txid == 4]
    assert not [one for one in kept if not any(one is other for other in others)]


def test_many_databases_share_the_descriptors_of_what_is_late(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slow the disk is, most of the node's are left to its clients."""
    monkeypatch.setattr(publisher, "BURST_S", 600.0)
    monkeypatch.setattr(group_sync, "open_files_limit", lambda: 128)
    monkeypatch.setattr(GroupSync, "_run", lambda self: None)  # The disk takes for ever.
    looked_at(store)
    connections = [
        served.connect(f"{number}.db", "journal_mode=wal", "synchronous=normal") for number in range(20)
    ]
    for db in connections:
        db.execute("CREATE TABLE t (x)")
    most = 0
    for _ in range(12):
        for db in connections:
            insert(db, 1)
            most = max(most, sum(len(one.state.unsynced) for one in store.databases()))
    assert 0 < most <= 32


def test_a_lecture_sees_each_file_made_durable_before_the_next_step(
    keeper: sqlite3.Connection, database: Database, store: Store
) -> None:
    stop = store.tracer.listen(lambda event: None)
    insert(keeper, 2)
    stop()
    assert not database.state.unsynced


def test_a_commit_that_sqlite_loses_needs_no_sync(
    served: Served, keeper: sqlite3.Connection, database: Database, looker: Looker
) -> None:
    """Its writer dies before it publishes; the next one writes over its frames."""
    looker.answer = lambda truth: False
    other = served.connect(DB, "synchronous=normal")
    other.execute("SELECT * FROM t").fetchall()
    insert(keeper, 2)
    sync_all(database.state)
    index = database.dir / "shm"
    head = index.read_bytes()[:136]
    insert(keeper, 1)
    with open(index, "r+b") as file:
        file.write(head)  # As if it had never been published.
    other.execute("INSERT INTO t VALUES ('instead')")
    looker.answer = lambda truth: truth
    served.store.settle()
    assert other.execute("SELECT count(*) FROM t WHERE x = 'instead'").fetchone() == (1,)
    assert_captured(served, 6)
    assert not database.state.unsynced


def test_after_a_sync_that_failed_nothing_more_is_written(
    keeper: sqlite3.Connection,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A second sync of the same file would say that all is well, and it is not."""
    insert(keeper, 2)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, "fdatasync", fail)
        refused(errno.EIO, lambda: sync_all(database.state))
    assert "cannot be synced" in caplog.text and "start it again" in caplog.text
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        insert(keeper, 1)
    assert "the sync of an LTX file failed" in caplog.text
    caplog.clear()
    for _ in range(3):
        assert database.current_pos().txid == 3, "what is not durable is told to nobody"
    assert not caplog.text, "who asks is no news"
    assert keeper.execute("SELECT count(*) FROM t").fetchone() == (3,), "readers go on"
    database.state.sync_failure = None  # For the end of the test.
    sync_all(database.state)


def test_a_close_that_fails_is_no_sync_that_failed(
    keeper: sqlite3.Connection, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is durable by then, and its descriptor is gone: it may be another file's already."""
    insert(keeper, 4)
    closed: list[int] = []
    close = os.close

    def fail(fd: int) -> None:
        closed.append(fd)
        close(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    late = [captured.fd for captured in database.state.unsynced]
    with monkeypatch.context() as broken:
        broken.setattr(os, "close", fail)
        sync_all(database.state)
    assert closed == late
    assert database.current_pos().txid == 7 and not database.state.unsettled
    insert(keeper, 2)
    assert database.current_pos().txid == 9


def test_the_thread_syncs_what_comes_and_ends_with_all_of_it_synced(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "BURST_S", 600.0)
    looked_at(store)
    db = served.connect(DB, "journal_mode=wal", "synchronous=normal")
    db.execute("CREATE TABLE t (x)")
    heard = threading.Event()
    store.subscribe(lambda name, pos, header: heard.set() if pos.txid >= 200 else None)
    insert(db, 200)
    assert heard.wait(10)
    insert(db, 20)
    store._publisher.stop()  # type: ignore[union-attr]
    assert not store.require(DB).state.unsynced


def test_a_sync_that_fails_stops_its_database_and_no_other(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "BURST_S", 600.0)
    looked_at(store)
    both = [served.connect(name, "journal_mode=wal", "synchronous=normal") for name in (DB, "b.db")]
    for db in both:
        db.execute("CREATE TABLE t (x)")
        insert(db, 2)
    store.settle()
    heard = threading.Event()
    store.subscribe(lambda name, pos, header: heard.set() if name == "b.db" and pos.txid >= 50 else None)

    def fail(call: str, name: str, fd: int) -> None:
        if call == "fdatasync" and DB in name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with watching(store.data_dir, fail):
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            while True:
                insert(both[0], 1)
        insert(both[1], 60)
        assert heard.wait(10)
    failed = store.require(DB)
    assert failed.pos.txid < failed.state.pos.txid and store.require("b.db").current_pos().txid == 64
    failed.state.sync_failure = None  # For the end of the test.


# The power fails, or the node is killed.


@pytest.fixture
def tmp_path(folder_in_memory: Path) -> Path:
    return folder_in_memory


def bursts(directory: Path, seed: int) -> tuple[Recorder, set[str]]:
    """Rows that come in a burst, synced now and then; of every moment an image, and what was told by then."""
    chance = random.Random(seed)
    positions: set[str] = set()
    noted: list[Any] = [(0, 0)]
    with opened(directory / "data", mount_dir=directory / "mnt") as store:
        looked_at(store)
        store.subscribe(lambda name, pos, header: positions.add(str(pos)))
        served = Served(store, directory / "mnt")
        synchronous = ("normal", "off")[seed % 2]
        db = served.connect(DB, "page_size=512", "journal_mode=wal", f"synchronous={synchronous}")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        database = store.require(DB)
        database.current_pos()
        recorder = Recorder(directory / "data", note=lambda: noted[-1])
        with recorder.recording():
            for row in range(1, 13):
                db.execute("INSERT INTO t (x) VALUES (randomblob(?))", [chance.choice((10, 700))])
                noted.append((row, database.pos.txid))
                if chance.random() < 0.25:
                    sync_all(database.state)
                    noted.append((row, database.pos.txid))
                if chance.random() < 0.1:
                    db.execute("PRAGMA wal_checkpoint(RESTART)")
                    noted.append((row, database.pos.txid))
                if chance.random() < 0.15:
                    reap(database)
        database.current_pos()
        served.close()
    return recorder, positions


def reap(database: Database) -> None:
    """As retention does after a while: every file that may go is old enough."""
    Retention(Limits(seconds=-1000)).reap(database.state)


def reopened(directory: Path, positions: set[str]) -> tuple[int, int]:
    """Every invariant of what a crash left; how many rows there are, and the TXID."""
    with opened(directory) as store:
        assert not store.set_aside
        database = store.require(DB)
        assert_position_is_the_bytes_own(database)
        assert str(database.pos) in positions, "the cluster never was there"
        assert database.ltx_files()[-1][1] == database.pos.txid
        ((count, last),) = query(database.dir / "database", "SELECT count(*), coalesce(max(id), 0) FROM t")
        assert count == last and query(database.dir / "database", "PRAGMA integrity_check") == [("ok",)]
        return int(str(count)), database.pos.txid


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 20))])
def test_a_crash_in_a_burst_leaves_what_was_promised(tmp_path: Path, burst: None, seed: int) -> None:
    """A killed node loses no row that SQLite acknowledged, and its next start may tell of each. After a power
    failure nothing is lost that anyone was told of, whichever of the files that were not synced survive."""
    recorder, positions = bursts(tmp_path, seed)
    chance = random.Random(seed)
    lost = 0
    for image in recorder.images:
        rows, told = image.noted
        try:
            after = Recorder(image.write(tmp_path / f"kill{image.step}"), left=image)
            with after.recording():
                found, txid = reopened(after.directory, positions)
            assert found >= rows, "an acknowledged row is gone"
            left = image.write(tmp_path / f"both{image.step}", after.images[-1].after_power_failure(chance))
            assert reopened(left, positions)[1] >= txid, "what the start told is gone"
            for attempt in range(4):
                left = image.write(
                    tmp_path / f"power{image.step}.{attempt}", image.after_power_failure(chance)
                )
                found, txid = reopened(left, positions)
                assert txid >= told, "what was told is gone"
                lost += found < rows
        except BaseException as error:
            error.add_note(f"before step {image.step}, {image.call}")
            raise
    assert lost, "no image lost what was not synced: this shows nothing"
