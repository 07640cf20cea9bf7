"""The rollback modes, and MEMORY and OFF: which writes are a transaction, and which pages it has."""

import _sqlite3
import ctypes
import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.store.database import Database
from pylitefs.store.marker import MARKER
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.store.serving import Served
from tests.store.support import assert_captured, checksum_of, data_file, opened, replayed

JOURNALED = ["delete", "truncate", "persist"]
PENDING_BYTE = 0x40000000
SQLITE_TESTCTRL_PENDING_BYTE = 11


def pages_of(database: Database, txid: int) -> list[int]:
    with open_ltx(database.ltx_path(txid, txid)) as decoder:
        return [pgno for pgno, _ in decoder.pages()]


@pytest.fixture
def events(store: Store) -> list[Event]:
    found: list[Event] = []
    store.tracer.listen(found.append)
    return found


def names(events: list[Event]) -> list[str]:
    found = [event.name for event in events]
    events.clear()
    return found


@pytest.mark.parametrize("synchronous", ["off", "normal", "full", "extra"])
@pytest.mark.parametrize("mode", JOURNALED)
def test_each_commit_is_one_transaction_of_the_pages_it_changed(
    served: Served, mode: str, synchronous: str
) -> None:
    db = served.connect("a.db", f"journal_mode={mode}", f"synchronous={synchronous}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    for txid in range(2, 6):
        db.execute("INSERT INTO t (x) VALUES (?)", (txid,))
        database = assert_captured(served, txid)
        assert pages_of(database, txid) == [1, 2]
    with open_ltx(database.ltx_path(5, 5)) as decoder:
        header = decoder.header
        assert (header.wal_offset, header.wal_size, header.wal_salt1) == (0, 0, 0)
        assert header.node_id == served.store.node_id
        assert header.timestamp_ms == database.timestamp_ms


@pytest.mark.parametrize("synchronous", ["off", "full"])
@pytest.mark.parametrize("spilled", [False, True])
@pytest.mark.parametrize("mode", JOURNALED)
def test_a_rollback_is_no_transaction(
    served: Served, events: list[Event], mode: str, spilled: bool, synchronous: str
) -> None:
    """Not even where the journal's header was written and pages as well, and are put back."""
    db = served.connect("a.db", "page_size=512", f"journal_mode={mode}", f"synchronous={synchronous}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(300,)] * 40)
    pos = served.store.require("a.db").pos
    if spilled:
        db.execute("PRAGMA cache_size=2")
    events.clear()
    db.execute("BEGIN")
    db.execute("UPDATE t SET x = randomblob(310)")
    db.execute("INSERT INTO t (x) VALUES (randomblob(9000))")
    db.execute("ROLLBACK")
    assert served.store.require("a.db").pos == pos
    assert ("tx.rollback" in names(events)) == spilled
    assert_captured(served, pos.txid)
    db.execute("INSERT INTO t (x) VALUES ('next')")
    assert_captured(served, pos.txid + 1)


@pytest.mark.parametrize("mode", JOURNALED)
def test_a_transaction_that_wrote_nothing_is_none(served: Served, mode: str) -> None:
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    for statement in ("BEGIN IMMEDIATE", "COMMIT", "BEGIN EXCLUSIVE", "ROLLBACK", "BEGIN", "COMMIT"):
        db.execute(statement)
    db.execute("DELETE FROM t")
    assert served.store.require("a.db").pos.txid <= 2


def test_the_first_transaction_may_be_rolled_back(served: Served, store: Store) -> None:
    db = served.connect("a.db", "page_size=512", "cache_size=1")
    db.execute("BEGIN")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(400,)] * 20)
    db.execute("ROLLBACK")
    assert store.positions() == {}
    db.execute("CREATE TABLE t (x)")
    assert_captured(served, 1)


