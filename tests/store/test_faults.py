"""A disk that is full, or fails, at every single call: SQLite is told, everything stays consistent, and the
next commit works.

Each run of a workload has one call of the operating system fail. What SQLite said was committed must be
there afterwards, the position must be that of the bytes, and the LTX files must lead to them.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.store.database import Database
from pylitefs.store.store import Store
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import checksum_of, data_file, is_whole, opened, query, replayed

MODES = ["delete", "truncate", "persist", "wal"]
LITTLE = os.statvfs_result((4096, 4096, 100, 1, 1, 1, 1, 1, 1, 255))
"""One block of 4,096 bytes is free."""


@pytest.fixture
def tmp_path(folder_in_memory: Path) -> Path:
    return folder_in_memory


class Fault:
    """Has the call number `at` fail, once. Without a number it only counts, by call and file."""

    def __init__(self, directory: Path, at: int = 0, code: int = errno.ENOSPC) -> None:
        self.directory = directory
        self.at = at
        self.code = code
        self.count = 0
        self.failed = ""

    def _before(self, call: str, name: str, fd: int) -> None:
        if self.code == errno.ENOSPC and call in ("unlink", "fsync", "ftruncate", "truncate", "rmdir"):
            return  # These need no room.
        self.count += 1
        if self.count == self.at:
            self.failed = f"{call} {name}"
            raise OSError(self.code, f"failed by the test: {self.failed}")

    @contextmanager
    def armed(self) -> Iterator[None]:
        with watching(self.directory, self._before):
            yield


def assert_consistent(served: Served, database: Database) -> None:
    """What SQLite's readers see, the position and the LTX files agree."""
    assert served.store.finish_captures(5)
    if database.pos.txid == 0:
        return
    db = served.connect("a.db", timeout=5)
    seen = db.serialize() if database.exists else b""
    db.close()
    assert len(seen) == database.page_count * database.page_size
    assert checksum_of(seen, database.page_size) == database.pos.checksum
    assert replayed(database) == seen


def insert(served: Served, db: sqlite3.Connection, rows: int) -> int:
    """A transaction of one row; how many rows there are for sure now."""
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO t (x) VALUES (randomblob(900))")
        db.execute("UPDATE t SET x = randomblob(200) WHERE id = 1")
        db.execute("COMMIT")
        return rows + 1
    except sqlite3.OperationalError:
        if db.in_transaction:
            db.execute("ROLLBACK")
        ((found,),) = db.execute("SELECT count(*) FROM t").fetchall()
        assert isinstance(found, int) and rows <= found <= rows + 1
        return found


