"""`strict-verify` on a real node: no trouble while all is well, and the end of the node when it is not."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from pylitefs.cluster.cluster import ClusterNode
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse


def write(node: ClusterNode, mode: str, rows: int) -> None:
    with closing(sqlite3.connect(node.database("a.db"), timeout=10)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)")
        for _ in range(rows):
            with db:
                db.execute("INSERT INTO t (x) VALUES (randomblob(5000))")


def test_writes_in_every_mode_and_then_a_byte_that_somebody_changed(
    cluster_factory: ClusterFactory, eventually: Callable[..., None]
) -> None:
    cluster = cluster_factory(replicas=1, settings={"strict-verify": True})
    for mode in ("delete", "wal", "persist"):
        write(cluster.primary, mode, 15)
        cluster.wait_synced()
    assert cluster.primary.pid and cluster.replicas[0].pid
    victim = cluster.replicas[0]
    with open(victim.data / "dbs" / "a.db" / "database", "r+b") as file:
        at = 4 * 4096 - 1  # Of a row that nobody writes any more.
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)
    write(cluster.primary, "persist", 1)
    eventually(lambda: not victim.pid, "the replica to end")
    assert victim.wait() == 1 and "strict-verify: a.db is at" in victim.log.read_text()
    assert cluster.primary.pid