@pytest.mark.parametrize("mode", JOURNALED)
def test_exclusive_locking_ends_the_journal_without_removing_it(served: Served, mode: str) -> None:
    db = served.connect("a.db", f"journal_mode={mode}", "locking_mode=exclusive")
    db.execute("CREATE TABLE t (x)")
    for txid in (2, 3, 4):
        db.execute("INSERT INTO t VALUES (randomblob(3000))")
        assert served.store.require("a.db").pos.txid == txid
    db.close()
    assert_captured(served, 4)


def test_a_journal_cut_to_its_size_limit_is_still_one_transaction(served: Served) -> None:
    db = served.connect("a.db", "journal_mode=persist", "journal_size_limit=100")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(20000))")
    db.execute("DELETE FROM t")
    assert_captured(served, 3)


@pytest.mark.parametrize("mode", JOURNALED)
def test_a_journal_of_several_segments_ends_once(served: Served, mode: str) -> None:
    db = served.connect("a.db", "page_size=512", f"journal_mode={mode}", "cache_size=2")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(350,)] * 60)
    db.execute("UPDATE t SET x = randomblob(200) WHERE id % 2")
    db.execute("COMMIT")
    assert_captured(served, 2)


def test_modes_may_change_from_one_transaction_to_the_next(served: Served) -> None:
    first, second = served.connect("a.db", "journal_mode=persist"), served.connect("a.db")
    first.execute("CREATE TABLE t (x)")
    second.execute("INSERT INTO t VALUES (1)")
    first.execute("INSERT INTO t VALUES (2)")
    second.execute("PRAGMA journal_mode=truncate")
    second.execute("INSERT INTO t VALUES (3)")
    first.execute("INSERT INTO t VALUES (4)")
    assert_captured(served, 5)


# -- page counts ---------------------------------------------------------------------------------------------


def test_vacuum_shrinks_the_database_by_page_1_not_by_the_file(served: Served, store: Store) -> None:
    db = served.connect("a.db", "page_size=512")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(400,)] * 50)
    grown = store.require("a.db").page_count
    txid = store.require("a.db").pos.txid
    db.execute("DELETE FROM t WHERE rowid > 5")
    sizes: list[int] = []
    store.subscribe(lambda *_: sizes.append(data_file(store, "a.db").stat().st_size // 512))
    db.execute("VACUUM")
    database = assert_captured(served, txid + 2)
    assert database.page_count < grown
    assert sizes == [grown], "the file was still long when the transaction was captured"


def test_incremental_vacuum_and_auto_vacuum_cut_the_end_off(served: Served) -> None:
    for name, mode in (("incremental", 2), ("full", 1)):
        db = served.connect("a.db", "page_size=512", f"auto_vacuum={mode}", "secure_delete=off")
        db.execute("CREATE TABLE t (x)")
        db.execute("BEGIN")
        db.executemany("INSERT INTO t VALUES (randomblob(?))", [(400,)] * 40)
        db.execute("COMMIT")
        before = served.store.require("a.db").page_count
        db.execute("DELETE FROM t WHERE rowid > 10")
        if name == "incremental":
            db.execute("PRAGMA incremental_vacuum(7)").fetchall()
        database = served.store.require("a.db")
        assert database.page_count < before
        assert_captured(served, database.pos.txid)
        db.close()
        served.unlink("a.db")


def test_a_page_that_joined_and_was_freed_at_once_is_there_though_never_written(served: Served) -> None:
    """SQLite does not write such a page; in the file it is a hole, and a replica must have it, too."""
    db = served.connect("a.db", "page_size=512", "secure_delete=off")
    db.execute("CREATE TABLE t (x)")
    db.execute("CREATE TRIGGER gone AFTER INSERT ON t BEGIN DELETE FROM t; END")
    written: list[str] = []

    def note(call: str, name: str) -> int:
        written.append(f"{call} {name}")
        return 0

    served.refuse = note
    db.execute("INSERT INTO t VALUES (randomblob(9000))")
    database = assert_captured(served, 3)
    assert database.page_count > 15 > written.count("write a.db")
    assert set(range(4, database.page_count + 1)) <= set(pages_of(database, 3))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_change_of_page_size_takes_every_page_along(served: Served, mode: str) -> None:
    db = served.connect("a.db", "page_size=4096")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(900,)] * 20)
    for page_size in (512, 8192, 65536, 1024):
        db.execute("PRAGMA journal_mode=delete")
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute("VACUUM")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("INSERT INTO t VALUES (randomblob(900))")
        database = served.store.require("a.db")
        assert database.page_size == page_size
        assert_captured(served, database.pos.txid)


