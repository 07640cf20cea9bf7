"""Restore: a snapshot takes a live database's place, wholly or not at all, and nothing is lost unseen."""

import errno
import itertools
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.errors import ApplierError, BusyError, LtxError, UntouchedError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.position import Pos
from pylitefs.store import restoring
from pylitefs.store.applying import DirectApplier, WriteLock
from pylitefs.store.names import FileKind
from pylitefs.store.restoring import drop_hidden, keep_aside, restore
from pylitefs.store.store import Store
from tests.store.crashes import Recorder
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, is_whole, opened, query


def fill(served: Served, rows: int, *pragmas: str) -> None:
    db = served.connect("a.db", *pragmas)
    db.execute("CREATE TABLE t (x)")
    for value in range(rows):
        db.execute("INSERT INTO t VALUES (?)", (value,))
    db.close()


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Of another database of that name: 20 rows, TXID 21."""
    with opened(tmp_path / "elsewhere") as store:
        served = Served(store, tmp_path / "mnt-elsewhere")
        fill(served, 20)
        served.close()
        path = tmp_path / "snapshot.ltx"
        store.snapshot("a.db", path)
    return path


def copy(store: Store, snapshot: Path) -> Path:
    """Where a restore wants it: on the data directory's disk."""
    path = store.temp_path(".restore")
    shutil.copy(snapshot, path)
    return path


def count(store: Store) -> object:
    return query(data_file(store, "a.db"), "SELECT count(*) FROM t")[0][0]


@pytest.mark.parametrize("rows", [0, 5, 40])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_it_takes_the_database_s_place(
    served: Served, store: Store, snapshot: Path, rows: int, mode: str
) -> None:
    """Whether there was one or not, and was it ahead or behind; the next transaction counts on from there."""
    if rows:
        fill(served, rows, f"journal_mode={mode}")
    before = store.positions().get("a.db", Pos())
    told: list[Pos] = []
    store.subscribe(lambda name, pos, header: told.append(pos))
    counts = store.create("a.db").state.counts
    commits = counts.get("commit", 0)
    pos = restore(store, "a.db", copy(store, snapshot), before)
    database = store.require("a.db")
    assert counts["commit"] == commits + 1
    assert pos == database.pos == told[-1] and pos.txid == 21
    assert database.ltx_files() == [(1, 21)]
    assert sorted(path.name for path in database.ltx_dir.iterdir()) == [database.ltx_path(1, 21).name]
    assert_position_is_the_bytes_own(database)
    assert count(store) == 20
    served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    assert database.pos.txid == 22


def test_a_client_that_has_it_open_sees_it(served: Served, store: Store, snapshot: Path) -> None:
    fill(served, 5)
    db = served.connect("a.db")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (5,)
    restore(store, "a.db", copy(store, snapshot), store.require("a.db").pos)
    assert db.execute("SELECT count(*) FROM t").fetchone() == (20,)


def test_a_client_that_could_not_see_it_is_not_deceived(served: Served, store: Store, snapshot: Path) -> None:
    """Same change counter, other rows: its cache would stay. So it is told to close its connection first."""
    fill(served, 20)
    db = served.connect("a.db")
    db.execute("SELECT count(*) FROM t").fetchone()
    pos = store.require("a.db").pos
    with pytest.raises(BusyError, match="close their connections, or stop the application"):
        restore(store, "a.db", copy(store, snapshot), pos)
    assert store.require("a.db").pos == pos and len(store.require("a.db").ltx_files()) == 21
    db.close()
    assert restore(store, "a.db", copy(store, snapshot), pos).txid == 21


def test_a_commit_in_between_stops_it(served: Served, store: Store, snapshot: Path) -> None:
    fill(served, 5)
    decided = store.require("a.db").pos
    served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    with pytest.raises(BusyError, match="it went on from"):
        restore(store, "a.db", copy(store, snapshot), decided)
    assert count(store) == 6


def test_transactions_that_are_not_synced_yet_are_waited_for(
    served: Served, store: Store, snapshot: Path
) -> None:
    """Their positions are told later, and would be told after the restore's."""
    fill(served, 5)
    state = store.require("a.db").state
    state.unsynced.append(SimpleNamespace(pos=Pos(99)))  # type: ignore[arg-type]
    with pytest.raises(BusyError, match="being synced"):
        restore(store, "a.db", copy(store, snapshot), state.pos)
    state.unsynced.clear()
    assert restore(store, "a.db", copy(store, snapshot), state.pos).txid == 21


