"""Random lives of a cluster on real mounts: nothing acknowledged is lost, all nodes end with the same bytes.

What can happen in one: free pages, cache spills, ROLLBACK, savepoints, VACUUM, incremental vacuum, one
transaction over two databases, every journal mode, exports, imports, retention of less than a second, and
clients, primary and replicas that are killed, stopped, and joined anew at any moment.

PYLITEFS_TEST_SEED=N tests/run -k random_life repeats one that failed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery
from tests.life.world import SETTINGS, Life

pytestmark = pytest.mark.fuse

STEPS = 20
CI, ALL = 4, 200
ONE = os.environ.get("PYLITEFS_TEST_SEED")
SEEDS = [
    pytest.param(seed, id=f"seed{seed}", marks=[] if seed <= CI or ONE else pytest.mark.full)
    for seed in ([int(ONE)] if ONE else range(1, ALL + 1))
]


@pytest.fixture
def life(tmp_path: Path, nursery: Nursery | None, seed: int) -> Iterator[Life]:
    """A primary and one replica, or two; whatever happens, no client, node or mount stays."""
    with Cluster(tmp_path, 1 + seed % 2, controlled=True, settings=SETTINGS, nursery=nursery) as cluster:
        life = Life(cluster, seed)
        try:
            yield life
        finally:
            life.end()
    life.clients.wait_all()
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_life(life: Life, seed: int) -> None:
    """Everything that a seed does to a cluster, and then all of it agrees."""
    print(f"to repeat it: PYLITEFS_TEST_SEED={seed} tests/run -k random_life")
    try:
        life.live(STEPS)
    except BaseException:
        for node in life.cluster:
            print(f"{node.name}'s log:\n{node.log_tail(25)}")
        raise