def test_a_change_of_page_size_may_be_rolled_back(served: Served) -> None:
    db = served.connect("a.db", "page_size=4096")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(900,)] * 20)
    txid = served.store.require("a.db").pos.txid
    db.execute("PRAGMA page_size=512")
    calls = iter(range(1000))
    served.refuse = lambda call, name: (
        errno.EIO if (call, name) == ("write", "a.db") and next(calls) == 5 else 0
    )
    with pytest.raises(sqlite3.OperationalError):
        db.execute("VACUUM")
    served.refuse = lambda call, name: 0
    assert next(calls) > 5
    database = assert_captured(served, txid)
    assert database.page_size == 4096


@pytest.fixture
def low_lock_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """SQLite's lock bytes at 32 KiB in place of 1 GiB, for SQLite and for every module of ours."""
    low = 0x8000

    def lock_pgno(page_size: int) -> int:
        return low // page_size + 1

    for module in list(sys.modules.values()):
        ours = getattr(module, "__name__", "").startswith(("pylitefs.", "tests.store."))
        if ours and hasattr(module, "lock_pgno"):
            monkeypatch.setattr(module, "lock_pgno", lock_pgno)
    control = ctypes.CDLL(_sqlite3.__file__).sqlite3_test_control
    control(SQLITE_TESTCTRL_PENDING_BYTE, ctypes.c_uint(low))
    yield low
    control(SQLITE_TESTCTRL_PENDING_BYTE, ctypes.c_uint(PENDING_BYTE))


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size", [512, 4096])
def test_the_lock_page_is_never_stored(
    served: Served, tmp_path: Path, low_lock_page: int, page_size: int, mode: str
) -> None:
    db = served.connect("a.db", f"page_size={page_size}", f"journal_mode={mode}", "wal_autocheckpoint=4")
    db.execute("CREATE TABLE t (x)")
    lock_page = low_lock_page // page_size + 1
    for _ in range(2 * lock_page):
        db.execute("INSERT INTO t VALUES (randomblob(?))", (page_size,))
        database = served.store.require("a.db")
        assert_captured(served, database.pos.txid)
    assert database.page_count > lock_page + 3
    for span in database.ltx_files():
        assert lock_page not in pages_of(database, span[1])
    snapshot = served.store.snapshot(database.name, tmp_path / "snapshot")
    with open_ltx(snapshot.path) as decoder:
        assert lock_page not in [pgno for pgno, _ in decoder.pages()]
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([snapshot.path.read_bytes()]))
        assert replica.positions() == served.store.positions()
    db.execute("VACUUM")
    db.execute("DELETE FROM t WHERE rowid > 5")
    db.execute("VACUUM")
    assert_captured(served, served.store.require("a.db").pos.txid)


# -- without a journal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["memory", "off"])
def test_what_is_written_without_a_journal_is_captured_soon(store: Store, served: Served, mode: str) -> None:
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    assert store.finish_captures(5)
    database = store.require("a.db")
    # (How many they become is not told here: without a mount there are no locks that keep a capture out of
    # the middle of a write. tests/sqlite_use/test_unjournaled.py holds that on real mounts.)
    assert database.pos.txid >= 1
    assert_captured(served, database.pos.txid)
    assert not (database.dir / MARKER).exists()


def test_a_rollback_without_a_journal_file_is_no_transaction(store: Store, served: Served) -> None:
    db = served.connect("a.db", "page_size=512", "journal_mode=memory", "cache_size=1")
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(400,)] * 20)
    assert store.finish_captures(5)
    pos = store.require("a.db").pos
    store.later = lambda name, what: None  # type: ignore[method-assign]
    db.execute("BEGIN")
    db.execute("UPDATE t SET x = randomblob(410)")
    assert store.require("a.db").rollback_watch.dirty
    db.execute("ROLLBACK")
    assert store.require("a.db").capture_unjournaled() is None
    assert store.require("a.db").pos == pos


