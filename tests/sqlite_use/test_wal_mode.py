"""WAL mode: checkpoints of each kind while others read, VACUUM, and what is refused."""

import sqlite3
from pathlib import Path

import pytest

from tests.sqlite_use.pair import Client, Pair, connect, fill, refusals_of, shell

pytestmark = pytest.mark.fuse

WAL = "PRAGMA journal_mode=wal"
CHECKPOINTS = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"]


def wal_size(path: Path) -> int:
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_checkpoint_while_others_read(pair: Pair, kind: str) -> None:
    """A reader in an old snapshot keeps seeing it; a checkpoint is no transaction."""
    name = f"checkpoint-{kind}.db"
    path = pair.make(name, WAL, rows=100)
    pair.check(name)
    with connect(path) as old, connect(path) as db:
        old.execute("BEGIN")
        assert old.execute("SELECT count(*) FROM t").fetchone() == (100,)
        for _ in range(3):
            db.execute(fill(50))
        pos = pair.wait_replica(name)
        db.execute("PRAGMA busy_timeout=50")
        db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
        assert pair.pos(name) == pos
        assert old.execute("SELECT count(*) FROM t").fetchone() == (100,)
        db.execute(fill(50))
        old.execute("COMMIT")
        assert old.execute("SELECT count(*) FROM t").fetchone() == (300,)
        assert db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()[0] == 0
        assert (wal_size(path) == 0) == (kind == "TRUNCATE")
        db.execute(fill(50))
        db.execute("DELETE FROM t WHERE a%2")
        pos = pair.wait_replica(name)
        assert old.execute("SELECT count(*) FROM t").fetchone() == (175,)
    old.close()
    db.close()
    assert pair.check(name) == pos


def test_the_wal_starts_again_and_again(pair: Pair) -> None:
    """Automatic checkpoints and restarts of the WAL, with a connection in between that keeps it open."""
    name = "restarts.db"
    path = pair.make(name, WAL, rows=10)
    before = pair.txid(name)
    with connect(path) as watcher, connect(path) as db:
        watcher.execute("SELECT 1 FROM t").fetchone()
        db.execute("PRAGMA wal_autocheckpoint=10")
        for n in range(60):
            db.execute("INSERT INTO t(b) VALUES(hex(randomblob(3000)))")
            if n % 20 == 0:
                pair.wait_replica(name)
        assert watcher.execute("SELECT count(*) FROM t").fetchone() == (70,)
    watcher.close()
    db.close()
    assert pair.check(name).txid == before + 60


def test_without_sync_and_without_a_checkpoint_at_close(pair: Pair) -> None:
    name = "nosync.db"
    path = pair.make(name, WAL, rows=10)
    for n in range(3):
        shell(
            path,
            "PRAGMA synchronous=OFF;",
            ".dbconfig no_ckpt_on_close on",
            f"DELETE FROM t WHERE a={n + 1};",
        )
        assert wal_size(path) > 0
        pair.check(name)


def test_vacuum_that_shrinks_a_database_past_256_pages(pair: Pair) -> None:
    """Seen with real LiteFS: 400 rows of 3,500 bytes, all but 50 deleted, VACUUM, an INSERT."""
    name = "shrink.db"
    path = pair.make(name, WAL, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)", fill(400, 3500))
    pair.check(name)
    with connect(path) as db:
        assert db.execute("PRAGMA page_count").fetchone()[0] > 350
        db.execute("DELETE FROM t WHERE a>50")
        db.execute("VACUUM")
        pos = pair.wait_replica(name)
        db.execute("INSERT INTO t(b) VALUES('one more')")
        assert pair.txid(name) == pos.txid + 1
        pair.check(name)
        assert shell(pair.copy(name), "SELECT count(*) FROM t") == "51"
        assert db.execute("PRAGMA page_count").fetchone()[0] < 60
    db.close()
    pair.check(name)
    assert path.stat().st_size == pair.copy(name).stat().st_size < 60 * 4096


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_vacuum_that_shrinks_a_database_in_a_rollback_mode(pair: Pair, mode: str) -> None:
    """The file is truncated after the commit: that is no transaction of its own."""
    name = f"shrink-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=400)
    shell(path, "DELETE FROM t WHERE a>50;")
    before = pair.check(name)
    shell(path, "VACUUM;", "INSERT INTO t(b) VALUES('one more');")
    assert pair.check(name).txid == before.txid + 2
    assert path.stat().st_size == pair.copy(name).stat().st_size < 60 * 4096


def test_a_big_transaction_that_is_rolled_back_and_one_that_follows(pair: Pair) -> None:
    """Frames without a commit lie in the WAL; the next transaction is written over them."""
    name = "over.db"
    path = pair.make(name, WAL, rows=200)
    pos = pair.check(name)
    with connect(path) as db:
        db.execute("PRAGMA cache_size=5")
        db.execute("BEGIN")
        db.execute("UPDATE t SET b=hex(randomblob(100))")
        db.execute("ROLLBACK")
        assert wal_size(path) > 50_000
        assert pair.pos(name) == pos
        db.execute("INSERT INTO t(b) VALUES('x')")
        assert pair.txid(name) == pos.txid + 1
        pair.check(name)
    db.close()


def test_a_killed_client_with_others_connected(pair: Pair) -> None:
    """Whoever writes next goes over the frames it left; nobody recovers the WAL, for it is still in use."""
    name = "killed.db"
    path = pair.make(name, WAL, rows=200)
    pair.check(name)
    with connect(path) as other:
        assert other.execute("SELECT count(*) FROM t").fetchone() == (200,)
        pos = pair.pos(name)
        with Client(path) as client:
            big = "UPDATE t SET b=hex(randomblob(100));"
            assert client.tell("PRAGMA cache_size=5;", "BEGIN;", big, "SELECT 'in';") == "in"
            client.kill()
        assert pair.pos(name) == pos
        other.execute("INSERT INTO t(b) VALUES('after')")
        assert pair.check(name).txid == pos.txid + 1
    other.close()


