"""WAL mode: commits are captured as they are written; those that SQLite loses are undone by a transaction.

A commit is lost when its frames are in the WAL and its writer never published them: here its sync fails,
which SQLite reports to the client as a failed commit.
"""

import errno
import itertools
import sqlite3

import pytest

from pylitefs.ltx.decoder import open_ltx
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WalHeader
from pylitefs.store import wal_watch
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import assert_captured, data_file, replayed, seen_by_sqlite


def make(served: Served, *pragmas: str, psow: int = 1) -> sqlite3.Connection:
    db = served.connect("a.db", "page_size=1024", "journal_mode=wal", *pragmas, psow=psow)
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("INSERT INTO t VALUES (1, randomblob(1500))")
    return db


def lose_a_commit(served: Served, db: sqlite3.Connection, statement: str, syncs: int = 1) -> None:
    """A commit whose frames are written whole, and whose sync, number `syncs` of the WAL, fails."""
    txid = served.store.require("a.db").pos.txid
    db.execute("PRAGMA synchronous=full")
    count = itertools.count(1)
    served.refuse = lambda call, name: (
        errno.EIO if (call, name) == ("sync", "a.db-wal") and next(count) == syncs else 0
    )
    with pytest.raises(sqlite3.OperationalError):
        db.execute(statement)
    served.refuse = lambda call, name: 0
    assert served.store.require("a.db").pos.txid == txid + 1, "it was captured all the same"


@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_each_commit_is_one_transaction_that_knows_its_place_in_the_wal(
    served: Served, synchronous: str
) -> None:
    db = make(served, f"synchronous={synchronous}")
    for txid in range(4, 8):
        db.execute("UPDATE t SET x = randomblob(1500)")
        database = assert_captured(served, txid)
    raw = data_file(served.store, "a.db", FileKind.WAL).read_bytes()
    wal = WalHeader.parse(raw[:32])
    at = 32
    for span in database.ltx_files()[1:]:
        header = database.ltx_header(*span)
        assert header is not None
        assert (header.wal_salt1, header.wal_salt2) == (wal.salt1, wal.salt2)
        assert header.wal_offset == at
        at += header.wal_size
    assert at == len(raw)
    assert (len(raw) - 32) % (FRAME_HEADER_SIZE + 1024) == 0


def test_a_rollback_is_no_transaction_even_where_frames_were_written(served: Served) -> None:
    db = make(served, "cache_size=1")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t (x) VALUES (randomblob(?))", [(900,)] * 30)
    db.execute("ROLLBACK")
    assert_captured(served, 3)
    db.execute("INSERT INTO t (x) VALUES (1)")
    assert_captured(served, 4)


def test_frames_that_pad_a_sector_are_no_transaction(served: Served) -> None:
    db = make(served, "synchronous=full", psow=0)
    for txid in range(4, 9):
        db.execute("UPDATE t SET x = randomblob(10)")
        assert_captured(served, txid)


def test_a_checkpoint_and_a_restart_of_the_wal_are_no_transactions(served: Served) -> None:
    db = make(served)
    for how in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
        txid = served.store.require("a.db").pos.txid
        db.execute("INSERT INTO t (x) VALUES (randomblob(3000))")
        db.execute(f"PRAGMA wal_checkpoint({how})")
        assert_captured(served, txid + 1)
    db.close()
    assert_captured(served, txid + 1)


def test_the_last_connection_s_close_is_no_transaction(served: Served, store: Store) -> None:
    make(served).close()
    assert not data_file(store, "a.db", FileKind.WAL).exists()
    assert_captured(served, 3)
    make_again = served.connect("a.db")
    make_again.execute("INSERT INTO t (x) VALUES (1)")
    assert_captured(served, 4)


def test_leaving_wal_mode_and_coming_back_is_followed(served: Served) -> None:
    db = make(served)
    for mode in ("delete", "wal", "truncate", "wal", "persist"):
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("INSERT INTO t (x) VALUES (randomblob(2000))")
        assert_captured(served, served.store.require("a.db").pos.txid)


# -- lost commits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE t SET x = randomblob(1600) WHERE id = 1",
        "INSERT INTO t (x) VALUES (randomblob(9000))",
        "DELETE FROM t",
        "CREATE TABLE u AS SELECT 1 AS y",
    ],
)
def test_a_lost_commit_is_undone_when_the_next_writer_overwrites_it(served: Served, statement: str) -> None:
    db = make(served)
    before = seen_by_sqlite(served)
    lose_a_commit(served, db, statement)
    assert seen_by_sqlite(served) == before, "SQLite knows nothing of it"
    db.execute("INSERT INTO t (x) VALUES ('next')")
    database = assert_captured(served, 6)
    with open_ltx(database.ltx_path(5, 5)) as decoder:
        header = decoder.header
        undone = dict(decoder.pages())
    size = database.page_size
    assert header.commit == len(before) // size
    for pgno, page in undone.items():
        assert page == before[(pgno - 1) * size : pgno * size]


