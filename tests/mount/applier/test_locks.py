"""The locks that the node holds through the applier, and what clients may do meanwhile."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, BusyError, DatabaseNotFoundError
from pylitefs.mount.applier.applier import Applier

from .support import Reader, Source, bump, make_rows, wait_until

MODES = ["delete", "wal"]
StartReader = Callable[..., Reader]


def prepare(applier: Applier, tmp_path: Path, mode: str) -> Source:
    """A database on the mount of a primary: nothing of it is kept open by the applier."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    applier.release()
    return source


def connect(mount_dir: Path, timeout: float = 0.0) -> sqlite3.Connection:
    return sqlite3.connect(mount_dir / "a.db", timeout=timeout, isolation_level=None)


def is_locked(db: sqlite3.Connection, statement: str) -> bool:
    try:
        db.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)
        return True
    return False


@pytest.mark.parametrize("mode", MODES)
def test_a_write_lock_keeps_everyone_out_and_is_gone_afterwards(
    applier: Applier, mount_dir: Path, tmp_path: Path, mode: str
) -> None:
    prepare(applier, tmp_path, mode)
    db = connect(mount_dir)
    db.execute("UPDATE t SET v = 1")
    with applier.write_lock("a.db"):
        assert is_locked(db, "SELECT * FROM t")
        assert is_locked(db, "UPDATE t SET v = 2")
        fresh = connect(mount_dir)
        assert is_locked(fresh, "SELECT * FROM t")
        fresh.close()
    assert db.execute("SELECT max(v) FROM t").fetchone() == (1,)
    db.execute("UPDATE t SET v = 2")
    db.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_write_lock_gets_in_between_writers_that_never_rest(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader, mode: str
) -> None:
    source = prepare(applier, tmp_path, mode)
    clients = [reader(mount_dir / "a.db", hold=0.002) for _ in range(2)]
    db = connect(mount_dir, timeout=10)
    for number in range(10):
        db.execute("UPDATE t SET v = v + 1")
        with applier.write_lock("a.db"):
            content = (mount_dir / "a.db-wal").stat().st_size if mode == "wal" else 1
        assert content
        assert db.execute("SELECT max(v) FROM t").fetchone() == (number + 1,)
    for client in clients:
        report = client.stop()
        assert report["errors"] == {} and report["wrong"] == []
    assert source.txid == 1
    db.close()


