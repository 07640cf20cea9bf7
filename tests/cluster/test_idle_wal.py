"""Databases in WAL mode that a replica's applier keeps no descriptor of: their clients come and go as the
only ones, make the index, and close as the last, beside the applies that come back to them."""

import os
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from pylitefs.sqlite.locks import SHARED_FIRST, SHARED_SIZE
from tests import forked
from tests.cluster.test_descriptors import child_of
from tests.conftest import ClusterFactory
from tests.mount.applier.support import ROWS, Reader

pytestmark = pytest.mark.fuse

NAMES = [f"{letter}.db" for letter in "abcde"]
KEPT = 4
"""The least that an applier keeps open, so of five databases that change in turn none is open at its turn."""
DMS_BYTE = 128

FIRST_CLIENT = f"""
import fcntl, os, struct, sys
def lock(fd, kind, start, length):
    fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
def say(word):
    print(word, flush=True)
    sys.stdin.readline()
db, shm = (os.open(sys.argv[1] + suffix, os.O_RDWR) for suffix in ("", "-shm"))
lock(db, fcntl.F_RDLCK, {SHARED_FIRST}, {SHARED_SIZE})
lock(shm, fcntl.F_WRLCK, {DMS_BYTE}, 1)
os.ftruncate(shm, 3)
say("alone")
lock(shm, fcntl.F_RDLCK, {DMS_BYTE}, 1)
say("one of many")
"""
"""What SQLite does as a WAL's first client, up to where it would make the index, with a halt in between."""


def limit_applier(node: ClusterNode) -> None:
    """From now on its applier keeps the fewest databases open."""
    resource.prlimit(child_of(node.pid), resource.RLIMIT_NOFILE, (16 * KEPT, 16 * KEPT))


def open_indexes(node: ClusterNode) -> set[str]:
    """The databases whose WAL index the applier has open."""
    found = set()
    folder = Path(f"/proc/{child_of(node.pid)}/fd")
    for name in os.listdir(folder):
        try:
            target = os.readlink(folder / name)
        except FileNotFoundError:
            continue
        if target.endswith("-shm"):
            found.add(Path(target).name.removesuffix("-shm"))
    return found


def connect(node: ClusterNode, name: str, timeout: float = 5.0) -> sqlite3.Connection:
    return sqlite3.connect(node.database(name), timeout=timeout, isolation_level=None)


def bump(cluster: Cluster, name: str) -> None:
    """Every row of a database gets the next number, by a client that is the first and the last."""
    with closing(connect(cluster.primary, name)) as db:
        db.execute("UPDATE t SET v = v + 1, pad = randomblob(1200)")


def switch_mode(cluster: Cluster, name: str) -> None:
    """Take a database to a rollback mode, change it, and take it back."""
    with closing(connect(cluster.primary, name)) as db:
        assert db.execute("PRAGMA journal_mode=delete").fetchone() == ("delete",)
    bump(cluster, name)
    with closing(connect(cluster.primary, name)) as db:
        assert db.execute("PRAGMA journal_mode=wal").fetchone() == ("wal",)


def value(node: ClusterNode, name: str) -> int:
    """The number in every row, as a client sees it that comes and goes."""
    with closing(connect(node, name)) as db:
        low, high = db.execute("SELECT min(v), max(v) FROM t").fetchone()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert low == high
    return int(low)


@pytest.fixture
def cluster(cluster_factory: ClusterFactory) -> Cluster:
    """A primary and a replica with five databases in WAL mode, of which the applier keeps four open."""
    made = cluster_factory(1)
    for name in NAMES:
        with closing(connect(made.primary, name)) as db:
            db.execute("PRAGMA journal_mode=wal")
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, pad BLOB)")
            db.executemany("INSERT INTO t VALUES (?, 0, zeroblob(1200))", [(n,) for n in range(ROWS)])
    (replica,) = made.replicas
    limit_applier(replica)
    close_index(made, NAMES[0])
    return made


def close_index(cluster: Cluster, name: str) -> None:
    """Change the other databases, until the applier has closed this one."""
    (replica,) = cluster.replicas
    cluster.wait_synced()
    for other in NAMES:
        if other != name:
            bump(cluster, other)
    cluster.wait_synced()
    assert wait_until(lambda: name not in open_indexes(replica), 5), open_indexes(replica)


@pytest.fixture
def readers() -> Iterator[list[Reader]]:
    started: list[Reader] = []
    yield started
    for one in started:
        one.kill()


