"""1,000 random transactions by three writers in each journal mode, with a replica killed on the way."""

import random

import pytest

from pylitefs.cluster import Cluster
from tests.cluster.clients import (
    Client,
    Clients,
    assert_all_equal,
    assert_history_adds_up,
    assert_saw_nothing_wrong,
    eventually,
    txid,
    wait_level,
    wait_txid,
)
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

DB = "bank.db"
WRITERS = 3
KILLS = 5


def start_bank(
    cluster: Cluster, clients: Clients, rng: random.Random, mode: str, page_size: int = 0
) -> list[Client]:
    """An empty bank in the mode, and its writers, waiting for orders."""
    size = page_size or rng.choice((512, 1024, 4096, 4096, 8192, 65536))
    auto_vacuum = rng.choice((0, 0, 1, 2))
    print(f"page_size={size} auto_vacuum={auto_vacuum}")
    maker = clients(cluster.primary, DB)
    maker.ask("make", mode=mode, page_size=size, auto_vacuum=auto_vacuum, writers=WRITERS)
    maker.close()
    writers = [
        clients(cluster.primary, DB, "writer", number=n, seed=rng.random(), timeout=20.0)
        for n in range(WRITERS)
    ]
    wait_level(cluster, DB)
    return writers


def random_transactions(
    cluster: Cluster, clients: Clients, seed: int, mode: str, transactions: int
) -> None:
    """Writers, a reader on each node, kills of one replica; then everything must be equal."""
    rng = random.Random(seed)
    writers = start_bank(cluster, clients, rng, mode)
    killed, steady = cluster.replicas
    reader = {"timeout": 20.0, "gap": 0.02}
    at_primary = clients(cluster.primary, DB, "reader", **reader)
    at_steady = clients(steady, DB, "reader", **reader)
    at_killed = clients(killed, DB, "reader", reopen=True, open="rw", **reader)
    for one in (at_primary, at_steady, at_killed):
        one.run()
    share = transactions // WRITERS // (KILLS + 1) + 1
    for _ in range(KILLS):
        begin = txid(cluster.primary, DB)
        for writer in writers:
            writer.run(count=share)
        wait_txid(cluster.primary, DB, begin + rng.randint(1, share * WRITERS // 2))
        killed.kill9()
        killed.restart()
        finish(writers)
    for writer in writers:
        writer.run(count=share)
    finish(writers)
    assert_all_equal(cluster, DB, clients)
    for node in cluster:
        assert_history_adds_up(node, DB)
    assert_saw_nothing_wrong(at_primary, at_steady)
    assert_saw_nothing_wrong(at_killed, errors=True)
    seqs = {n: writer.report()["seq"] for n, writer in enumerate(writers)}
    for node in cluster:
        rows = clients(node, DB).sql("SELECT writer, seq FROM total ORDER BY writer")
        assert dict(rows) == seqs, node.name


def finish(writers: list[Client], seconds: float = 60.0) -> None:
    """Wait until the writers have done what they were told."""

    def done() -> bool:
        reports = [writer.report() for writer in writers]
        assert not any(report["errors"] for report in reports), reports
        return not any(report["running"] for report in reports)

    eventually(done, "the writers to finish", seconds)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
def test_nodes_stay_equal_and_readers_see_whole_transactions(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str
) -> None:
    """Whatever three writers do, all nodes end with the same bytes, and no reader sees half of anything."""
    random_transactions(cluster_factory(replicas=2), clients, seed, mode, 1000)
