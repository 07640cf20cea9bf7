"""A primary's store, and SQLite on it without a mount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory."""
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    with opened(data) as store:
        yield store


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    """SQLite's front end on `store`; connections that a test leaves open do not outlive it."""
    served = Served(store, tmp_path / "mnt")
    yield served
    served.close()