@pytest.mark.parametrize("seconds", [2.0, pytest.param(60.0, marks=pytest.mark.full)])
def test_clients_come_and_go_beside_applies_in_turn(
    cluster: Cluster, readers: list[Reader], seconds: float
) -> None:
    """Each database has a client that is now the first, now the last, two have one that stays: nobody gets an
    error, half a transaction, an older one than before, or a broken database; and all see the newest. Now and
    then a database goes over to a rollback mode and back."""
    (replica,) = cluster.replicas
    options: list[tuple[str, dict[str, object]]] = [(name, {"reconnect": True}) for name in NAMES]
    options += [(NAMES[0], {"reconnect": True}), (NAMES[0], {}), (NAMES[1], {"hold": 0.02})]
    for name, more in options:
        readers.append(Reader(replica.database(name), gap=0.003, check=10, timeout=10.0, **more))
        readers[-1].line()
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        for name in NAMES:
            bump(cluster, name)
        if rounds % 3 == 2:
            switch_mode(cluster, NAMES[rounds % len(NAMES)])
        rounds += 1
        assert len(open_indexes(replica)) <= KEPT + 1
    cluster.wait_synced(20)
    for (name, _), one in zip(options, readers, strict=True):
        newest = value(cluster.primary, name)
        assert newest >= rounds
        assert wait_until(lambda one=one, newest=newest: one.tell("progress")["last"] == newest, 10), name  # type: ignore[misc]
        report = one.stop()
        assert report["errors"] == {} and report["wrong"] == [], (name, report)
    for name in NAMES:
        assert content(replica, name) == content(cluster.primary, name)
    assert "refused on" not in replica.log.read_text()


def content(node: ClusterNode, name: str) -> bytes:
    """The data file of a database whose WAL is empty: its last client on the primary has checkpointed it."""
    folder = node.data / "dbs" / name
    wal = folder / "wal"
    assert not wal.exists() or wal.stat().st_size == 0
    return (folder / "database").read_bytes()


def test_the_first_client_makes_the_index_while_the_applier_comes_back(cluster: Cluster) -> None:
    """An apply waits for a first client that has just emptied the index; then the index is the applier's, and
    clients beside it, and after it, see the newest transaction."""
    (replica,) = cluster.replicas
    name = NAMES[0]
    before = value(replica, name)
    first = forked.python("-c", FIRST_CLIENT, replica.database(name))
    try:
        assert first.stdout.readline() == "alone\n"
        bump(cluster, name)
        time.sleep(0.3)  # This is what is tested: the apply does not take the index from it.
        assert cluster.primary.positions()[name] != replica.positions()[name]
        first.stdin.write("\n")
        first.stdin.flush()
        assert first.stdout.readline() == "one of many\n"
        cluster.wait_synced()
        assert value(replica, name) == before + 1
        bump(cluster, name)
        cluster.wait_synced()
        assert value(replica, name) == before + 2
    finally:
        first.end()
    close_index(cluster, name)
    assert value(replica, name) == before + 2
    assert content(replica, name) == content(cluster.primary, name)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1",
        "INSERT INTO t VALUES (NULL, -1, x'')",
        "PRAGMA journal_mode=delete",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "VACUUM",
    ],
)
def test_what_an_only_client_tries_changes_nothing(cluster: Cluster, statement: str) -> None:
    """It has the database for itself, writes or switches the mode in vain, and closes as the last: its
    removal of the WAL is refused, and the next transaction is applied and seen, also by one that stayed."""
    (replica,) = cluster.replicas
    name = NAMES[0]
    before = value(replica, name)
    files = {path.name for path in (replica.data / "dbs" / name).iterdir()}
    for _ in range(2):
        with closing(connect(replica, name, timeout=0.0)) as db:
            assert db.execute("SELECT max(v) FROM t").fetchone() == (before,)
            try:
                db.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                assert "malformed" not in str(error)
            assert db.execute("SELECT max(v), count(*) FROM t").fetchone() == (before, ROWS)
            assert name not in open_indexes(replica)
    assert value(replica, name) == before
    assert {path.name for path in (replica.data / "dbs" / name).iterdir()} == files
    with closing(connect(replica, name)) as stayed:
        assert stayed.execute("SELECT max(v) FROM t").fetchone() == (before,)
        bump(cluster, name)
        cluster.wait_synced()
        assert stayed.execute("SELECT max(v) FROM t").fetchone() == (before + 1,)
    assert value(replica, name) == before + 1
    assert content(replica, name) == content(cluster.primary, name)
