"""One primary and one replica for each module: what SQLite does there is seen on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery
from tests.sqlite_use.pair import Pair, trouble

OBSERVED_TOO = ("test_threads", "test_unjournaled")
"""What runs in both modes of the mount's locks each time; everything else does with --full."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every scenario with locks that the kernel keeps, and with observed ones."""
    if "pair" in metafunc.fixturenames:
        module = metafunc.module.__name__.rpartition(".")[2]
        marks = [] if module in OBSERVED_TOO else [pytest.mark.full]
        modes = ["kernel", pytest.param("observed", marks=marks)]
        metafunc.parametrize("pair", modes, indirect=True, scope="module")


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None
) -> Iterator[Pair]:
    """Two nodes for the whole module, whose logs at the end hold no trouble that nobody expected."""
    base: Path = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    cluster = Cluster(base, replicas=1, nursery=nursery)
    for node in cluster:
        node.arguments = ("--observed-locks",) if request.param == "observed" else ()
    with cluster:
        yield Pair(cluster)
        found = [line for node in cluster for line in trouble(node)]
    assert not any(is_mounted(node.mount) for node in cluster)
    assert not found, "\n".join(found)
