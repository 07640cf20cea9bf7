"""kill -9 of nodes and appliers under load: clients go on, mounts are taken over, all nodes end equal."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.mount.mountinfo import GUARD
from tests.cluster.checks import eventually, txid, wait_txid
from tests.cluster.clients import Clients
from tests.cluster.workload import DB, Workload, assert_saw_nothing_wrong
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

HALF = "a reader could have seen half a transaction"


def applier_of(node: ClusterNode) -> int:
    """The process id of a node's applier; 0 if it has none at the moment."""
    for task in Path(f"/proc/{node.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                if "applier.process" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            except FileNotFoundError:
                pass
    return 0


def kill_applier(node: ClusterNode) -> None:
    eventually(lambda: applier_of(node) > 0, f"an applier of {node.name}")
    os.kill(applier_of(node), signal.SIGKILL)


def kill_both(node: ClusterNode) -> None:
    kill_applier(node)
    node.kill9()


def kill_node(node: ClusterNode) -> None:
    node.kill9()


def mounts_at(path: Path) -> int:
    """How many mounts lie on top of each other there; the guard beneath is none."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return sum(line.split()[4] == str(path) and f" {GUARD} " not in line for line in lines)


KILLS: dict[str, Callable[[ClusterNode], None]] = {
    "node": kill_node,
    "applier": kill_applier,
    "both": kill_both,
}


def go_on(cluster: Cluster, steps: int = 20) -> None:
    """Under load: transactions are made, and arrive."""
    goal = txid(cluster.primary, DB) + steps
    for node in cluster:
        wait_txid(node, DB, goal)


SOME = {
    "delete": [("primary", "node"), ("replica", "both"), ("replica", "applier")],
    "wal": [("replica", "node"), ("primary", "both"), ("primary", "applier")],
}
ALL = [(role, name) for role in ("primary", "replica") for name in KILLS]


@pytest.mark.full  # tests/soak has the same kills in each run.
@pytest.mark.parametrize(
    ("mode", "kills"),
    [
        *((mode, kills) for mode, kills in SOME.items()),
        *(pytest.param(mode, ALL * 3, marks=pytest.mark.timeout(600)) for mode in SOME),
    ],
    ids=["delete", "wal", "delete-all", "wal-all"],
)
def test_kills_under_load(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str, kills: list[tuple[str, str]]
) -> None:
    """Each of node, applier and both, on the primary and on a replica: no client hangs or misses what it
    was told is committed, one mount is on each directory, and what comes after reaches every node."""
    cluster = cluster_factory(replicas=2)
    work = Workload(cluster, clients, seed, mode, writers=2, gap=0.01)
    readers = {node.name: work.read(node, reopen=True) for node in cluster}
    work.write()
    for role, name in work.rng.sample(kills, len(kills)):
        victim = cluster.primary if role == "primary" else cluster.replicas[0]
        print(f"kill -9: {name} of the {role}")
        go_on(cluster)
        KILLS[name](victim)
        restarted = not victim.pid
        if restarted:
            victim.restart()
        for client in (*work.writers, *work.readers):
            client.report()  # ClientHangs if there is no answer
        if restarted:
            # A WAL reader may need nothing but what the kernel has cached of the dead mount.
            readers[victim.name].ask("reconnect")
        assert mounts_at(victim.mount) == 1
    go_on(cluster)
    work.stop()
    work.assert_settles()
    for node in cluster:
        if HALF not in node.log.read_text():
            assert_saw_nothing_wrong(readers[node.name])


@pytest.mark.parametrize(
    ("mode", "times"),
    [
        *((mode, 4) for mode in ("delete", "wal")),
        *(pytest.param(m, 60, marks=pytest.mark.full) for m in ("delete", "truncate", "persist", "wal")),
    ],
)
def test_writers_killed_in_the_middle(
    cluster_factory: ClusterFactory, clients: Clients, seed: int, mode: str, times: int
) -> None:
    """Hot journals, half-written WALs, commits that nobody published: the next writer goes on, and no
    reader anywhere sees anything of it."""
    cluster = cluster_factory(replicas=1)
    work = Workload(cluster, clients, seed, mode, writers=3)
    work.read(cluster.primary, gap=0.005)
    # In WAL mode a replica has shown the commit that SQLite loses with its writer.
    work.read(cluster.replicas[0], gap=0.005, back=int(mode == "wal"))
    work.write()
    for _ in range(times):
        wait_txid(cluster.primary, DB, txid(cluster.primary, DB) + work.rng.randint(1, 12))
        work.replace_writer(work.rng.randrange(3))
    go_on(cluster)
    work.stop()
    work.assert_settles()
    work.assert_saw_nothing_wrong()
