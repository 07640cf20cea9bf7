"""A store that tells what happens in it, and SQLite on it without a mount."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store.store import Store
from tests.lecture.told import Told
from tests.store.serving import Served
from tests.store.support import opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "data", compress=False) as store:
        yield store


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    served = Served(store, tmp_path / "mnt")
    yield served
    served.close()


@pytest.fixture
def told(store: Store) -> Told:
    told = Told()
    told.listen(store, "n1")
    return told
