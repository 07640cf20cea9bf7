"""Fixtures of the cluster tests: clients that end before the cluster does, and a seed that is told."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.cluster.clients import Clients
from tests.conftest import ClusterFactory


@pytest.fixture
def clients(cluster_factory: ClusterFactory) -> Iterator[Clients]:
    """Client processes; they end before the cluster stops, whose fixture is named for that reason."""
    del cluster_factory
    made = Clients()
    yield made
    made.discard_all()


@pytest.fixture
def seed() -> int:
    """A random seed, printed with a failure; PYLITEFS_TEST_SEED=N repeats it."""
    number = int(os.environ.get("PYLITEFS_TEST_SEED") or random.randrange(1 << 32))
    print(f"seed: PYLITEFS_TEST_SEED={number}")
    return number
