"""WAL mode on a node: a transaction is told when the WAL index shows it, and never when SQLite loses it."""

import errno
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError
from pylitefs.ltx.position import Pos
from pylitefs.store import capture, publisher
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles
from pylitefs.store.state import Captured, DatabaseState
from pylitefs.store.store import Store
from tests.store.looker import Looker
from tests.store.serving import Served
from tests.store.support import assert_captured, committed_bytes, opened

DB = "a.db"
SOON_S = 10.0


def unanswered(truth: bool | None) -> bool | None:
    raise ApplierError("the applier does not answer")


@pytest.fixture
def keeper(served: Served, looker: Looker) -> sqlite3.Connection:
    """A connection to a database in WAL mode that stays."""
    del looker
    keeper = served.connect(DB, "journal_mode=wal", "synchronous=normal")
    keeper.execute("CREATE TABLE t (x)")
    return keeper


@pytest.fixture
def db(served: Served, keeper: sqlite3.Connection) -> sqlite3.Connection:
    """Another, after three transactions."""
    del keeper
    db = served.connect(DB, "synchronous=normal")
    db.execute("INSERT INTO t VALUES (zeroblob(9000))")
    return db


@pytest.fixture
def both(keeper: sqlite3.Connection, db: sqlite3.Connection) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    return keeper, db


@pytest.fixture
def database(db: sqlite3.Connection, store: Store) -> Database:
    del db
    database = store.require(DB)
    assert database.current_pos().txid == 3
    return database


def eventually_at(database: Database, txid: int) -> None:
    deadline = time.monotonic() + SOON_S
    while database.pos.txid < txid:
        assert time.monotonic() < deadline, database.pos
        time.sleep(0.001)
    assert database.pos.txid == txid


@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_a_commit_is_told_without_anyone_asking(
    db: sqlite3.Connection, database: Database, synchronous: str
) -> None:
    db.execute(f"PRAGMA synchronous={synchronous}")
    for txid in range(4, 8):
        db.execute("INSERT INTO t VALUES (1)")
        eventually_at(database, txid)


@pytest.mark.parametrize("synchronous", ["off", "normal", "full"])
def test_who_asks_after_a_commit_is_told_of_it(
    db: sqlite3.Connection, database: Database, synchronous: str
) -> None:
    db.execute(f"PRAGMA synchronous={synchronous}")
    for txid in range(4, 24):
        db.execute("INSERT INTO t VALUES (1)")
        assert database.current_pos().txid == txid


def test_nothing_is_told_while_the_index_does_not_show_it(
    db: sqlite3.Connection, database: Database, looker: Looker
) -> None:
    """Not to who asks, who is answered within a moment, nor in the list of LTX files, which streams go by."""
    looker.answer = lambda truth: False
    db.execute("INSERT INTO t VALUES (randomblob(9000))")
    started = time.monotonic()
    assert database.current_pos().txid == 3
    assert time.monotonic() - started < SOON_S
    assert database.ltx_files()[-1] == (3, 3) and database.ltx_path(4, 4).exists()
    looker.answer = lambda truth: truth
    eventually_at(database, 4)
    assert database.ltx_files()[-1] == (4, 4)


def test_a_copy_holds_what_was_told(
    db: sqlite3.Connection, database: Database, store: Store, looker: Looker, tmp_path: Path
) -> None:
    """An export and a snapshot are of the position that they say, though the WAL holds more."""
    before = committed_bytes(database.dir)
    looker.answer = lambda truth: False
    db.execute("UPDATE t SET x = randomblob(9000)")
    assert store.export(DB, tmp_path / "export").txid == 3
    assert (tmp_path / "export").read_bytes() == before
    assert store.snapshot(DB, tmp_path / "snapshot").pos.txid == 3  # Its checksum is compared.