def test_a_damaged_snapshot_changes_nothing(served: Served, store: Store, snapshot: Path) -> None:
    fill(served, 5)
    path = copy(store, snapshot)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LtxError):
        restore(store, "a.db", path, store.require("a.db").pos)
    assert count(store) == 5 and len(store.require("a.db").ltx_files()) == 6


class Refusing(DirectApplier):
    """Whose lock cannot write: before the first page, or after it."""

    def __init__(self, data_dir: Path, error: Exception) -> None:
        super().__init__(data_dir)
        self.error = error

    @contextmanager
    def write_lock(self, database: str, timeout: float = 20.0) -> Iterator[WriteLock]:
        error = self.error

        class Lock:
            index = b""
            may_adopt = False

            def apply(self, ltx_path: Path, *, verified: bool = False) -> None:
                raise error

            def adopt(self, ltx_path: Path) -> None:
                raise error

        yield Lock()


def test_where_not_a_page_can_be_written_it_has_not_happened(
    served: Served, store: Store, snapshot: Path
) -> None:
    fill(served, 5)
    pos = store.require("a.db").pos
    store.applier = Refusing(store.data_dir, UntouchedError("no room"))
    with pytest.raises(UntouchedError):
        restore(store, "a.db", copy(store, snapshot), pos)
    database = store.require("a.db")
    assert database.pos == pos and len(database.ltx_files()) == 6
    assert all(database.ltx_path(*span).exists() for span in database.ltx_files())
    assert len(list(database.ltx_dir.iterdir())) == 6


class FailsAt:
    """Calls of a restore, of which one fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.left = at
        for owner, name in ((os, "rename"), (os, "fsync"), (restoring, "sync_database"),
                            (restoring, "sync_directory")):  # fmt: skip
            monkeypatch.setattr(owner, name, self.one(getattr(owner, name)))

    def one(self, original: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.EIO, "the disk fails")
            return original(*arguments)

        return call


def test_half_a_copy_of_a_file_that_is_to_be_hidden_takes_nobody_s_place(
    served: Served, store: Store, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk without hard links, which is full."""
    fill(served, 5)
    database = store.require("a.db")
    restore(store, "a.db", copy(store, snapshot), database.pos)
    served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    path, before = copy(store, snapshot), database.pos
    there = {one: one.read_bytes() for one in database.ltx_dir.iterdir()}
    with monkeypatch.context() as patch:

        def no_link(old: Path, new: Path) -> None:
            raise OSError(errno.EPERM, "no links here")

        def half(old: Path, new: Path) -> None:
            new.write_bytes(old.read_bytes()[:99])
            raise OSError(errno.ENOSPC, "the disk is full")

        patch.setattr(os, "link", no_link)
        patch.setattr(shutil, "copyfile", half)
        with pytest.raises(OSError, match="the disk is full"):
            restore(store, "a.db", path, before)
    assert {one: one.read_bytes() for one in database.ltx_dir.iterdir()} == there
    assert database.pos == before


