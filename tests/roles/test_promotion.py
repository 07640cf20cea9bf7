"""A node that is to be the primary from its start."""

import threading

import pytest

from pylitefs.http.turnover import TurnoverError
from pylitefs.roles import promotion
from pylitefs.roles.promotion import promote_at_start
from pylitefs.store.status import Status


class Asks:
    """Asks for the lease, and has it if `given`."""

    def __init__(self, status: Status, given: bool, error: str = "") -> None:
        self.status, self.given, self.error = status, given, error
        self.asked = 0

    def promote(self) -> None:
        self.asked += 1
        if self.error:
            raise TurnoverError(self.error)
        self.status.is_primary = self.given


def run(status: Status, asks: Asks, ended: bool = False) -> list[str]:
    """What it failed by."""
    status.promoting = True
    over, failed = threading.Event(), list[str]()
    if ended:
        over.set()
    promote_at_start(status, asks, over, lambda error: failed.append(str(error)))
    assert not status.promoting
    return failed


def test_it_asks_once_it_has_caught_up() -> None:
    """And not where it is the primary already, nor after the node has ended."""
    status = Status(candidate=True, ready=True)
    asks = Asks(status, given=True)
    assert run(status, asks) == [] and asks.asked == 1
    assert run(status, asks) == [] and asks.asked == 1
    waiting = Status(candidate=True)
    assert run(waiting, asks, ended=True) == [] and asks.asked == 1


def test_the_start_fails_where_the_lease_is_not_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal at once, and a handoff without end after a while."""
    status = Status(candidate=True, ready=True)
    assert run(status, Asks(status, given=False, error="handoff failed")) == ["handoff failed"]
    monkeypatch.setattr(promotion, "PROMOTE_S", 0.05)
    (said,) = run(status, Asks(status, given=False))
    assert said.startswith("lease.promote: this node is not the primary")