def test_a_killed_client_that_was_alone(pair: Pair) -> None:
    """It leaves its WAL with commits in it and a stale index; the next client recovers them."""
    name = "alone.db"
    path = pair.make(name, WAL, rows=100)
    with Client(path) as client:
        client.tell("PRAGMA wal_autocheckpoint=0;", fill(50) + ";", fill(50) + ";")
        client.kill()
    pos = pair.pos(name)
    assert wal_size(path) > 0
    assert pair.check(name) == pos
    assert shell(path, "SELECT count(*) FROM t") == "200"
    shell(path, fill(10) + ";")
    assert pair.check(name).txid == pos.txid + 1


def test_exclusive_locking_before_the_first_access_is_refused(pair: Pair) -> None:
    """There is no -shm then: the first write fails, with one line in the log, and nothing has changed."""
    name = "heap.db"
    path = pair.make(name, WAL, rows=10)
    pos = pair.check(name)
    with connect(path) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        with (
            pair.refusals("heap.db|locking_mode=EXCLUSIVE|WAL|use PRAGMA locking_mode=NORMAL"),
            pytest.raises(sqlite3.OperationalError, match="disk I/O error"),
        ):
            db.execute("INSERT INTO t(b) VALUES('x')")
    db.close()
    assert pair.check(name) == pos
    shell(path, "DELETE FROM t WHERE a=1;")
    assert pair.check(name).txid == pos.txid + 1


def test_exclusive_locking_and_wal_mode_for_a_new_database_is_refused(pair: Pair) -> None:
    name = "heap-new.db"
    with connect(pair.path(name)) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute(WAL)
        with pair.refusals("heap-new.db|EXCLUSIVE"), pytest.raises(sqlite3.OperationalError, match="I/O"):
            db.execute("CREATE TABLE t(a)")
    db.close()
    shell(pair.path(name), "CREATE TABLE t(a);")
    pair.check(name)


def test_exclusive_locking_over_the_index_of_a_killed_client_is_captured(pair: Pair) -> None:
    """SQLite makes no use of the -shm that lies there, but each commit is seen in the WAL itself."""
    name = "stale.db"
    path = pair.make(name, WAL, rows=10)
    with Client(path) as client:
        client.tell("INSERT INTO t(b) VALUES('killed');")
        client.kill()
    before = pair.wait_replica(name).txid
    with connect(path) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        for n in range(3):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
            assert pair.wait_replica(name).txid == before + n + 1
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("INSERT INTO t(b) VALUES('last')")
    db.close()
    assert pair.check(name).txid == before + 4


def test_exclusive_locking_switched_on_in_an_open_connection_is_captured(pair: Pair) -> None:
    """The index is in the -shm already: each commit is seen, and SQLite goes on as it was told."""
    name = "late.db"
    path = pair.make(name, WAL, rows=10)
    with connect(path) as db:
        db.execute("INSERT INTO t(b) VALUES('normal')")
        before = pair.wait_replica(name).txid
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        for n in range(3):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
            assert pair.wait_replica(name).txid == before + n + 1
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("INSERT INTO t(b) VALUES('last')")
        assert pair.wait_replica(name).txid == before + 4
    db.close()
    pair.check(name)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory", "off"])
def test_leaving_wal_mode_live(pair: Pair, mode: str) -> None:
    """The LTX file holds page 1 and leads to a checksum that the replica reaches; work goes on there."""
    name = f"leave-{mode}.db"
    path = pair.make(name, WAL, rows=100)
    pair.check(name)
    with connect(path) as db, connect(pair.copy(name)) as reader:
        db.execute(fill(20))
        assert reader.execute("SELECT count(*) FROM t").fetchone()[0] >= 100
        assert db.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
        for n in range(3):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
        if mode in ("delete", "truncate", "persist"):
            pair.check(name)
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (123,)
        assert db.execute(WAL).fetchone() == ("wal",)
        db.execute("INSERT INTO t(b) VALUES('wal')")
        pair.wait_replica(name)
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (124,)
        db.execute("PRAGMA journal_mode=delete")
    reader.close()
    db.close()
    pair.check(name)


def test_going_through_every_journal_mode(pair: Pair) -> None:
    """By the primary's own connection and by others, with a reader on the replica all the time."""
    name = "modes.db"
    path = pair.make(name, rows=10)
    pair.check(name)
    count = 10
    with connect(pair.copy(name)) as reader:
        for mode in ["wal", "delete", "wal", "truncate", "persist", "wal", "wal", "persist", "delete"]:
            assert shell(path, f"PRAGMA journal_mode={mode};") == mode
            shell(path, fill(5) + ";", fill(5) + ";")
            count += 10
            pair.check(name)
            assert reader.execute("SELECT count(*) FROM t").fetchone() == (count,)
    reader.close()


def test_a_checkpoint_on_a_replica_is_refused_as_on_a_read_only_disk(pair: Pair) -> None:
    """The WAL opens to be read alone. There is nothing to copy, and nothing changes."""
    name = "replica.db"
    pair.make(name, WAL, rows=10)
    pair.check(name)
    with refusals_of(pair.replica), connect(pair.copy(name)) as db:
        for kind in CHECKPOINTS:
            with pytest.raises(sqlite3.OperationalError, match="attempt to write a readonly database"):
                db.execute(f"PRAGMA wal_checkpoint({kind})")
    db.close()
    pair.check(name)
