"""One cluster for all crashes: its nodes are killed and started again many times."""

from collections.abc import Iterator

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A primary and two replicas, each with a control channel."""
    settings = {"lease": {"reconnect-delay": "100ms"}}
    with Cluster(tmp_path_factory.mktemp("crash"), replicas=2, controlled=True, settings=settings) as cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)
