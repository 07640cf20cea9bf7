"""Random transactions by three writers in each journal mode, with a replica killed on the way."""

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.cluster.checks import txid, wait_txid
from tests.cluster.clients import Clients
from tests.cluster.workload import DB, Workload
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

MODES = ["delete", "truncate", "persist", "wal"]
KILLS = 5


def random_transactions(
    cluster: Cluster, clients: Clients, seed: int, mode: str, *, transactions: int, page_size: int = 0
) -> None:
    """Writers, a reader on each node, kills of one replica; then everything must be equal."""
    killed, steady = cluster.replicas
    work = Workload(cluster, clients, seed, mode, page_size=page_size)
    work.read(cluster.primary)
    work.read(steady)
    at_killed = work.read(killed, reopen=True)
    share = transactions // len(work.writers) // (KILLS + 1) + 1
    for _ in range(KILLS):
        begin = txid(cluster.primary, DB)
        work.write(share)
        wait_txid(cluster.primary, DB, begin + work.rng.randint(1, share * len(work.writers) // 2))
        killed.kill9()
        killed.restart()
        # Opened again: a WAL reader may need nothing but what the kernel has cached of the dead mount.
        at_killed.ask("reconnect")
        work.finish()
    work.write(share)
    work.finish()
    work.assert_settles()
    work.assert_saw_nothing_wrong()


@pytest.mark.parametrize(
    ("mode", "transactions"),
    [("delete", 80), ("wal", 80), *(pytest.param(mode, 1000, marks=pytest.mark.full) for mode in MODES)],
)
def test_nodes_stay_equal_and_readers_see_whole_transactions(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str, transactions: int
) -> None:
    """Whatever three writers do, all nodes end with the same bytes, and no reader sees half of anything."""
    random_transactions(cluster_factory(replicas=2), clients, seed, mode, transactions=transactions)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_many_more_transactions(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str
) -> None:
    """The same with ten times as many."""
    random_transactions(cluster_factory(replicas=2), clients, seed, mode, transactions=10_000)


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_pages_of_64_kib(cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str) -> None:
    """The same with the largest pages that there are."""
    cluster = cluster_factory(replicas=2)
    random_transactions(cluster, clients, seed, mode, transactions=1000, page_size=65536)