def test_a_journaled_transaction_takes_along_what_was_written_without(store: Store, served: Served) -> None:
    store.later = lambda name, what: None  # type: ignore[method-assign]
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("PRAGMA journal_mode=memory")
    db.execute("INSERT INTO t VALUES (1)")
    database = store.require("a.db")
    assert database.pos.txid == 1 and (database.dir / MARKER).exists()
    db.execute("PRAGMA journal_mode=delete")
    db.execute("INSERT INTO t VALUES (2)")
    assert_captured(served, 2)
    assert not (database.dir / MARKER).exists()


def test_without_room_for_the_marker_a_write_without_a_journal_fails(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the next one is marked and captured as if nothing had been."""
    db = served.connect("a.db", "journal_mode=memory")
    db.execute("CREATE TABLE t (x)")
    assert store.finish_captures(5)

    def full(path: str, flags: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pylitefs.store.rollback.private", full)
    with pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES (1)")
    monkeypatch.undo()
    db.execute("INSERT INTO t VALUES (2)")
    assert store.finish_captures(5)
    assert db.execute("SELECT * FROM t").fetchall() == [(2,)]
    assert_captured(served, store.require("a.db").pos.txid)


# -- refused -------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_refused_in_one_line(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """An encrypted database, say: its header cannot be read, so it cannot be replicated."""
    database = store.create("a.db")
    db = database.create_file(FileKind.DATABASE, 2, False)
    journal = database.create_file(FileKind.JOURNAL, 2, False)
    database.write(FileKind.JOURNAL, journal, bytes.fromhex("d9d505f920a163d7") + bytes(504), 0)
    database.write(FileKind.DATABASE, db, b"\x55" * 4096, 0)
    with pytest.raises(OSError) as caught:
        database.remove(FileKind.JOURNAL)
    assert caught.value.errno == errno.EIO
    assert "refused on a.db: a commit: not a SQLite database" in caplog.text
    assert "encrypted" in caplog.text
    assert database.path(FileKind.JOURNAL).exists(), "SQLite still has its journal"
    for kind, fd in ((FileKind.DATABASE, db), (FileKind.JOURNAL, journal)):
        database.release(kind, fd)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
@pytest.mark.parametrize("rows", [0, 1])
def test_a_journal_that_cannot_be_ended_takes_its_transaction_back(
    served: Served, monkeypatch: pytest.MonkeyPatch, mode: str, rows: int
) -> None:
    """Its LTX file is told by then. So what SQLite rolls back afterwards is the next transaction; and where
    that would leave nothing at all, the transaction stays. Position and bytes agree."""
    db = served.connect("a.db", f"journal_mode={mode}")
    if rows:
        db.execute("CREATE TABLE t (x)")
    fails = {"delete": "unlink", "truncate": "truncate", "persist": "pwrite"}[mode]
    original = getattr(os, fails)

    def failing(target: Any, *arguments: Any) -> Any:
        name = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
        if name.endswith("/journal") and (fails != "pwrite" or not any(arguments[0])):
            raise OSError(errno.EIO, "failed by the test")
        return original(target, *arguments)

    monkeypatch.setattr(os, fails, failing)
    with pytest.raises(sqlite3.OperationalError):
        db.execute("CREATE TABLE u AS SELECT randomblob(5000) AS x")
    monkeypatch.undo()
    db.close()
    again = served.connect("a.db")
    assert again.execute("SELECT name FROM sqlite_master").fetchall() == ([("t",)] if rows else [("u",)])
    database = served.store.require("a.db")
    assert served.store.finish_captures(5)
    content = again.serialize()
    assert (len(content), checksum_of(content, database.page_size)) == (
        database.page_count * database.page_size,
        database.pos.checksum,
    )
    again.execute("CREATE TABLE v (x)")
    assert replayed(database) == again.serialize()
