"""The mount with observed locks: who holds what, and the tracepoints of SQLite's own order."""

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.mount.conftest import Client, Mounted, MountFactory, until
from tests.slack import slack

pytestmark = [pytest.mark.fuse, pytest.mark.parametrize("locks", ["observed"], indirect=True)]

SQL = """
import sqlite3, sys
connections = {}
def connection(name):
    if name not in connections:
        connections[name] = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
    return connections[name]
for line in sys.stdin:
    name, _, sql = line.strip().partition(" ")
    try:
        if sql == "close":
            connections.pop(name).close()
            print("closed")
        else:
            print(connection(name).execute(sql).fetchall())
    except sqlite3.Error as error:
        print(error)
"""

THREADS = """
import sqlite3, sys, threading
def work(number):
    db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
    for turn in range(int(sys.argv[2])):
        db.execute("INSERT INTO t VALUES (?)", (number,))
    db.close()
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
sys.stdin.read()
"""


class Shell:
    """Connections of one process, by name."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.pid = client.process.pid

    def start(self, sql: str, connection: str = "c") -> None:
        self.client.tell(f"{connection} {sql}")

    def answer(self) -> str:
        return self.client.line(20.0)

    def run(self, sql: str, connection: str = "c") -> str:
        self.start(sql, connection)
        return self.answer()


@pytest.fixture
def path(mount: Mounted) -> Path:
    """A database with a row, and nobody connected to it."""
    path = mount.dir / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (0)")
        db.commit()
    return path


@pytest.fixture
def shell(path: Path, client: Callable[..., Client]) -> Callable[[], Shell]:
    """Starts a process with connections to the database."""
    return lambda: Shell(client(SQL, path))


def held(mount: Mounted, database: str = "a.db") -> dict[int, set[str]]:
    """SQLite's names of what each process holds, write locks in capitals as they are, read locks too."""
    found: dict[int, set[str]] = {}
    locks = mount.ask("locks", database=database)["locks"]
    assert isinstance(locks, list)
    for pid, applier, file, names in locks:
        assert not applier and file in ("database", "shm")
        found.setdefault(pid, set()).update(names)
    return found


def events(mount: Mounted) -> list[tuple[str, str, int]]:
    """(acquire, release or busy; lock; process) since the last call."""
    found = mount.ask("lock_events")["events"]
    assert isinstance(found, list)
    return [(name, lock, pid) for name, lock, pid, _ in found]


def test_who_holds_what_in_a_rollback_mode(mount: Mounted, shell: Callable[[], Shell]) -> None:
    reader, writer = shell(), shell()
    reader.run("BEGIN")
    reader.run("SELECT * FROM t")
    writer.run("BEGIN IMMEDIATE")
    assert held(mount) == {reader.pid: {"SHARED"}, writer.pid: {"SHARED", "RESERVED"}}
    reader.run("COMMIT")
    writer.run("COMMIT")
    assert held(mount) == {}
    writer.run("BEGIN EXCLUSIVE")
    assert held(mount) == {writer.pid: {"PENDING", "RESERVED", "EXCLUSIVE"}}
    assert reader.run("SELECT * FROM t") == "database is locked"
    writer.run("close")
    assert reader.run("SELECT * FROM t") == "[(0,)]"


def test_who_holds_what_in_wal_mode(mount: Mounted, shell: Callable[[], Shell]) -> None:
    reader, writer = shell(), shell()
    writer.run("PRAGMA journal_mode=wal")
    writer.run("INSERT INTO t VALUES (1)")
    reader.run("BEGIN")
    reader.run("SELECT * FROM t")
    writer.run("BEGIN IMMEDIATE")
    found = held(mount)
    assert {"SHARED", "DMS", "WRITE"} < found[writer.pid]
    assert {"SHARED", "DMS"} < found[reader.pid] and "WRITE" not in found[reader.pid]
    assert any(name.startswith("READ") for name in found[reader.pid])
    assert reader.run("ROLLBACK") == "[]"
    assert held(mount)[reader.pid] == {"SHARED", "DMS"}


def test_the_tracepoints_of_a_commit_in_delete_mode(mount: Mounted, shell: Callable[[], Shell]) -> None:
    """SQLite's own order, and the journal and the pages between the locks."""
    writer = shell()
    writer.run("SELECT * FROM t")
    mount.ask("trace")
    writer.run("INSERT INTO t VALUES (1)")
    traced = mount.ask("traced")["events"]
    assert isinstance(traced, list)
    locks = iter(events(mount))
    names: list[str] = []
    for traced_name, database, pid in traced:
        assert (database, pid) == ("a.db", writer.pid)
        name = " ".join(next(locks)[:2]) if traced_name.startswith("lock.") else traced_name
        if not names or names[-1] != name:
            names.append(name)
    assert names == [
        "acquire PENDING",
        "acquire SHARED",
        "release PENDING",
        "acquire RESERVED",
        "journal.open",
        "journal.write",
        "acquire PENDING",
        "acquire EXCLUSIVE",
        "journal.write",
        "journal.sync",
        "journal.write",
        "journal.sync",
        "page.write",
        "journal.invalidate",
        "ltx.encode",
        "ltx.commit",
        "pos.advance",
        "acquire SHARED",
        "release PENDING+RESERVED",
        "release SHARED",
    ]