def test_a_lost_commit_in_a_padded_wal_is_undone(served: Served) -> None:
    db = make(served, psow=0)
    lose_a_commit(served, db, "UPDATE t SET x = randomblob(1500)")
    db.execute("INSERT INTO t (x) VALUES ('next')")
    assert_captured(served, 6)


def test_a_lost_commit_is_undone_when_the_wal_is_started_again(served: Served) -> None:
    """All that was published is checkpointed, so the next writer begins at the WAL's start."""
    db = make(served)
    other = served.connect("a.db")
    before = seen_by_sqlite(served)
    lose_a_commit(served, db, "INSERT INTO t (x) VALUES (randomblob(9000))")
    assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    assert seen_by_sqlite(served) == before
    other.execute("INSERT INTO t (x) VALUES ('next')")
    assert_captured(served, 6)


@pytest.mark.parametrize("how", ["truncate", "close"])
def test_a_lost_commit_is_undone_when_the_wal_goes(served: Served, store: Store, how: str) -> None:
    db = make(served)
    before = seen_by_sqlite(served)
    lose_a_commit(served, db, "UPDATE t SET x = NULL")
    if how == "truncate":
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        db.close()
    database = assert_captured(served, 5)
    assert replayed(database) == before


def test_the_very_first_commits_of_a_wal_may_be_lost(served: Served, store: Store) -> None:
    db = served.connect("a.db", "page_size=1024", "journal_mode=wal")
    before = seen_by_sqlite(served)
    # (The first sync is that of the WAL's header.)
    lose_a_commit(served, db, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", syncs=2)
    db.close()
    database = assert_captured(served, 3)
    assert replayed(database) == before


def test_committed_pages_in_a_wal_that_someone_removes_are_lost_for_every_replica(
    served: Served, store: Store
) -> None:
    db = make(served, "wal_autocheckpoint=0")
    db.execute("PRAGMA wal_checkpoint(FULL)")
    kept = seen_by_sqlite(served)
    db.execute("INSERT INTO t (x) VALUES (randomblob(9000))")
    db.execute("UPDATE t SET x = 1")
    served.unlink("a.db-wal")
    served.refuse = lambda call, name: errno.ENOTCONN
    db.close()
    served.refuse = lambda call, name: 0
    data_file(store, "a.db", FileKind.SHM).write_bytes(b"")
    database = store.require("a.db")
    assert replayed(database) == kept
    assert_captured(served, database.pos.txid)


def test_a_lost_commit_without_room_to_undo_it_stops_the_next_writer(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is given up before it is undone: the writer fails, and the one after it finds all as it was."""
    db = make(served)
    lose_a_commit(served, db, "INSERT INTO t (x) VALUES (randomblob(9000))")
    pos = store.require("a.db").pos

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(wal_watch, "commit_transaction", full)
    for _ in range(3):
        with pytest.raises(sqlite3.OperationalError):
            db.execute("UPDATE t SET x = 2")
        assert store.require("a.db").pos == pos
    monkeypatch.undo()
    db.execute("UPDATE t SET x = 2")
    assert_captured(served, pos.txid + 2)


# -- refused -------------------------------------------------------------------------------------------------


def test_exclusive_locking_in_wal_mode_is_refused_in_one_line(
    served: Served, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """At the WAL's header, and at a transaction's first frame: SQLite keeps its index in memory there."""
    db = served.connect("a.db", "locking_mode=exclusive", "journal_mode=wal")
    with pytest.raises(sqlite3.OperationalError):
        db.execute("CREATE TABLE t (x)")
    assert "refused on a.db: writing a WAL that has no index (locking_mode=EXCLUSIVE" in caplog.text
    assert "PRAGMA locking_mode=NORMAL before the first access" in caplog.text
    db.close()
    normal = make(served)
    assert store.require("a.db").pos.txid == 3
    normal.close()


def test_a_read_transaction_keeps_the_wal_from_its_restart_and_nothing_else(served: Served) -> None:
    db = make(served, "wal_autocheckpoint=0")
    reader = served.connect("a.db")
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM t").fetchall()
    for txid in range(4, 7):
        db.execute("INSERT INTO t (x) VALUES (randomblob(2000))")
        assert db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
        assert served.store.require("a.db").pos.txid == txid
    reader.execute("COMMIT")
    assert_captured(served, 6)
