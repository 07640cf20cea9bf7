"""A primary's store, and a replica's that belongs to no cluster yet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.replication.stores import opened


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "replica", cluster=None) as store:
        yield store