def test_the_write_lock_says_who_keeps_it_waiting(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    prepare(applier, tmp_path, "wal")
    holder = reader(mount_dir / "a.db", manual=True)
    holder.tell("begin")
    holder.tell("read")
    index = applier.wal_index("a.db")
    with (
        pytest.raises(BusyError, match=rf"\(process {holder.process.pid}\) holds READ"),
        applier.write_lock("a.db", timeout=0.3),
    ):
        pass
    assert applier.wal_index("a.db") == index  # The gate was shut meanwhile; it was restored exactly.
    with applier.read_lock("a.db"), pytest.raises(BusyError, match="snapshot"):
        holder.tell("end")
        with applier.write_lock("a.db", timeout=0.3):
            pass
    with applier.write_lock("a.db", timeout=0.3):
        pass


BY_DESCRIPTION = """
import fcntl, os, struct, sys
database = os.open(sys.argv[1], os.O_RDWR)
lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0x40000002, 510, 0)
fcntl.fcntl(database, 37, lock)
print("held", flush=True)
sys.stdin.read()
"""


def test_who_locks_by_open_file_descriptions_is_named_too(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    """The kernel's list has no process for its lock. The applier's own is not told as another's."""
    prepare(applier, tmp_path, "delete")
    holder = subprocess.Popen(
        [sys.executable, "-c", BY_DESCRIPTION, mount_dir / "a.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError) as caught, applier.write_lock("a.db", timeout=0.3):
            pass
        assert re.search(rf"\(process {holder.pid}\) holds SHARED", str(caught.value)), caught.value
        assert "," not in str(caught.value).partition(" holds ")[0]
    finally:
        holder.kill()
        holder.communicate()


def test_watching_writers_keeps_nobody_out(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    """A writer counts from when it keeps readers out: only then does it write the database file."""
    prepare(applier, tmp_path, "delete")
    db = connect(mount_dir)
    with applier.watch_writers("a.db") as is_written, applier.watch_writers("a.db") as also:
        assert not is_written()
        assert not is_locked(db, "UPDATE t SET v = 9")
        db.execute("BEGIN IMMEDIATE")
        assert not is_written() and not also()
        db.execute("COMMIT")
        db.execute("BEGIN EXCLUSIVE")
        assert is_written() and also()
        db.execute("COMMIT")
        assert not is_written()
    with pytest.raises(DatabaseNotFoundError), applier.watch_writers("none.db"):
        pass
    db.close()


def test_read_lock_in_a_rollback_mode_keeps_writers_out(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    prepare(applier, tmp_path, "delete")
    db = connect(mount_dir)
    with applier.read_lock("a.db", wal=False, timeout=1):
        assert not is_locked(db, "SELECT * FROM t")
        assert is_locked(db, "UPDATE t SET v = 9")
    assert not is_locked(db, "UPDATE t SET v = 9")
    db.close()


@pytest.mark.parametrize("clients_before", [True, False])
def test_read_lock_in_wal_mode_lets_commits_go_on_and_holds_checkpoint_and_restart(
    applier: Applier, mount_dir: Path, tmp_path: Path, clients_before: bool
) -> None:
    prepare(applier, tmp_path, "wal")
    db = connect(mount_dir)
    if clients_before:
        db.execute("UPDATE t SET v = 1")
        assert db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0  # The WAL could restart.
    with applier.read_lock("a.db", wal=True, timeout=1):
        if not clients_before:
            db.execute("UPDATE t SET v = 1")
        content = (mount_dir / "a.db").read_bytes()
        header = (mount_dir / "a.db-wal").read_bytes()[:32]
        for number in range(2, 12):
            db.execute(f"UPDATE t SET v = {number}")
            for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE"):
                assert db.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()[0] == 1
        assert db.execute("SELECT max(v) FROM t").fetchone() == (11,)
        db.close()
        assert (mount_dir / "a.db").read_bytes() == content
        assert (mount_dir / "a.db-wal").read_bytes()[:32] == header
    db = connect(mount_dir)
    assert db.execute("SELECT max(v) FROM t").fetchone() == (11,)
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()


def test_read_lock_of_a_wal_that_killed_clients_left(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """Nobody has it open and its index cannot be trusted: it is made anew before checkpoints are held,
    or clients that come meanwhile would get "locking protocol"."""
    prepare(applier, tmp_path, "wal")
    client = reader(mount_dir / "a.db", manual=True)
    client.tell("UPDATE t SET v = 3")
    client.kill()
    assert (mount_dir / "a.db-wal").stat().st_size > 0
    with applier.read_lock("a.db", wal=True, timeout=2):
        db = connect(mount_dir)
        assert db.execute("SELECT max(v) FROM t").fetchone() == (3,)
        db.execute("UPDATE t SET v = 4")
        db.close()
    with applier.read_lock("a.db", wal=True, timeout=2):
        pass
    db = connect(mount_dir)
    assert db.execute("SELECT max(v) FROM t").fetchone() == (4,)
    db.close()


def test_a_hot_journal_is_rolled_back(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    """As a client leaves one that is killed in the middle of a large transaction."""
    prepare(applier, tmp_path, "delete")
    before = (mount_dir / "a.db").read_bytes()
    client = reader(mount_dir / "a.db", manual=True)
    client.tell("PRAGMA cache_size=2")
    client.tell("BEGIN IMMEDIATE")
    client.tell("UPDATE t SET v = 9, pad = randomblob(1200)")
    wait_until(lambda: (mount_dir / "a.db").read_bytes() != before, "pages spilled to the database")
    client.kill()
    assert (mount_dir / "a.db-journal").stat().st_size > 0
    applier.rollback_hot_journal("a.db")
    assert (mount_dir / "a.db").read_bytes() == before
    assert not (mount_dir / "a.db-journal").exists()
    applier.rollback_hot_journal("a.db")
    with pytest.raises(ApplierError, match=r"none\.db"):
        applier.rollback_hot_journal("none.db")


def test_a_journal_left_behind_does_not_undo_a_snapshot(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = prepare(applier, tmp_path, "delete")
    before = (mount_dir / "a.db").read_bytes()
    client = reader(mount_dir / "a.db", manual=True)
    client.tell("PRAGMA cache_size=2")
    client.tell("BEGIN IMMEDIATE")
    client.tell("UPDATE t SET v = 9, pad = randomblob(1200)")
    wait_until(lambda: (mount_dir / "a.db").read_bytes() != before, "pages spilled to the database")
    client.kill()
    bump(source)
    applier.apply("a.db", source.capture(snapshot=True))
    assert (mount_dir / "a.db").read_bytes() == source.content()
    assert not (mount_dir / "a.db-journal").exists()


def test_a_former_primary_s_hot_journal_is_rolled_back_before_the_next_transaction(
    applier: Applier, mount_dir: Path, tmp_path: Path, reader: StartReader
) -> None:
    source = prepare(applier, tmp_path, "delete")
    before = (mount_dir / "a.db").read_bytes()
    client = reader(mount_dir / "a.db", manual=True)
    client.tell("PRAGMA cache_size=2")
    client.tell("BEGIN IMMEDIATE")
    client.tell("UPDATE t SET v = 9, pad = randomblob(1200)")
    wait_until(lambda: (mount_dir / "a.db").read_bytes() != before, "pages spilled to the database")
    client.kill()
    applier.apply("a.db", source.execute("UPDATE t SET v = 3 WHERE id = 0"))
    assert (mount_dir / "a.db").read_bytes() == source.content()
