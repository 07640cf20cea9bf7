"""Fixtures of the cluster tests: clients that end before the cluster does, and a seed that is told."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery
from tests.cluster.clients import Clients
from tests.cluster.leased import Leased


@pytest.fixture
def made(tmp_path: Path, nursery: Nursery | None) -> Iterator[Callable[..., Leased]]:
    """Makes a leased cluster that runs until the test's end."""
    yield from Leased.fixture(tmp_path, nursery)


@pytest.fixture
def clients(request: pytest.FixtureRequest) -> Iterator[Clients]:
    """Client processes; they end before the test's cluster does, whose fixture is asked for first."""
    for maker in {"cluster_factory", "made"}.intersection(request.fixturenames):
        request.getfixturevalue(maker)
    made = Clients()
    yield made
    made.discard_all()


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Cluster]:
    """One cluster for a module's tests, each with a database of its own; its nodes can be held at gates."""
    base = tmp_path_factory.mktemp("shared")
    with Cluster(base, replicas=2, controlled=True, nursery=nursery) as cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """A database name for this test alone."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:80] + ".db"


@pytest.fixture
def seed() -> int:
    """A random seed, printed with a failure; PYLITEFS_TEST_SEED=N repeats it."""
    number = int(os.environ.get("PYLITEFS_TEST_SEED") or random.randrange(1 << 32))
    print(f"seed: PYLITEFS_TEST_SEED={number}")
    return number
