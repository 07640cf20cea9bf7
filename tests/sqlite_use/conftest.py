"""One primary and one replica for each module: what SQLite does there is seen on both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster import Cluster, is_mounted
from tests.sqlite_use.pair import Pair, trouble


@pytest.fixture(scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes for the whole module, whose logs at the end hold no trouble that nobody expected."""
    base: Path = tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])
    with Cluster(base, replicas=1) as cluster:
        yield Pair(cluster)
        found = [line for node in cluster for line in trouble(node)]
    assert not any(is_mounted(node.mount) for node in cluster)
    assert not found, "\n".join(found)
