"""Readers on a replica beside an apply that never rests: no error, nothing stale, and nobody starves."""

import time

import pytest

from tests.cluster.checks import eventually, txid, wait_level
from tests.cluster.clients import Clients
from tests.cluster.workload import DB, Workload
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

OVERLAP_S = 0.15


@pytest.mark.parametrize(
    ("mode", "writes"),
    [("delete", 30), ("wal", 30), *(pytest.param(m, 100, marks=pytest.mark.full) for m in ("delete", "wal"))],
)
def test_readers_with_a_busy_timeout_never_get_an_error_or_stale_pages(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str, writes: int
) -> None:
    """Plain, with PRAGMA mmap_size, and with a new connection for each read, while transactions arrive."""
    cluster = cluster_factory(replicas=1)
    (replica,) = cluster.replicas
    work = Workload(cluster, clients, seed, mode, writers=2)
    for options in ({}, {"mmap": 1 << 28}, {"fresh": True}):
        work.read(replica, timeout=10.0, gap=0.002, **options)
    work.write(writes)
    work.finish()
    wait_level(cluster, DB)
    work.assert_settles()
    work.assert_saw_nothing_wrong()


@pytest.mark.parametrize(
    ("mode", "seconds"),
    [pytest.param(mode, 20.0, marks=pytest.mark.full) for mode in ("delete", "wal")],
)
def test_readers_that_overlap_without_end_let_the_apply_in(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str, seconds: float
) -> None:
    """Four readers leave no moment without a read transaction, then one holds its own for a while: nobody
    gets an error (after 10 s it would be "locking protocol"), and the transactions arrive."""
    cluster = cluster_factory(replicas=1)
    (replica,) = cluster.replicas
    work = Workload(cluster, clients, seed, mode, writers=1)
    for number in range(4):
        work.read(replica, timeout=10.0, gap=0.0, hold=OVERLAP_S * (1 + number / 4))
    work.write(12)
    work.finish()
    wait_level(cluster, DB, 30.0)
    holder = clients(replica, DB, timeout=10.0)
    holder.sql("BEGIN", "SELECT * FROM total")
    held_since, before = time.monotonic(), txid(replica, DB)
    work.write(8)
    work.finish()
    time.sleep(max(0.0, held_since + seconds - time.monotonic()))  # This is what is tested.
    assert txid(replica, DB) == before, "the read transaction keeps its database"
    holder.sql("SELECT * FROM total", "COMMIT")
    eventually(lambda: txid(replica, DB) > before, "the apply to get in", 10.0)
    wait_level(cluster, DB, 30.0)
    work.assert_settles()
    work.assert_saw_nothing_wrong()
