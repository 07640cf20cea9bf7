"""Lectures whose nodes are forked from the tests' own nursery."""

import pytest

from pylitefs.lecture.live import director
from tests import forked


class LentNursery:
    """A nursery that outlives the lecture. A lecture in a process of its own begins and ends its own."""

    def __init__(self) -> None:
        self.launch = forked.shared().launch

    def close(self) -> None:
        """Others go on with it."""


@pytest.fixture(autouse=True)
def _lent_nursery(monkeypatch: pytest.MonkeyPatch) -> None:
    """To load all modules again for each lecture would be most of its processor time."""
    monkeypatch.setattr(director, "Nursery", LentNursery)
