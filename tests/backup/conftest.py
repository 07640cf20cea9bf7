"""A primary's store with SQLite on it, and an empty folder for its backup."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "data") as store:
        yield store


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    """SQLite's front end on `store`; connections that a test leaves open do not outlive it."""
    served = Served(store, tmp_path / "mnt")
    yield served
    served.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The backup folder."""
    path = tmp_path / "backup"
    path.mkdir()
    return path