def work(served: Served, mode: str) -> int:
    """Commits, each tried again by the next if it fails; the number of rows there must be."""
    while True:
        try:
            db = served.connect("a.db", "page_size=512", f"journal_mode={mode}", "wal_autocheckpoint=6")
            db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)")
            break
        except sqlite3.OperationalError:
            continue
    rows = 0
    for _ in range(4):
        before, rows = rows, insert(served, db, rows)
        if mode == "wal" and rows == before:
            continue  # Its sync may have failed: captured and lost, until the next writer overwrites it.
        assert_consistent(served, served.store.require("a.db"))
    db.close()
    return rows


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("mode", MODES)
def test_any_call_may_fail_once(tmp_path: Path, mode: str, code: int) -> None:
    at, more = 0, True
    while more:
        at += 1
        data = tmp_path / f"data{at}"
        fault = Fault(data, at, code)
        try:
            with opened(data) as store:
                served = Served(store, tmp_path / f"mnt{at}")
                with fault.armed():
                    rows = work(served, mode)
                database = store.require("a.db")
                assert_consistent(served, database)
                assert insert(served, served.connect("a.db"), rows) == rows + 1, "the next commit works"
                left = Path(shutil.copytree(data, tmp_path / f"left{at}"))
                served.close()
                positions = store.positions()
            for directory in (left, data):
                with opened(directory) as again:
                    path = data_file(again, "a.db")
                    assert is_whole(path)
                    assert query(path, "SELECT count(*) FROM t") == [(rows + 1,)]
                    assert again.positions() == positions
        except BaseException as error:
            error.add_note(f"call {at}, {fault.failed}, failed")
            raise
        shutil.rmtree(data)
        more = bool(fault.failed)
    assert at > 30


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_while_the_disk_is_full_commits_fail_and_reads_work(
    store: Store, served: Served, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    rows = insert(served, db, 0)
    before = store.positions()

    def full(call: str, name: str, fd: int) -> None:
        if name.endswith(".ltx") and call in ("open", "write"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with watching(store.data_dir, full):
        for _ in range(5):
            with pytest.raises(sqlite3.OperationalError):
                db.execute("INSERT INTO t (x) VALUES (1)")
            assert db.execute("SELECT count(*) FROM t").fetchall() == [(rows,)]
            assert store.positions() == before
            assert_consistent(served, store.require("a.db"))
    assert insert(served, db, rows) == rows + 1
    assert_consistent(served, store.require("a.db"))


def test_a_failed_wal_commit_is_not_found_by_sqlite_s_own_recovery(store: Store, served: Served) -> None:
    """The client was told that it failed; so no crash of the clients may bring it back uncaptured."""
    db = served.connect("a.db", "journal_mode=wal")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("INSERT INTO t VALUES (1, NULL)")

    def full(call: str, name: str, fd: int) -> None:
        if name.endswith(".ltx"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with watching(store.data_dir, full), pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES (2, NULL)")
    # Every client is killed, and the next one recovers the WAL.
    served.refuse = lambda call, name: errno.ENOTCONN if call in ("write", "truncate", "unlink") else 0
    db.close()
    served.refuse = lambda call, name: 0
    data_file(store, "a.db").with_name("shm").write_bytes(b"")
    db = served.connect("a.db")
    assert db.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    assert_consistent(served, store.require("a.db"))


@pytest.mark.parametrize("exists", [False, True])
def test_an_import_without_room_changes_nothing(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    if exists:
        db = served.connect("a.db")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
        db.close()
    source = tmp_path / "source"
    other = sqlite3.connect(source)
    other.executescript("CREATE TABLE other (x); INSERT INTO other VALUES (randomblob(100000))")
    other.close()
    before = store.positions()

    def full(call: str, name: str, fd: int) -> None:
        if ".ltx" in name and call in ("open", "write"):
            raise OSError(errno.ENOSPC, "No space left on device")

    for said in ("No space left", r"importing a.db needs \d+ bytes more in .*, and 4096 are free"):
        with watching(store.data_dir, full), source.open("rb") as file, pytest.raises(OSError, match=said):
            store.import_database("a.db", file)
        assert store.positions() == before
        assert store.names() == (["a.db"] if exists else [])
        assert not list((store.data_dir / "tmp").glob("*"))
        monkeypatch.setattr(os, "statvfs", lambda path: LITTLE)
    monkeypatch.undo()
    with source.open("rb") as file:
        store.import_database("a.db", file)
    assert_consistent(served, store.require("a.db"))


def test_a_replica_without_room_stays_where_it_is(store: Store, served: Served, tmp_path: Path) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("INSERT INTO t VALUES (1, randomblob(2500000))")
    database = store.require("a.db")
    first, second = (database.ltx_path(*span).read_bytes() for span in database.ltx_files())
    assert len(second) > 1 << 20, "large enough to be spooled"
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([first]))
        before = replica.positions()
        chunks = [second[at : at + 100_000] for at in range(0, len(second), 100_000)]
        calls = 0

        def full(call: str, name: str, fd: int) -> None:
            nonlocal calls
            calls += 1
            if call == "write" and calls >= 3:
                raise OSError(errno.ENOSPC, "No space left on device")

        with watching(replica.data_dir, full), pytest.raises(OSError):
            replica.receive_ltx("a.db", iter(chunks))
        assert replica.positions() == before
        assert not list(replica.data_dir.rglob("*.tmp"))
        replica.receive_ltx("a.db", iter(chunks))
        assert replica.positions() == store.positions()


def test_an_apply_that_fails_is_repeated_and_its_file_never_torn(
    store: Store, served: Served, tmp_path: Path
) -> None:
    """The primary sends the transaction again; the file that recovery may need is not written in place."""
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    db.execute("INSERT INTO t VALUES (1, NULL)")
    database = store.require("a.db")
    first, second = (database.ltx_path(*span).read_bytes() for span in database.ltx_files())
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([first]))

        def fail(call: str, name: str, fd: int) -> None:
            if name.endswith("/database"):
                raise OSError(errno.EIO, "failed by the test")

        with watching(replica.data_dir, fail), pytest.raises(OSError):
            replica.receive_ltx("a.db", iter([second]))
        assert replica.require("a.db").pos.txid == 1
        assert replica.require("a.db").state.applying == 0, "tracepoints name no apply that is over"
        path = replica.require("a.db").ltx_path(2, 2)
        assert path.read_bytes() == second
        torn = []

        def look(call: str, name: str, fd: int) -> None:
            torn.append(path.read_bytes() != second)

        with watching(replica.data_dir, look):
            assert replica.receive_ltx("a.db", iter([second])).pos == database.pos
        assert torn and not any(torn)
        assert replica.positions() == store.positions() != {"a.db": Pos()}