@pytest.mark.parametrize("asked", ["asked", "not-asked"])
def test_what_sqlite_loses_never_was(
    served: Served, db: sqlite3.Connection, database: Database, asked: str
) -> None:
    """The sync of the WAL fails, the client is told so, and the next commit is written over its frames."""
    told: list[Pos] = []
    served.store.subscribe(lambda name, pos, header: told.append(pos))
    db.execute("PRAGMA synchronous=full")
    served.refuse = lambda call, name: errno.EIO if (call, name) == ("sync", f"{DB}-wal") else 0
    with pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES ('lost')")
    served.refuse = lambda call, name: 0
    if asked == "asked":
        assert database.current_pos().txid == 3
    db.execute("INSERT INTO t VALUES ('kept')")
    assert database.current_pos().txid == 4 and [pos.txid for pos in told] == [4]
    assert_captured(served, 4)
    assert db.execute("SELECT count(*) FROM t WHERE x IN ('lost', 'kept')").fetchone() == (1,)


@pytest.mark.parametrize("lost", [False, True], ids=["published", "lost"])
@pytest.mark.parametrize("end", ["TRUNCATE", "RESTART", "delete"])
def test_a_wal_that_goes_decides(
    served: Served, both: tuple[sqlite3.Connection, sqlite3.Connection], looker: Looker, end: str, lost: bool
) -> None:
    """Nobody could look at the index: then what is in the database file was published, and nothing else."""
    keeper, db = both
    served.store.settle()
    looker.answer = unanswered
    if lost:
        db.execute("PRAGMA synchronous=full")
        served.refuse = lambda call, name: errno.EIO if (call, name) == ("sync", f"{DB}-wal") else 0
        with pytest.raises(sqlite3.OperationalError):
            db.execute("INSERT INTO t VALUES (randomblob(5000))")
        served.refuse = lambda call, name: 0
    else:
        db.execute("INSERT INTO t VALUES (randomblob(5000))")
    if end != "delete":
        db.execute(f"PRAGMA wal_checkpoint({end})")
    else:
        db.close()
        assert keeper.execute("PRAGMA journal_mode=delete").fetchone() == ("delete",)
    keeper.execute("INSERT INTO t VALUES ('next')")
    looker.answer = lambda truth: truth
    served.store.settle()
    assert_captured(served, 4 + (not lost) + (end == "delete"))


