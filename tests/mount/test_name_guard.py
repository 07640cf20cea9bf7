"""What is done to a journal, a WAL or its index by name needs the lock that SQLite has for it."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.mount import mountinfo
from pylitefs.mount.kernel_locks import is_write_locked, process_of
from pylitefs.mount.name_guard import NameGuard
from pylitefs.sqlite.locks import RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer
from tests.conftest import ClusterFactory

SHARED = (SHARED_FIRST, SHARED_SIZE)
HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


def make_store(data_dir: Path, *names: str) -> Store:
    """A primary's store that knows these databases, each with a page of zeros."""
    store = Store(data_dir, tracer=Tracer(), status=Status(is_primary=True))
    for name in names:
        database = store.create(name)
        database.dir.mkdir(parents=True)
        database.path(FileKind.DATABASE).write_bytes(bytes(512))
    return store


def is_refused(guard: NameGuard, store: Store, name: str, kind: FileKind) -> bool:
    """Whether this process, which has locked nothing, is turned away."""
    try:
        guard.check("removing", store.create(name), kind, os.getpid())
    except OSError as error:
        assert error.errno == errno.EBUSY
        return True
    return False


def test_wal_and_index_are_removed_by_whom_the_database_is_locked_alone(tmp_path: Path) -> None:
    """At any time; but beside an empty database, where SQLite removes what was left."""
    store = make_store(tmp_path, "a.db")
    guard = NameGuard(store)
    assert not is_refused(guard, store, "a.db", FileKind.WAL), "the mount is not up"
    guard.begin(1 << 20, 0.0)
    assert is_refused(guard, store, "a.db", FileKind.WAL)
    assert is_refused(guard, store, "a.db", FileKind.SHM)
    assert not is_refused(guard, store, "a.db", FileKind.DATABASE)
    store.create("a.db").path(FileKind.DATABASE).write_bytes(b"")
    assert not is_refused(guard, store, "a.db", FileKind.WAL)


def test_journals_are_looked_at_while_older_connections_can_get_so_far(tmp_path: Path) -> None:
    """For as long as attributes are cached, and of databases that such a connection can have open."""
    store = make_store(tmp_path, "a.db")
    guard = NameGuard(store)
    guard.begin(1 << 20, 60.0)
    make_store(tmp_path, "new.db")
    assert is_refused(guard, store, "a.db", FileKind.JOURNAL)
    assert not is_refused(guard, store, "new.db", FileKind.JOURNAL)
    guard.begin(1 << 20, 0.0)
    assert not is_refused(guard, store, "a.db", FileKind.JOURNAL)


def test_a_replica_refuses_in_its_own_words(tmp_path: Path) -> None:
    store = make_store(tmp_path, "a.db")
    guard = NameGuard(store)
    guard.begin(1 << 20, 60.0)
    store.status.is_primary = False
    assert not is_refused(guard, store, "a.db", FileKind.WAL)


@pytest.mark.fuse
def test_the_locks_of_sqlite_are_found(cluster_factory: ClusterFactory) -> None:
    """Of another process, on the mount's device: RESERVED and EXCLUSIVE, and nothing for a reader."""
    node = cluster_factory(replicas=0).primary
    path = node.database("a.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    mount = mountinfo.find(node.mount)
    assert mount
    found = []
    for sql in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "PRAGMA user_version"):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), sql], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout and holder.stdin
        assert holder.stdout.readline() == b"held\n"
        ranges = ([(RESERVED_BYTE, 1)], [SHARED], [(RESERVED_BYTE, 1), SHARED])
        found.append([is_write_locked(holder.pid, mount.minor, one) for one in ranges])
        assert not is_write_locked(holder.pid, mount.minor + 1, ranges[-1])
        assert not is_write_locked(os.getpid(), mount.minor, ranges[-1])
        holder.stdin.close()
        holder.wait(10)
        holder.stdout.close()
    assert found == [[True, False, True], [True, True, True], [False, False, False]]


def test_a_thread_belongs_to_its_process() -> None:
    assert process_of(os.getpid()) == os.getpid()
