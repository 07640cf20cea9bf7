"""What a comparison does to its process is undone when the test ends."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def any_processor() -> Iterator[None]:
    """A comparison pins its process."""
    affinity = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, affinity)