def test_in_a_burst_the_next_commit_tells_the_one_before(
    db: sqlite3.Connection, database: Database, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast they come, each is told in its turn, and hardly anyone looks."""
    monkeypatch.setattr(publisher, "LATER_S", 60.0)
    monkeypatch.setattr(publisher, "BURST_S", 60.0)
    told: list[int] = []
    database.state.node.publish = lambda name, pos, header: told.append(pos.txid)
    looks = looker.looks
    for _ in range(50):
        db.execute("INSERT INTO t VALUES (1)")
    assert database.state.pos.txid == 52 and looker.looks == looks
    assert database.current_pos().txid == 53
    assert told == list(range(4, 54))


def test_who_asks_waits_no_longer_than_a_moment_for_an_applier_that_hangs(
    db: sqlite3.Connection, database: Database, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "ASK_S", 0.1)
    hangs = threading.Event()

    def hang(truth: bool | None) -> bool | None:
        hangs.wait(SOON_S)
        return truth

    looker.answer = hang
    db.execute("INSERT INTO t VALUES (1)")
    started = time.monotonic()
    assert database.current_pos().txid == 3
    assert 0.09 < time.monotonic() - started < SOON_S
    hangs.set()
    eventually_at(database, 4)


def test_a_drop_comes_after_what_was_pending(
    served: Served, db: sqlite3.Connection, database: Database, looker: Looker
) -> None:
    looker.answer = lambda truth: False
    db.execute("INSERT INTO t VALUES (1)")
    database.remove(FileKind.DATABASE)
    assert database.pos.txid == 5 and database.page_count == 0


def test_an_import_comes_after_what_was_published(
    served: Served, db: sqlite3.Connection, database: Database, looker: Looker, source: Path
) -> None:
    db.execute("INSERT INTO t VALUES (1)")
    served.close()
    with open(source, "rb") as file:
        assert served.store.import_database(DB, file).txid == 5


def test_a_node_that_ends_before_it_looked_finds_the_commit_at_its_next_start(
    served: Served, db: sqlite3.Connection, database: Database, looker: Looker, data: Path
) -> None:
    looker.answer = unanswered
    db.execute("INSERT INTO t VALUES ('durable')")
    copy = data.with_name("copy")
    shutil.copytree(data, copy)
    with opened(copy) as store:
        assert store.require(DB).pos.txid == 4
        assert b"durable" in committed_bytes(store.require(DB).dir)


def test_without_an_index_in_use_the_wal_decides(
    db: sqlite3.Connection, database: Database, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """locking_mode=EXCLUSIVE over an index that lies there: nobody else can read, so it is told. An index
    that is being taken away says nothing: the WAL goes next."""
    looker.answer = lambda truth: False
    db.execute("INSERT INTO t VALUES (1)")
    shm = database.path(FileKind.SHM)
    shm.rename(shm.with_name("away"))
    monkeypatch.setattr(OpenFiles, "index_is_used", False)
    assert database.current_pos().txid == 3
    shm.with_name("away").rename(shm)
    assert database.current_pos().txid == 4


def lose(served: Served, db: sqlite3.Connection) -> None:
    """A transaction that SQLite does not publish: its sync fails."""
    db.execute("PRAGMA synchronous=full")
    served.refuse = lambda call, name: errno.EIO if (call, name) == ("sync", f"{DB}-wal") else 0
    with pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES (randomblob(5000))")
    served.refuse = lambda call, name: 0


@pytest.mark.parametrize("lost", [False, True], ids=["published", "lost"])
def test_an_import_keeps_what_was_published_and_drops_what_was_lost(
    served: Served, db: sqlite3.Connection, looker: Looker, source: Path, lost: bool
) -> None:
    """Its locks make the index unreadable for everyone, so it goes by the index as it was before. A commit
    that its client was told of keeps its LTX file, even if the node ends in the middle of the import."""
    database = served.store.require(DB)
    database.settle()
    looker.answer = lambda truth: False
    if lost:
        lose(served, db)
    else:
        db.execute("INSERT INTO t VALUES (1)")
    assert database.pos.txid == 3
    with open(source, "rb") as file:
        assert served.store.import_database(DB, file).txid == 5 - lost
    assert database.ltx_files()[-1] == (5 - lost, 5 - lost)


def test_a_checkpoint_of_what_was_not_told_yet_tells_it(
    served: Served, db: sqlite3.Connection, database: Database, looker: Looker, tmp_path: Path
) -> None:
    """SQLite copies only what it has published, so a copy of the database never has bytes from after its
    position."""
    looker.answer = unanswered
    db.execute("UPDATE t SET x = randomblob(9000)")
    assert database.pos.txid == 3
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert database.pos.txid == 4
    assert served.store.snapshot(DB, tmp_path / "snapshot").pos.txid == 4  # Its checksum is compared.


def test_a_checkpoint_of_what_came_before_tells_nothing(
    served: Served,
    both: tuple[sqlite3.Connection, sqlite3.Connection],
    database: Database,
    looker: Looker,
    tmp_path: Path,
) -> None:
    """What SQLite has lost is not among the frames that a checkpoint copies."""
    keeper, db = both
    looker.answer = lambda truth: False
    lose(served, db)
    keeper.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert database.pos.txid == 3
    assert served.store.snapshot(DB, tmp_path / "snapshot").pos.txid == 3


def test_a_look_that_fails_is_told_once_and_the_next_ones_go_on(
    db: sqlite3.Connection, database: Database, looker: Looker, caplog: pytest.LogCaptureFixture
) -> None:
    """One thread looks for all databases: whatever happens in it, it lives on."""
    looks = looker.looks

    def fails(truth: bool | None) -> bool | None:
        raise RuntimeError("something unforeseen")

    looker.answer = fails
    db.execute("INSERT INTO t VALUES (1)")
    deadline = time.monotonic() + SOON_S
    while looker.looks < looks + 4:
        assert time.monotonic() < deadline, "the publisher looks no more"
        time.sleep(0.001)
    looker.answer = lambda truth: truth
    eventually_at(database, 4)
    assert len([record for record in caplog.records if "unforeseen" in record.getMessage()]) == 1


def test_who_asks_waits_for_an_index_that_is_made_anew(
    db: sqlite3.Connection, database: Database, looker: Looker
) -> None:
    """The last client has gone and the next one reads the WAL: who committed before is told of it."""
    looks: list[bool | None] = []

    def cannot_say_yet(truth: bool | None) -> bool | None:
        looks.append(truth)
        return unanswered(truth) if len(looks) < 8 else truth

    looker.answer = cannot_say_yet
    db.execute("INSERT INTO t VALUES (1)")
    assert database.current_pos().txid == 4


def test_who_asks_waits_for_who_has_the_database_locked(
    db: sqlite3.Connection, database: Database, looker: Looker
) -> None:
    """A copy of a small database keeps its lock for tens of milliseconds: a client that has committed before
    is told its own position all the same."""
    taken, holders = threading.Event(), []

    def hold() -> None:
        with database.state.lock:
            taken.set()
            time.sleep(20 * publisher.LOCK_S)

    def answer(truth: bool | None) -> bool | None:
        if truth and not taken.is_set():
            holders.append(threading.Thread(target=hold))
            holders[0].start()
            taken.wait(SOON_S)
        return truth

    looker.answer = answer
    db.execute("INSERT INTO t VALUES (1)")
    assert database.current_pos().txid == 4
    holders[0].join()


def test_what_was_told_without_anyone_to_publish_it_may_still_be_lost(
    served: Served,
    both: tuple[sqlite3.Connection, sqlite3.Connection],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody seemed to use the index, so the WAL was to decide; it did not. Then what SQLite has becomes a
    transaction when the WAL begins anew."""
    keeper, db = both
    served.store.settle()
    with monkeypatch.context() as patch:
        patch.setattr(OpenFiles, "index_is_used", False)
        lose(served, db)
        eventually_at(database, 4)
    db.close()
    assert keeper.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    keeper.execute("INSERT INTO t VALUES ('next')")
    served.store.settle()
    assert_captured(served, 6)


def test_the_applier_s_lock_on_an_index_counts_as_use_and_its_look_does_not(database: Database) -> None:
    """While the applier has it, as in a snapshot, no client makes the index anew. Its eyes have no lock,
    and make no index where there is none."""
    shm = FileKind.SHM
    database.files.unlinked(shm)
    look = database.open_file(shm, os.O_RDONLY, True)
    assert not database.files.index_is_used
    lock = database.open_file(shm, os.O_RDWR, True)
    assert database.files.index_is_used
    database.release(shm, lock, True)
    assert not database.files.index_is_used
    database.release(shm, look, True)
    database.path(shm).rename(database.dir / "away")
    with pytest.raises(FileNotFoundError):
        database.open_file(shm, os.O_RDONLY, True)
    assert not database.path(shm).exists()


@pytest.mark.parametrize("by", ["look", "next commit"])
def test_who_finds_nothing_pending_finds_the_new_position(
    db: sqlite3.Connection, database: Database, looker: Looker, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """Without a lock: the proxy, and whoever asks for the position, look at `pending` first."""
    found: list[bool] = []
    original = capture.publish

    def publish(state: DatabaseState, captured: Captured) -> None:
        found.append(state.pending is captured)
        original(state, captured)
        found.append(state.pending is captured and state.pos == captured.pos)

    monkeypatch.setattr(capture, "publish", publish)
    looker.answer = (lambda truth: truth) if by == "look" else (lambda truth: False)
    db.execute("INSERT INTO t VALUES (1)")
    if by == "look":
        assert database.current_pos().txid == 4
    else:
        db.execute("INSERT INTO t VALUES (2)")
    assert found == [True, True]
