"""A primary's and a replica's store, each with SQLite inside this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from pylitefs.vfs.front import Front
from tests.store.support import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary") as store:
        yield store


@pytest.fixture
def replica_store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica", primary=False) as store:
        yield store


@pytest.fixture
def front(store: Store) -> Iterator[Front]:
    """The primary's."""
    front = Front(store)
    yield front
    front.close()


@pytest.fixture
def replica(replica_store: Store) -> Iterator[Front]:
    front = Front(replica_store)
    yield front
    front.close()
