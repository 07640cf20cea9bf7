"""One primary and one replica for the module's libraries, and where their packages go."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("pair"), replicas=1, nursery=nursery) as cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.fixture(scope="module")
def writable_pair(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Cluster]:
    """The same, with a replica whose WAL opens for writing, as in LiteFS."""
    base, settings = tmp_path_factory.mktemp("writable"), {"fuse": {"replica-wal": "writable"}}
    with Cluster(base, replicas=1, settings=settings, nursery=nursery) as cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where libraries are installed; PYLITEFS_CLIENTS names a folder that is kept for the next time."""
    kept = os.environ.get("PYLITEFS_CLIENTS")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("packages")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
