"""Descriptors of nodes with many databases: idle ones keep none, and the limit is the hard one."""

import os
import resource
import socket
import sqlite3
import sys
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode, wait_until
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

LIMIT = 128


@pytest.fixture(scope="module")
def nursery() -> None:
    """Limits are inherited from who starts a node."""


def children(pid: int) -> set[int]:
    """The child processes of all threads of a process."""
    found: set[int] = set()
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # A thread that has ended has no children.
            found |= {int(child) for child in path.read_text().split()}
    return found


def child_of(pid: int) -> int:
    """A node's only child process: its applier."""
    (child,) = children(pid)
    return child


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def make_databases(node: ClusterNode, count: int, mode: str) -> None:
    """`count` databases of one row each, made one after the other."""
    for number in range(count):
        with closing(sqlite3.connect(node.database(f"db{number:05}"), isolation_level=None)) as db:
            db.execute(f"PRAGMA journal_mode={mode}")
            db.execute("CREATE TABLE t(x)")
            db.execute("INSERT INTO t VALUES (?)", (number,))


def check_databases(cluster: Cluster, count: int) -> None:
    """Every database is on the replica, and can be read and written."""
    (replica,) = cluster.replicas
    for number in range(0, count, 7):
        with closing(sqlite3.connect(cluster.primary.database(f"db{number:05}"), timeout=5)) as db, db:
            db.execute("INSERT INTO t VALUES (?)", (-number,))
    cluster.wait_synced(20)
    for number in range(count):
        with closing(sqlite3.connect(replica.database(f"db{number:05}"), timeout=5)) as db:
            (found,) = db.execute("SELECT max(x) FROM t").fetchone()
        assert found == number
    assert "refused on" not in replica.log.read_text()


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node is started with a hard limit of 128 descriptors."""
    command = ClusterNode.command
    prefix = ["prlimit", f"--nofile={LIMIT}:{LIMIT}"]
    monkeypatch.setattr(ClusterNode, "command", lambda node: [*prefix, *command(node)])


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("mode", ["delete", pytest.param("wal", marks=pytest.mark.full)])
def test_idle_databases_keep_no_descriptor(cluster_factory: ClusterFactory, mode: str) -> None:
    """With 128 descriptors a node serves, and follows, 150 databases, also after a replica's new start."""
    cluster = cluster_factory(1)
    (replica,) = cluster.replicas
    make_databases(cluster.primary, 150, mode)
    cluster.wait_synced(20)
    replica.restart()
    check_databases(cluster, 150)
    for node in cluster:
        for pid in (node.pid, child_of(node.pid)):
            assert wait_until(lambda pid=pid: descriptors(pid) < 80, 5), (node.name, descriptors(pid))  # type: ignore[misc]
        assert "too many open files" not in node.log.read_text().lower()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_thousand_databases(cluster_factory: ClusterFactory) -> None:
    """They come to a replica that joins; no process has more than 200 descriptors or 150 MiB of memory."""
    cluster = cluster_factory(1)
    (replica,) = cluster.replicas
    replica.stop()
    make_databases(cluster.primary, 2000, "wal")
    replica.start()
    assert wait_until(replica.is_ready, 400, every=1.0), "asking for all positions costs it time"
    cluster.wait_synced(60)
    check_databases(cluster, 2000)
    for node in cluster:
        assert len(os.listdir(node.mount)) >= 4000
        for pid in (node.pid, child_of(node.pid)):
            print(f"{node.name}: {descriptors(pid)} descriptors, {resident(pid) >> 20} MiB")
            assert descriptors(pid) < 200  # 141, on a busy replica.
            assert resident(pid) < 150 << 20  # 98: 15 KiB for each database.


def resident(pid: int) -> int:
    """A process's memory in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def soft_limit(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


def test_a_node_takes_what_the_hard_limit_allows(cluster_factory: ClusterFactory) -> None:
    """The soft limit is raised in the node and its applier; a command of `exec` gets the one from before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = (
        f"{sys.executable} -c 'import resource, time; "
        'print("limit", resource.getrlimit(resource.RLIMIT_NOFILE)[0], flush=True); time.sleep(60)\''
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        cluster = cluster_factory(0, settings={"exec": command})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    node = cluster.primary
    assert wait_until(lambda: "limit 256\n" in node.log.read_text(), 10), node.log_tail()
    assert soft_limit(node.pid) == hard
    assert sorted(soft_limit(pid) for pid in children(node.pid)) == sorted([256, hard])


APPLICATION = """
import sqlite3, sys, time
number = 0
while True:
    try:
        db = sqlite3.connect("file:" + sys.argv[1] + "?mode=rw", timeout=5, uri=True)
        db.execute("INSERT INTO t VALUES (1)")
        db.commit()
        db.close()
        number += 1
        print("committed", number, flush=True)
    except sqlite3.Error as error:
        print("failed:", error, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.full
def test_an_application_beside_1050_idle_readers_opens_its_database(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Its node was started with the usual soft limit of 1,024. It is let in, and commits, each time; the
    readers over the bound of connections get 503."""
    script = tmp_path / "application.py"
    script.write_text(APPLICATION)
    mount = tmp_path / "cluster1" / "n1" / "mnt"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    try:
        cluster = cluster_factory(0, settings={"exec": f"{sys.executable} {script} {mount / 'a.db'}"})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    node = cluster.primary
    assert node.mount == mount
    readers: list[socket.socket] = []
    try:
        with closing(sqlite3.connect(node.database("a.db"))) as db:
            db.execute("CREATE TABLE t(x)")
        for _ in range(min(1050, hard - 100)):
            readers.append(socket.create_connection(("127.0.0.1", node.port), timeout=10))
            readers[-1].sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        codes = Counter(one.recv(64).split()[1] for one in readers)
        assert set(codes) == {b"200", b"503"}, codes
        assert codes[b"503"] >= 50
        log = node.log.read_text()
        begun = log.count("committed ")
        assert wait_until(lambda: node.log.read_text().count("committed ") >= begun + 10, 20), node.log_tail()
        assert "failed:" not in node.log.read_text()[len(log) :]
        assert "too many open files" not in node.log.read_text()
    finally:
        for one in readers:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_shortage_is_one_line_with_its_remedy(cluster_factory: ClusterFactory) -> None:
    """Clients that open more than the limit get SQLite's error; the log names the limit once."""
    cluster = cluster_factory(0)
    node = cluster.primary
    make_databases(node, 1, "delete")
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (64, 64))
    fds: list[int] = []
    try:
        refused: list[str] = []

        def is_short() -> bool:
            """More than once: what the node had open for a moment may be closed again."""
            try:
                fds.append(os.open(node.database("db00000"), os.O_RDWR))
            except OSError as error:
                refused.append(str(error.strerror))
            return len(refused) > 1 and httpx.get(f"{node.url}/info", trust_env=False).status_code == 503

        assert wait_until(is_short, 10)
        assert set(refused) == {"Too many open files"} and len(fds) < 80
    finally:
        for fd in fds:
            os.close(fd)
    lines = [line for line in node.log.read_text().splitlines() if "too many open files" in line]
    assert len(lines) == 1
    assert "64 (RLIMIT_NOFILE)" in lines[0] and "ulimit -Hn" in lines[0]
    assert wait_until(lambda: descriptors(node.pid) < 60, 5)
    with closing(sqlite3.connect(node.database("db00000"))) as db, db:
        db.execute("INSERT INTO t VALUES (1)")
