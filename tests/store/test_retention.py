"""Retention: old LTX files go, the newest stays, and what went is durable in the database before."""

import os
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pylitefs.store import retention
from pylitefs.store.names import FileKind
from pylitefs.store.retention import Limits
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import opened
from tests.store.test_wal_tracker import takes_back


def make(served: Served, count: int, mode: str = "delete") -> None:
    db = served.connect("a.db", f"journal_mode={mode}", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (x)")
    for value in range(count - 1 - (mode == "wal")):
        db.execute("INSERT INTO t VALUES (?)", (value,))


def age(store: Store, txids: range, seconds: float, now: float = 1_700_000_000) -> float:
    database = store.require("a.db")
    for txid in txids:
        os.utime(database.ltx_path(txid, txid), (now - seconds, now - seconds))
    return now


def test_files_past_their_retention_go_but_the_newest(served: Served, store: Store) -> None:
    make(served, 6)
    now = age(store, range(1, 4), 601)
    age(store, range(4, 7), 599)
    assert store.reap(now) == 3
    database = store.require("a.db")
    assert database.ltx_files() == [(4, 4), (5, 5), (6, 6)]
    assert not database.ltx_path(3, 3).exists() and database.ltx_path(4, 4).exists()
    assert store.reap(now) == 0
    age(store, range(4, 7), 10_000)
    assert store.reap(now) == 2
    assert database.ltx_files() == [(6, 6)], "however old"


def test_a_young_file_keeps_those_after_it(served: Served, store: Store) -> None:
    """Times may jump; what is kept has no gap."""
    make(served, 5)
    now = age(store, range(1, 6), 10_000)
    age(store, range(2, 3), 1)
    assert store.reap(now) == 1
    assert [low for low, _ in store.require("a.db").ltx_files()] == [2, 3, 4, 5]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_database_wal_and_their_names_are_synced_before_a_file_goes(
    served: Served, store: Store, mode: str
) -> None:
    make(served, 4, mode)
    now = age(store, range(1, 5), 10_000)
    calls: list[str] = []
    with watching(store.data_dir, lambda call, name, fd: calls.append(f"{call} {name}")):
        store.reap(now)
    synced = ["fsync dbs/a.db/database", *["fsync dbs/a.db/wal"] * (mode == "wal"), "fsync dbs/a.db"]
    assert calls[: len(synced)] == synced
    assert all(call.startswith("unlink") for call in calls[len(synced) :]) and len(calls) == len(synced) + 3


@pytest.mark.parametrize("end", ["RESTART", "TRUNCATE", "DELETE"])
def test_what_was_reaped_is_synced_in_the_database_before_its_wal_goes(
    served: Served, store: Store, end: str
) -> None:
    """With synchronous=OFF SQLite does not sync what it has copied, and no LTX file has it any more."""
    make(served, 4, "wal")
    store.reap(age(store, range(1, 5), 10_000))
    db = served.connect("a.db", "synchronous=off")
    calls: list[str] = []
    with watching(store.data_dir, lambda call, name, fd: calls.append(f"{call} {name.rpartition('/')[2]}")):
        db.execute("PRAGMA wal_checkpoint(FULL)")
        if end == "RESTART":
            db.execute("INSERT INTO t VALUES (9)")
        elif end == "TRUNCATE":
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            db.close()
            served.close()
    goes = {"RESTART": "pwrite wal", "TRUNCATE": "truncate wal", "DELETE": "unlink wal"}[end]
    copied = max(at for at, call in enumerate(calls) if call == "pwrite database")
    assert "fdatasync database" in calls[copied : calls.index(goes)]
    if end == "RESTART":
        header = calls.index(goes)
        assert calls[header + 1] == "fdatasync wal", "before a frame is written over one of the old WAL"


def test_a_wal_that_goes_costs_no_sync_where_nothing_was_reaped(served: Served, store: Store) -> None:
    make(served, 4, "wal")
    db = served.connect("a.db", "synchronous=off")
    calls: list[str] = []
    with watching(store.data_dir, lambda call, name, fd: calls.append(f"{call} {name}")):
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not any("sync" in call and call.endswith("database") for call in calls)


def test_what_a_wal_holds_without_checksums_stays_in_ltx_files(
    served: Served, store: Store, tmp_path: Path
) -> None:
    """SQLite 3.40 leaves such frames; a recovery that reads the WAL ends at the first."""
    db = served.connect("a.db", "page_size=512", "journal_mode=wal", "cache_size=1", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    takes_back(db, "INSERT INTO t (x) VALUES (1)")
    database = store.require("a.db")
    if not database.wal_watch.tracker.unsummed:
        pytest.skip(f"SQLite {sqlite3.sqlite_version} leaves no such frames")
    first = database.wal_watch.unsummed_from
    for value in range(3):
        db.execute("UPDATE t SET x = ?", (value,))
    now = age(store, range(1, first + 4), 10_000)
    store.reap(now)
    shutil.copytree(store.data_dir, tmp_path / "killed")
    with opened(tmp_path / "killed") as again:
        assert again.require("a.db").pos == database.current_pos()
    assert database.ltx_files()[0] == (first, first)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert store.reap(now) == 3, "they are in the database"


def test_a_removed_file_is_found_by_no_stream(served: Served, store: Store, tmp_path: Path) -> None:
    make(served, 4)
    store.reap(age(store, range(1, 5), 10_000))
    database = store.require("a.db")
    assert database.ltx_next(0) is None and database.ltx_next(2) is None
    assert database.ltx_next(3) == (4, 4)
    assert database.read_ltx(2, 2) is None and database.ltx_header(2, 2) is None
    # What a replica that needs them gets instead.
    snapshot = store.snapshot(database.name, tmp_path / "snapshot")
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([snapshot.path.read_bytes()]))
        assert replica.positions() == store.positions()


def test_a_file_that_someone_removed_already_is_no_error(served: Served, store: Store) -> None:
    make(served, 4)
    now = age(store, range(1, 5), 10_000)
    store.require("a.db").ltx_path(2, 2).unlink()
    assert store.reap(now) == 3


def test_each_removal_is_traced_and_one_database_s_trouble_is_its_own(
    served: Served, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    make(served, 3)
    served.connect("b.db").executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    now = age(store, range(1, 4), 10_000)
    for path in store.require("b.db").ltx_dir.iterdir():
        os.utime(path, (now - 10_000, now - 10_000))
    events: list[Event] = []
    store.tracer.listen(events.append)

    def fail(call: str, name: str, fd: int) -> None:
        if name == "dbs/a.db/database":
            raise OSError(13, "failed by the test")

    with watching(store.data_dir, fail):
        assert store.reap(now) == 1
    assert [(event.name, event.database, event.txid) for event in events] == [("retention.reap", "b.db", 1)]
    assert "a.db: its old LTX files cannot be removed" in caplog.text
    assert len(store.require("a.db").ltx_files()) == 3


def test_one_file_that_the_disk_does_not_let_go_keeps_none_of_the_others(
    served: Served, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """It is there, so it stays in the list, and is tried again each time."""
    make(served, 5)
    now = age(store, range(1, 6), 10_000)
    database = store.require("a.db")

    def fail(call: str, name: str, fd: int) -> None:
        if call == "unlink" and name.endswith(f"{2:016x}.ltx"):
            raise OSError(13, "failed by the test")

    with watching(store.data_dir, fail):
        for _ in range(2):
            store.reap(now)
            assert database.ltx_files() == [(2, 2), (5, 5)]
    assert "a.db: its old LTX files cannot be removed" in caplog.text
    store.reap(now)
    assert database.ltx_files() == [(5, 5)]


def test_a_dropped_database_keeps_the_file_of_its_drop(served: Served, store: Store) -> None:
    make(served, 2)
    served.unlink("a.db")
    now = age(store, range(1, 4), 10_000)
    assert store.reap(now) == 2
    assert store.require("a.db").ltx_files() == [(3, 3)]
    assert not store.require("a.db").path(FileKind.DATABASE).exists()


@dataclass
class Replica:
    """A connected replica that has these databases up to these TXIDs."""

    peer: str
    txids: dict[str, int]
    before: dict[str, int] = field(default_factory=dict)

    def has_up_to(self, name: str) -> int | None:
        return self.txids.get(name)

    def had_up_to(self, name: str, seconds: float) -> int | None:
        assert seconds == retention.ON_THE_WAY_S
        return self.before.get(name, self.txids.get(name))


def bounded(store: Store, files: int = 10, size: int = 1_000_000) -> None:
    store.retention.limits = Limits(600.0, files, size)


def test_what_a_connected_replica_needs_stays_until_it_has_it_or_leaves(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However old; and what it has, or nobody needs, goes. One that left may come back in a moment."""
    make(served, 8)
    now = age(store, range(1, 9), 10_000)
    bounded(store)
    replica = Replica("AA", {"a.db": 4})
    leave = store.retention.follow(replica)
    store.retention.follow(Replica("BB", {"a.db": 6, "b.db": 1}))
    store.retention.follow(Replica("CC", {}))
    assert store.reap(now) == 4
    assert [low for low, _ in store.require("a.db").ltx_files()] == [5, 6, 7, 8]
    replica.txids["a.db"] = 5
    assert store.reap(now) == 1
    leave()
    assert store.reap(now) == 0
    monkeypatch.setattr(retention, "ON_THE_WAY_S", 0.0)
    assert store.reap(now) == 1
    assert [low for low, _ in store.require("a.db").ltx_files()] == [7, 8]


def test_who_connects_again_and_again_is_not_remembered_for_ever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no file is ever old."""
    monkeypatch.setattr(retention, "ON_THE_WAY_S", 0.0)
    for number in range(100):
        store.retention.follow(Replica(f"{number}", {}))()
    assert len(store.retention._left) == 1


@pytest.mark.parametrize(("files", "size"), [(3, 1_000_000), (100, 1_000), (0, 0)])
def test_past_a_bound_the_one_furthest_behind_is_given_up_in_one_line(
    served: Served, store: Store, caplog: pytest.LogCaptureFixture, files: int, size: int
) -> None:
    """Those who need less keep what they need, as far as it is within the bound."""
    make(served, 8)
    now = age(store, range(1, 9), 10_000)
    bounded(store, files, size)
    spared = 2 if files else 0
    store.retention.follow(Replica("AA", {"a.db": 2}))
    store.retention.follow(Replica("BB", {"a.db": 5}))
    assert store.reap(now) == 7 - spared
    assert len(store.require("a.db").ltx_files()) == spared + 1
    assert (
        caplog.text.count("replica AA is at TXID 0000000000000002 and gets a snapshot: it needs 5 LTX") == 1
    )
    assert caplog.text.count("replica BB") == (0 if files else 1)
    caplog.clear()
    store.reap(now)
    assert caplog.text == "", "said once"


def test_what_may_be_on_its_way_stays_a_while_within_the_bound(
    served: Served, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection may break: then the replica asks for it again. Past the bound it is not promised."""
    make(served, 8)
    now = age(store, range(1, 9), 10_000)
    bounded(store, 3)
    replica = Replica("AA", {"a.db": 8}, before={"a.db": 4})
    store.retention.follow(replica)
    assert store.reap(now) == 4
    bounded(store, 2)
    assert store.reap(now) == 3 and caplog.text == ""


def test_a_replica_that_gets_a_snapshot_anyway_keeps_nothing(served: Served, store: Store) -> None:
    """It is ahead, or its next file is gone."""
    make(served, 6)
    now = age(store, range(1, 7), 10_000)
    bounded(store)
    store.require("a.db").state.ltx.remove(3, 3)
    for number, txid in enumerate((2, 9)):
        store.retention.follow(Replica(f"{number}", {"a.db": txid}))
    assert store.reap(now) == 4
    assert store.require("a.db").ltx_files() == [(6, 6)]


def test_what_the_backup_has_not_passed_stays_however_old(served: Served, store: Store) -> None:
    """As in LiteFS: a file goes once the high-water mark lies beyond it."""
    store.retention.limits = Limits(until_backed_up=True)
    make(served, 6)
    now = age(store, range(1, 7), 10_000)
    state = store.require("a.db").state
    assert store.reap(now) == 0
    state.high_water_mark = 3
    assert store.reap(now) == 2
    assert [low for low, _ in store.require("a.db").ltx_files()] == [3, 4, 5, 6]
    state.high_water_mark = 6
    assert store.reap(now) == 3
    assert [low for low, _ in store.require("a.db").ltx_files()] == [6]
