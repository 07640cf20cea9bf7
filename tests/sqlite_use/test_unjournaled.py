"""journal_mode MEMORY and OFF: nothing on disk marks a commit, and each is captured all the same."""

import sqlite3
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from tests.sqlite_use.pair import Pair, connect, fill, shell

pytestmark = pytest.mark.fuse

each_mode = pytest.mark.parametrize("mode", ["memory", "off"])


def settle(pair: Pair, name: str) -> None:
    """Wait until what was written is captured: the marker file of a capture still to come is gone."""
    marker = pair.primary.data / "dbs" / name / "unjournaled"
    assert wait_until(lambda: not marker.exists(), 10), f"{name} is never captured"


@each_mode
def test_several_commits_in_a_row_all_arrive(pair: Pair, mode: str) -> None:
    """In quick succession perhaps as fewer transactions, and none of them is told that it is locked."""
    name = f"row-{mode}.db"
    path = pair.make(name, rows=50)
    pair.check(name)
    inserts = [f"INSERT INTO t(b) VALUES({n});" for n in range(30)]
    shell(path, f"PRAGMA journal_mode={mode};", *inserts)
    settle(pair, name)
    before = pair.check(name)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "80"
    shell(path, f"PRAGMA journal_mode={mode};", "UPDATE t SET b='x' WHERE a=3;")
    settle(pair, name)
    assert pair.check(name).txid == before.txid + 1


@each_mode
def test_a_database_made_so(pair: Pair, mode: str) -> None:
    name = f"new-{mode}.db"
    shell(
        pair.path(name),
        f"PRAGMA journal_mode={mode};",
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b);",
        fill(300) + ";",
        "DELETE FROM t WHERE a>100;",
        "VACUUM;",
    )
    settle(pair, name)
    pair.check(name)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "100"


@each_mode
def test_exclusive_locking_is_captured_at_the_close(pair: Pair, mode: str) -> None:
    name = f"exclusive-{mode}.db"
    path = pair.make(name, rows=50)
    before = pair.check(name)
    with connect(path) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute(f"PRAGMA journal_mode={mode}")
        for n in range(5):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
        assert pair.pos(name) == before
    db.close()
    settle(pair, name)
    assert pair.check(name).txid == before.txid + 1


def test_a_rollback_in_memory_mode_is_none(pair: Pair) -> None:
    """Also of pages that were spilled: SQLite wrote the old ones back."""
    name = "rollback.db"
    path = pair.make(name, rows=200)
    before = pair.check(name)
    with connect(path) as db:
        db.execute("PRAGMA journal_mode=memory")
        db.execute("PRAGMA cache_size=5")
        db.execute("BEGIN")
        db.execute("UPDATE t SET b=hex(randomblob(200))")
        db.execute("ROLLBACK")
        settle(pair, name)
        assert pair.pos(name) == before
        db.execute("UPDATE t SET b=hex(randomblob(200))")
        settle(pair, name)
        assert pair.check(name).txid == before.txid + 1
    db.close()


def test_mixed_with_the_other_modes(pair: Pair) -> None:
    """A transaction of another mode right after one without a journal takes nothing away from it."""
    name = "mixed.db"
    path = pair.make(name, rows=50)
    pair.check(name)
    count = 50
    with connect(path) as db:
        for mode in [
            "memory",
            "delete",
            "off",
            "wal",
            "memory",
            "wal",
            "off",
            "truncate",
            "memory",
            "persist",
        ]:
            assert db.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
            db.execute(fill(3))
            db.execute(fill(3))
            count += 6
    db.close()
    settle(pair, name)
    pair.check(name)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == str(count)


@each_mode
def test_writers_at_once(pair: Pair, mode: str) -> None:
    """Two connections, one of them in DELETE mode, take turns statement by statement."""
    name = f"turns-{mode}.db"
    path = pair.make(name, rows=20)
    pair.check(name)
    with connect(path) as one, connect(path) as other:
        one.execute(f"PRAGMA journal_mode={mode}")
        for _ in range(15):
            one.execute(fill(1))
            other.execute(fill(1))
    one.close()
    other.close()
    settle(pair, name)
    pair.check(name)
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "50"


def test_vacuum_and_another_page_size_in_memory_mode(pair: Pair) -> None:
    name = "vacuum.db"
    path = pair.make(name, rows=400)
    pair.check(name)
    shell(
        path, "PRAGMA journal_mode=memory;", "DELETE FROM t WHERE a>50;", "PRAGMA page_size=1024;", "VACUUM;"
    )
    settle(pair, name)
    pair.check(name)
    assert shell(pair.copy(name), "PRAGMA page_size") == "1024"
    assert path.stat().st_size == pair.copy(name).stat().st_size < 60 * 4096


def test_a_writer_without_a_busy_timeout_is_never_told_that_the_database_is_locked(pair: Pair) -> None:
    """The capture keeps nobody out."""
    name = "unlocked.db"
    path: Path = pair.make(name, rows=1)
    pair.check(name)
    with sqlite3.connect(path, timeout=0, isolation_level=None) as db:
        db.execute("PRAGMA journal_mode=memory")
        for n in range(200):
            db.execute("INSERT INTO t(b) VALUES(?)", (n,))
    db.close()
    settle(pair, name)
    pair.check(name)