def test_what_cannot_be_taken_back_is_for_the_next_start(
    served: Served, store: Store, snapshot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then no transaction is added to what nobody can tell."""
    fill(served, 5)
    before = store.require("a.db").pos
    path = copy(store, snapshot)
    with monkeypatch.context() as patch:

        def fails(directory: Path) -> None:
            raise OSError(errno.EIO, "the disk fails")

        patch.setattr(restoring, "sync_directory", fails)
        with pytest.raises(OSError, match="the disk fails"):
            restore(store, "a.db", path, before)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    served.close()
    store.close()
    with opened(store.data_dir) as again:
        assert not again.set_aside and again.require("a.db").pos.txid in (before.txid, 21)
        assert_position_is_the_bytes_own(again.require("a.db"))


@pytest.mark.parametrize("there", ["behind", "ahead", "restored before"])
def test_a_call_that_fails_before_the_first_page_takes_it_all_back(
    served: Served, store: Store, snapshot: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    """The LTX files are those of before, so commits go on, and so does the next start. Also where one of
    them has the snapshot's name."""
    fill(served, 40 if there == "ahead" else 5)
    database = store.require("a.db")
    if there == "restored before":
        restore(store, "a.db", copy(store, snapshot), database.pos)
        served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    for at in itertools.count():
        before, spans = database.pos, database.ltx_files()
        path = copy(store, snapshot)
        with monkeypatch.context() as patch:
            calls = FailsAt(patch, at)
            try:
                restore(store, "a.db", path, before)
                break
            except OSError as error:
                assert "the disk fails" in str(error)
        assert calls.left < 0 and database.pos == before and database.ltx_files() == spans
        assert sorted(database.ltx_dir.iterdir()) == [database.ltx_path(*span) for span in spans]
    assert at > 4 and database.pos.txid == 21
    served.connect("a.db").execute("INSERT INTO t VALUES (1)")
    served.close()
    store.close()
    with opened(store.data_dir) as again:
        assert not again.set_aside and again.require("a.db").pos.txid == 22


def test_an_applier_that_died_in_the_middle_is_followed_by_another(
    served: Served, store: Store, snapshot: Path
) -> None:
    fill(served, 5)
    store.applier = Refusing(store.data_dir, ApplierError("it died"))
    assert restore(store, "a.db", copy(store, snapshot), store.require("a.db").pos).txid == 21
    assert count(store) == 20


def test_kill_9_at_any_moment_leaves_the_one_or_the_other(
    served: Served, store: Store, snapshot: Path, tmp_path: Path, folder_in_memory: Path
) -> None:
    fill(served, 5)
    before = store.require("a.db").pos
    path = copy(store, snapshot)
    recorder = Recorder(store.data_dir)
    with recorder.recording():
        after = restore(store, "a.db", path, before)
    found = set()
    for number, image in enumerate(recorder.images):
        left = image.write(folder_in_memory / f"{number}")
        with opened(left) as again:
            assert not again.set_aside, image.call
            database = again.require("a.db")
            found.add(database.pos)
            assert_position_is_the_bytes_own(database)
            assert is_whole(data_file(again, "a.db"))
            drop_hidden(again)
            spans = [database.ltx_path(*span) for span in database.ltx_files()]
            assert sorted(database.ltx_dir.iterdir()) == spans, "nothing hidden stays"
        shutil.rmtree(left)
    assert found == {before, after} and len(recorder.images) > 10


@pytest.mark.parametrize("rows", [5, 24])
def test_a_power_failure_at_any_moment_leaves_the_one_or_the_other(
    served: Served, store: Store, snapshot: Path, folder_in_memory: Path, rows: int
) -> None:
    """Also where the database was further than what is restored, and was not synced for a long time."""
    fill(served, rows)
    before = store.require("a.db").pos
    path = copy(store, snapshot)
    recorder = Recorder(store.data_dir)
    recorder.unsynced("database")
    with recorder.recording():
        after = restore(store, "a.db", path, before)
    chance = random.Random(rows)
    for image in recorder.images:
        for attempt in range(4):
            files = image.after_power_failure(chance)
            left = image.write(folder_in_memory / f"{image.step}.{attempt}", files)
            with opened(left) as again:
                assert not again.set_aside, image.call
                database = again.require("a.db")
                assert database.pos in (before, after), image.call
                assert_position_is_the_bytes_own(database)
                assert is_whole(data_file(again, "a.db"))
            shutil.rmtree(left)


def test_what_is_replaced_is_kept_as_one_whole_file(served: Served, store: Store) -> None:
    assert keep_aside(store, "a.db") is None
    fill(served, 5)
    path = keep_aside(store, "a.db")
    pos = store.require("a.db").pos
    assert path == store.data_dir / "kept" / "a.db" / f"{pos.txid:016x}-{pos.checksum:016x}.ltx"
    assert path.stat().st_mode & 0o077 == 0
    with open_ltx(path) as decoder:
        content = b"".join(page for _, page in decoder.pages())
    assert content == data_file(store, "a.db").read_bytes()
    served.unlink("a.db")
    assert keep_aside(store, "a.db") is None
    served.connect("a.db").execute("SELECT 1 FROM sqlite_master").fetchall()
    assert store.require("a.db").exists and keep_aside(store, "a.db") is None, "a name, and no page"


def test_no_name_without_a_database_is_left_behind(store: Store, snapshot: Path) -> None:
    """The write lock of a mounted node makes a database to lock."""
    store.applier = Refusing(store.data_dir, BusyError("locked"))
    store.create("a.db").create_file(FileKind.DATABASE, 0, True)
    with pytest.raises(BusyError):
        restore(store, "a.db", copy(store, snapshot), Pos())
    assert not store.names()