def test_the_tracepoints_of_a_commit_in_wal_mode(mount: Mounted, shell: Callable[[], Shell]) -> None:
    writer = shell()
    writer.run("PRAGMA journal_mode=wal")
    writer.run("INSERT INTO t VALUES (1)")
    mount.ask("trace")
    writer.run("INSERT INTO t VALUES (2)")
    traced = mount.ask("traced")["events"]
    assert isinstance(traced, list)
    order = [name for name, _, _ in traced]
    found = mount.ask("lock_events")["events"]
    assert isinstance(found, list)
    locks = [(name, lock, payload["kind"]) for name, lock, _, payload in found]
    mark = locks[0][1]
    assert mark in {"READ1", "READ2", "READ3", "READ4"}
    assert locks == [
        ("acquire", mark, "write"),  # The read mark is moved to the newest frame …
        ("release", mark, "write"),
        ("acquire", mark, "read"),  # … and the transaction reads up to there.
        ("acquire", "WRITE", "write"),
        ("release", "WRITE", "write"),
        ("release", mark, "read"),
    ]
    middle = order[4:-2]
    assert order == ["lock.acquire", "lock.release", *["lock.acquire"] * 2, *middle, *["lock.release"] * 2]
    assert [name for number, name in enumerate(middle) if middle.index(name) == number] == [
        "wal.frame",
        "wal.commit",
        "ltx.encode",
        "ltx.commit",
        "pos.advance",
    ]


def test_payloads_tell_the_lock_its_file_and_its_owner(mount: Mounted, shell: Callable[[], Shell]) -> None:
    writer = shell()
    mount.ask("trace")
    writer.run("BEGIN IMMEDIATE")
    found = mount.ask("lock_events")["events"]
    assert isinstance(found, list)
    name, lock, pid, payload = found[-1]
    assert (name, lock, pid) == ("acquire", "RESERVED", writer.pid)
    owner = payload.pop("owner")
    assert len(owner) == 16 and int(owner, 16)
    assert payload == {
        "lock": "RESERVED",
        "file": "database",
        "kind": "write",
        "first": 0x40000001,
        "length": 1,
        "applier": False,
    }


def test_a_refused_writer_is_told_of_with_the_holder(mount: Mounted, shell: Callable[[], Shell]) -> None:
    one, two = shell(), shell()
    one.run("BEGIN IMMEDIATE")
    mount.ask("trace")
    assert two.run("BEGIN IMMEDIATE") == "database is locked"
    found = mount.ask("lock_events")["events"]
    assert isinstance(found, list)
    busy = [(lock, pid, payload) for name, lock, pid, payload in found if name == "busy"]
    assert [(lock, pid) for lock, pid, _ in busy] == [("RESERVED", two.pid)]
    assert f"(process {one.pid})" in busy[0][2]["holder"]
    assert held(mount) == {one.pid: {"SHARED", "RESERVED"}}


def test_a_killed_client_s_locks_are_released_at_once(mount: Mounted, shell: Callable[[], Shell]) -> None:
    """Rollback mode and WAL mode; the tracepoints say so."""
    other = shell()
    for mode in ("delete", "wal"):
        other.run(f"PRAGMA journal_mode={mode}")
        other.run("close")
        victim = shell()
        victim.run("BEGIN IMMEDIATE")
        victim.run("INSERT INTO t VALUES (1)")
        if not mount.ask("lock_events")["events"]:
            mount.ask("trace")
        victim.client.process.send_signal(signal.SIGKILL)
        victim.client.process.wait(5)
        assert victim.pid not in held(mount)
        released = "+".join(
            lock for name, lock, pid in events(mount) if (name, pid) == ("release", victim.pid)
        )
        assert ("WRITE" if mode == "wal" else "RESERVED") in released
        assert other.run("INSERT INTO t VALUES (2)") == "[]"
    assert other.run("SELECT x FROM t") == "[(0,), (2,), (2,)]"


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_exclusive_locking_mode_keeps_the_lock(mount: Mounted, shell: Callable[[], Shell], mode: str) -> None:
    one, two = shell(), shell()
    one.run(f"PRAGMA journal_mode={mode}")
    one.run("PRAGMA locking_mode=EXCLUSIVE")
    for number in (1, 2):
        assert one.run(f"INSERT INTO t VALUES ({number})") == "[]"
        assert "EXCLUSIVE" in held(mount)[one.pid]
    assert two.run("SELECT * FROM t") == "database is locked"
    one.run("PRAGMA locking_mode=NORMAL")
    assert one.run("SELECT count(*) FROM t") == "[(3,)]"
    assert held(mount) == {}
    assert two.run("SELECT count(*) FROM t") == "[(3,)]"


