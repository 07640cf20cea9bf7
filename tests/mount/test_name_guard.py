"""What is done to a journal, a WAL or its index by name needs the lock that SQLite has for it."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster
from pylitefs.cluster.nursery import Nursery
from pylitefs.mount import kernel_locks, mountinfo
from pylitefs.mount.kernel_locks import is_write_locked, process_of
from pylitefs.mount.name_guard import NameGuard
from pylitefs.sqlite.locks import RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.store.store import Store
from pylitefs.trace import Tracer
from tests import forked
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
@pytest.mark.parametrize("listed", [True, False])
def test_the_locks_of_sqlite_are_found(
    cluster_factory: ClusterFactory, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    """Of another process, on the mount's device: RESERVED and EXCLUSIVE, and nothing for a reader. The
    kernel's list of all locks leaves one out now and then: SQLite was turned away then."""
    if not listed:
        monkeypatch.setattr(kernel_locks, "all_locks", lambda device: [])
    node = cluster_factory(replicas=0).primary
    path = node.database("a.db")
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
    mount = mountinfo.find(node.mount)
    assert mount
    found = []
    for sql in ("BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "PRAGMA user_version"):
        holder = forked.python("-c", HOLD, path, sql)
        assert holder.stdout.readline() == "held\n"
        ranges = ([(RESERVED_BYTE, 1)], [SHARED], [(RESERVED_BYTE, 1), SHARED])
        found.append([is_write_locked(holder.pid, mount.minor, one) for one in ranges])
        assert not is_write_locked(holder.pid, mount.minor + 1, ranges[-1])
        assert not is_write_locked(os.getpid(), mount.minor, ranges[-1])
        holder.end()
    assert found == [[True, False, True], [True, True, True], [False, False, False]]


#: A client that locks as Go's ncruces does, by open file descriptions: /proc/locks names no process for them.
BY_DESCRIPTION = """
import fcntl, os, struct, sys
path, ranges = sys.argv[1], eval(sys.argv[2])
database = os.open(path, os.O_RDWR)
for first, length in ranges:
    fcntl.fcntl(database, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, first, length, 0))
print("held", flush=True)
for line in sys.stdin:
    try:
        exec(line)
    except OSError as error:
        print(error.strerror, flush=True)
    else:
        print("done", flush=True)
"""


class ByDescription:
    """Such a client, which holds write locks over some ranges; `does` is its answer to a line of Python."""

    def __init__(self, stack: ExitStack, path: Path, *ranges: tuple[int, int]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", BY_DESCRIPTION, str(path), repr(ranges)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(self.process.communicate)
        stack.callback(self.process.kill)
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def does(self, line: str) -> str:
        assert self.process.stdin and self.process.stdout
        print(line, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()


@pytest.mark.fuse
@pytest.mark.parametrize("arguments", [(), ("--observed-locks",)])
def test_who_locks_by_open_file_descriptions_is_not_turned_away(
    tmp_path: Path, nursery: Nursery | None, arguments: tuple[str, ...]
) -> None:
    """A journal as soon as the node is back, a WAL and its index at any time: no refusal and no warning where
    the database is locked for it; and EBUSY where it is not."""
    cluster = Cluster(tmp_path, replicas=0, nursery=nursery)
    node = cluster.primary
    node.arguments = arguments
    path = node.database("a.db")
    with ExitStack() as stack:
        stack.enter_context(cluster)
        sql = "PRAGMA journal_mode = wal; CREATE TABLE t (x)"
        code = f"import os, sqlite3; sqlite3.connect({str(path)!r}).executescript({sql!r}); os._exit(0)"
        subprocess.run([sys.executable, "-c", code], check=True)
        alone = ByDescription(stack, path, (RESERVED_BYTE, 1), SHARED)
        mount = mountinfo.find(node.mount)
        assert mount
        by_the_kernel = not arguments
        assert is_write_locked(alone.process.pid, mount.minor, [SHARED]) is by_the_kernel
        assert is_write_locked(alone.process.pid, mount.minor, [(RESERVED_BYTE, 1)]) is by_the_kernel
        assert not is_write_locked(alone.process.pid, mount.minor, [(RESERVED_BYTE - 1, 1)])
        assert not is_write_locked(alone.process.pid, mount.minor + 1, [SHARED])
        assert not is_write_locked(os.getpid(), mount.minor, [SHARED])
        other = ByDescription(stack, path)
        assert other.does("os.unlink(f'{path}-wal')") == "Device or resource busy"
        refusals = node.log.read_text().count("refused")
        assert refusals == 1
        for suffix in ("-wal", "-shm"):
            assert alone.does(f"os.unlink(f'{{path}}{suffix}')") == "done"
        alone.process.kill()
        other.process.kill()
        node.restart()
        writer = ByDescription(stack, path, (RESERVED_BYTE, 1))
        assert writer.does("journal = os.open(f'{path}-journal', os.O_RDWR | os.O_CREAT)") == "done"
        assert writer.does("os.close(journal); os.unlink(f'{path}-journal')") == "done"
        assert node.log.read_text().count("refused") == refusals


def test_a_thread_belongs_to_its_process() -> None:
    assert process_of(os.getpid()) == os.getpid()
