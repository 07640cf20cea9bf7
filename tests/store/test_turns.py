"""Waiting for one's turn with a database: in order, with an end, and told."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pylitefs.errors import BusyError
from pylitefs.store import turns
from pylitefs.store.turns import Patience, Turns
from tests.slack import slack


@contextmanager
def taken(lock: Turns, what: str) -> Iterator[None]:
    with lock.held_for(Patience(what, 5.0)):
        yield


def test_a_wait_ends_with_its_seconds_and_names_who_is_in_the_way() -> None:
    """The error says who waited, how long, and for whom; the lock is had again afterwards."""
    lock = Turns("a.db")
    started = time.monotonic()
    with (
        taken(lock, "an export"),
        pytest.raises(
            BusyError, match=r"a\.db is locked: an export is under way \(an import waited 0\.2 s\)"
        ),
        lock.held_for(Patience("an import", 0.2)),
    ):
        pass
    assert time.monotonic() - started < 2 * slack()
    with taken(lock, "an import"):
        pass


def test_a_wait_ends_when_nobody_wants_the_work_any_more() -> None:
    """`give_up`, in another thread."""
    lock = Turns("a.db")
    patience = Patience("an export", 60.0)
    with taken(lock, "an import"):
        threading.Timer(0.1, patience.give_up).start()
        started = time.monotonic()
        with pytest.raises(BusyError, match="gone"), lock.held_for(patience):
            pass
        assert time.monotonic() - started < 2 * slack()


def test_who_asked_first_comes_first() -> None:
    """Also before one that has just had it, and asks at once again."""
    lock = Turns("a.db")
    order: list[int] = []

    def work(number: int) -> None:
        with taken(lock, f"work {number}"):
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    with taken(lock, "the first"):
        for number, thread in enumerate(threads):
            thread.start()
            while len(lock._waiting) <= number:
                time.sleep(0.001)
    work(5)
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3, 4, 5]


def test_a_long_wait_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, with who waits and who has it."""
    monkeypatch.setattr(turns, "TELL_S", 0.1)
    lock = Turns("a.db")
    with taken(lock, "an export"), pytest.raises(BusyError), lock.held_for(Patience("an import", 0.4)):
        pass
    (record,) = caplog.records
    assert record.getMessage().startswith("a.db: an import has been waiting for 0.")
    assert record.getMessage().endswith(" s: an export is under way")
