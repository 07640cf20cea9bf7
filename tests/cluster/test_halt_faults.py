"""Writes on a replica that are cut short: whatever breaks between "sent" and "answered", all nodes end alike.

An acknowledged update is there; one that was not may be there or not, but on every node or on none.
"""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, wait_until
from pylitefs.cluster.nursery import Nursery
from tests.cluster.halting import bump, connect, counted, made, wait_level
from tests.cluster.watched import Watched

pytestmark = [pytest.mark.fuse, pytest.mark.timeout(120)]

SCRIPT = """
import os, sqlite3, sys
fd = os.open(sys.argv[1] + "-lock", os.O_RDWR)
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
sys.stdin.readline()
try:
    db.execute("UPDATE c SET n = n + 1")
    print("done", flush=True)
except sqlite3.Error as error:
    print("failed", error, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def cluster(tmp_path: Path, nursery: Nursery | None) -> Iterator[Cluster]:
    settings = {"lease": {"halt-lock-ttl": "3s"}}
    with Cluster(tmp_path, 1, controlled=True, settings=settings, nursery=nursery) as made_up:
        yield made_up


@contextmanager
def writing(database: Path) -> Iterator["subprocess.Popen[str]"]:
    """A program that has the HALT lock, and updates the counter once it is told to."""
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(database)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield program
    finally:
        program.kill()
        program.wait()
        for stream in (program.stdin, program.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()


def tell(program: "subprocess.Popen[str]") -> None:
    assert program.stdin is not None
    program.stdin.write("go\n")
    program.stdin.flush()


def answer(program: "subprocess.Popen[str]") -> str:
    assert program.stdout is not None
    return program.stdout.readline().split(" ")[0].strip()


def count_everywhere(cluster: Cluster) -> int:
    """Once all nodes are level: the same number on each, in a database that is whole."""
    for node in cluster:
        if not node.pid:
            node.restart()
    wait_level(cluster, "c.db")
    found = set()
    for node in cluster:
        with closing(connect(node.database("c.db"))) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found.add(counted(db))
    assert len(found) == 1, found
    return found.pop()


def can_be_written(cluster: Cluster) -> bool:
    """The primary, once a lock that nobody gave back is over; and the replica follows."""
    number = count_everywhere(cluster)
    with closing(connect(cluster.primary.database("c.db"), timeout=30)) as db:
        assert bump(db) == number + 1
    return count_everywhere(cluster) == number + 1


FEW = [("halt.tx", "primary", "wal"), ("tx.forward", "primary", "delete")]
ALL = product(["tx.forward", "halt.tx"], ["holder", "primary", "both"], ["delete", "wal"])


@pytest.mark.parametrize(
    ("where", "victim", "mode"),
    [pytest.param(*one, marks=[] if one in FEW else [pytest.mark.full]) for one in ALL],
)
def test_a_node_is_killed_between_sent_and_answered(
    cluster: Cluster, mode: str, victim: str, where: str
) -> None:
    """Before the primary has the transaction, and when it has it and has not said so."""
    made(cluster, mode)
    (replica,) = cluster.replicas
    held_node = replica if where == "tx.forward" else cluster.primary
    with writing(replica.database("c.db")) as program:
        watched = Watched(held_node)
        watched.hold(where)
        tell(program)
        watched.wait_held()
        for node in {"holder": [replica], "primary": [cluster.primary], "both": list(cluster)}[victim]:
            node.kill9()
        if held_node.pid:
            watched.hold()
            watched.control.hold(None)
        acknowledged = answer(program) == "done" if victim == "primary" else False
    number = count_everywhere(cluster)
    assert number >= int(acknowledged)
    if where == "halt.tx":
        assert number == 1
    assert can_be_written(cluster)


@pytest.mark.parametrize("mode", ["delete", pytest.param("wal", marks=pytest.mark.full)])
def test_a_lock_that_expires_in_an_open_transaction_commits_nothing(cluster: Cluster, mode: str) -> None:
    """The holder's node slept: by then another has written, and the transaction is on an old state."""
    path = made(cluster, mode)
    (replica,) = cluster.replicas
    lock = os.open(replica.database("c.db-lock"), os.O_RDWR)
    with closing(connect(replica.database("c.db"))) as here, closing(connect(path, timeout=30)) as there:
        here.execute("BEGIN IMMEDIATE")
        here.execute("UPDATE c SET n = 100")
        replica.signal(signal.SIGSTOP)
        try:
            assert bump(there) == 1
        finally:
            replica.signal(signal.SIGCONT)
        with pytest.raises(sqlite3.OperationalError):
            here.execute("COMMIT")
        if here.in_transaction:
            here.execute("ROLLBACK")
    os.close(lock)
    assert wait_until(lambda: count_everywhere(cluster) == 1, 30)
    assert can_be_written(cluster)
