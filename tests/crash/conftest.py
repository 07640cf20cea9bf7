"""One cluster for all crashes: its nodes are killed and started again many times."""

from collections.abc import Iterator

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Cluster]:
    """A primary and two replicas, each with a control channel."""
    settings = {"lease": {"reconnect-delay": "100ms"}}
    base = tmp_path_factory.mktemp("crash")
    with Cluster(base, replicas=2, controlled=True, settings=settings, nursery=nursery) as cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)