def test_two_connections_of_a_process_are_one_owner(mount: Mounted, shell: Callable[[], Shell]) -> None:
    """SQLite keeps them apart by itself, and closes no descriptor while the other has a lock."""
    both, other = shell(), shell()
    both.run("BEGIN IMMEDIATE", "one")
    assert both.run("SELECT * FROM t", "two") == "[(0,)]"
    mount.ask("trace")
    assert both.run("BEGIN IMMEDIATE", "two") == "database is locked"
    assert events(mount) == [], "SQLite knows without asking"
    both.run("close", "two")
    assert held(mount) == {both.pid: {"SHARED", "RESERVED"}}
    assert other.run("INSERT INTO t VALUES (1)") == "database is locked"
    both.run("COMMIT", "one")
    assert other.run("INSERT INTO t VALUES (1)") == "[]"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_threads_and_processes_lose_no_commit(
    mount: Mounted, path: Path, shell: Callable[[], Shell], client: Callable[..., Client], mode: str
) -> None:
    setup = shell()
    setup.run(f"PRAGMA journal_mode={mode}")
    workers = [client(THREADS, path, 15) for _ in range(2)]
    assert [one.line(60) for one in workers] == ["done"] * 2
    assert setup.run("SELECT count(*) FROM t") == "[(91,)]"
    assert setup.run("PRAGMA integrity_check") == "[('ok',)]"


def test_a_held_lock_holds_nobody_else(mount: Mounted, shell: Callable[[], Shell]) -> None:
    """A gate at a writer's lock keeps its own client waiting; others read, and even take locks."""
    writer, reader = shell(), shell()
    mount.ask("gates", names=["lock.acquire"], pids=[writer.pid])
    writer.start("BEGIN IMMEDIATE")
    until(lambda: mount.ask("gated")["held"] == ["lock.acquire"])
    for number in range(3):
        assert reader.run(f"INSERT INTO t VALUES ({number})") in ("[]", "database is locked")
        assert reader.run("SELECT count(*) FROM t").startswith("[(")
    assert writer.pid in held(mount), "the lock was got before it is told"
    mount.ask("opens")
    assert writer.answer() in ("[]", "database is locked")


def test_a_released_lock_is_free_while_the_release_is_held(
    mount: Mounted, shell: Callable[[], Shell]
) -> None:
    writer, other = shell(), shell()
    writer.run("BEGIN IMMEDIATE")
    mount.ask("gates", names=["lock.release"], pids=[writer.pid])
    writer.start("ROLLBACK")
    until(lambda: mount.ask("gated")["held"] == ["lock.release"])
    assert other.run("BEGIN IMMEDIATE") == "[]"
    mount.ask("opens")
    assert writer.answer() == "[]"


def test_a_client_killed_at_a_gate_leaves_no_lock(mount: Mounted, shell: Callable[[], Shell]) -> None:
    """It cannot end before the gate opens, and then its locks go with it."""
    writer, other = shell(), shell()
    mount.ask("gates", names=["lock.acquire"], pids=[writer.pid])
    writer.start("BEGIN IMMEDIATE")
    until(lambda: mount.ask("gated")["held"] == ["lock.acquire"])
    writer.client.process.send_signal(signal.SIGKILL)
    mount.ask("opens")
    writer.client.process.wait(5)
    assert held(mount) == {}
    assert other.run("INSERT INTO t VALUES (1)") == "[]"


def test_the_mount_ends_with_locks_held_and_leaves_no_descriptor(
    mount_factory: MountFactory, client: Callable[..., Client]
) -> None:
    mount = mount_factory()
    shells = [Shell(client(SQL, mount.dir / f"{number}.db")) for number in range(3)]
    for one in shells:
        one.run("CREATE TABLE t (x)")
        one.run("BEGIN IMMEDIATE")
    data = str(mount.data_dir)
    fds = Path(f"/proc/{mount.process.pid}/fd")
    began = time.monotonic()
    mount.ask("stop")
    assert time.monotonic() - began < 2 * slack()
    assert not [fd for fd in fds.iterdir() if os.readlink(fd).startswith(f"{data}/dbs")]
    assert held(mount, "0.db") == {}
