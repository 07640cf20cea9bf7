"""A HALT lock on the primary: SQLite's writers wait, its readers do not, its holder's transactions come."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError, BusyError
from pylitefs.mount.applier.applier import Applier

from .support import Source, bump, make_rows

MODES = ["delete", "wal"]


def connect(path: Path, timeout: float = 0.0) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=timeout)


def is_locked(db: sqlite3.Connection) -> bool:
    try:
        db.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)
        return True
    db.execute("ROLLBACK")
    return False


@pytest.mark.parametrize("mode", MODES)
def test_writers_are_kept_out_between_two_transactions_too(
    applier: Applier, mount_dir: Path, tmp_path: Path, mode: str
) -> None:
    """Readers see each transaction of the holder's as soon as it is applied."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    applier.release()
    with closing(connect(mount_dir / "a.db")) as db, closing(connect(mount_dir / "a.db")) as reader:
        with applier.halt_lock("a.db", 5.0) as lock:
            for number in range(1, 6):
                assert is_locked(db)
                lock.apply(bump(source), timeout=5.0)
                assert reader.execute("SELECT max(v) FROM t").fetchone() == (number,)
            assert is_locked(db)
        assert not is_locked(db)
    assert (mount_dir / "a.db").read_bytes() == source.content()


def test_the_lock_goes_along_from_mode_to_mode(applier: Applier, mount_dir: Path, tmp_path: Path) -> None:
    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    applier.release()
    with applier.halt_lock("a.db", 5.0) as lock:
        for mode in ("wal", "delete", "wal"):
            source.set_mode(mode)
            lock.apply(bump(source), timeout=5.0)
            with closing(connect(mount_dir / "a.db")) as db:
                assert db.execute("PRAGMA journal_mode").fetchone() == (mode,)
                assert is_locked(db), mode
    with closing(connect(mount_dir / "a.db")) as db:
        assert not is_locked(db)


@pytest.mark.parametrize("mode", MODES)
def test_who_writes_and_who_reads_is_waited_for_but_not_for_ever(
    applier: Applier, mount_dir: Path, tmp_path: Path, mode: str
) -> None:
    """A writer keeps the lock from being had; a reader only a transaction from being applied."""
    source = Source(tmp_path / "source", mode=mode)
    applier.apply("a.db", make_rows(source))
    applier.release()
    with closing(connect(mount_dir / "a.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError), applier.halt_lock("a.db", 0.1):
            pass
        db.execute("ROLLBACK")
        with applier.halt_lock("a.db", 5.0) as lock, closing(connect(mount_dir / "a.db")) as other:
            db.execute("BEGIN")
            db.execute("SELECT max(v) FROM t").fetchone()
            path = bump(source)
            with pytest.raises(BusyError):
                lock.apply(path, timeout=0.1)
            assert is_locked(other), "the writer's lock is still there"
            db.execute("COMMIT")
            lock.apply(path, timeout=5.0)
            assert db.execute("SELECT max(v) FROM t").fetchone() == (1,)


def test_a_database_that_is_not_there_can_be_made_dropped_and_made_again(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    with applier.halt_lock("a.db", 5.0) as lock:
        assert not list(mount_dir.glob("a.db*"))
        source = Source(tmp_path / "source", mode="wal")
        lock.apply(make_rows(source), timeout=5.0)
        lock.apply(bump(source), timeout=5.0)
        lock.apply(source.capture(drop=True), timeout=5.0)
        assert not list(mount_dir.glob("a.db*"))
        again = Source(tmp_path / "again")
        lock.apply(make_rows(again), timeout=5.0)
        with closing(connect(mount_dir / "a.db")) as db:
            assert is_locked(db)
    assert (mount_dir / "a.db").read_bytes() == again.content()


def test_the_lock_is_lost_with_the_process_and_that_is_said(
    applier: Applier, mount_dir: Path, tmp_path: Path
) -> None:
    import os
    import signal

    source = Source(tmp_path / "source")
    applier.apply("a.db", make_rows(source))
    with pytest.raises(ApplierError, match="are lost"), applier.halt_lock("a.db", 5.0) as lock:
        os.kill(applier.pid, signal.SIGKILL)
        lock.apply(bump(source), timeout=5.0)
    assert mount_dir.exists()


def test_a_wal_that_its_writers_have_left_is_read_anew_first(applier: Applier, mount_dir: Path) -> None:
    """Its first client makes the index invalid; SQLite makes it anew, and that stays."""
    with closing(connect(mount_dir / "a.db")) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t(v)")
        wal = (mount_dir / "a.db-wal").read_bytes()
    (mount_dir / "a.db-wal").write_bytes(wal)
    with applier.halt_lock("a.db", 5.0), closing(connect(mount_dir / "a.db")) as db:
        assert is_locked(db) and db.execute("SELECT count(*) FROM t").fetchone() == (0,)
