"""What a node is just now, and how far behind: counted on its own clock, whatever the primary's shows."""

import threading
import time

import pytest

from pylitefs.store import status as status_module
from pylitefs.store.status import (
    LAG_NEVER_SYNCED,
    Status,
    lease_clock,
    monotonic_ms,
    now_ms,
    pass_lease_time,
)


def test_lag_counts_from_what_was_heard_last() -> None:
    status = Status()
    assert status.lag_ms() == LAG_NEVER_SYNCED
    status.heard_ms = 1000
    assert status.lag_ms(now=1250) == 250
    assert status.lag_ms(now=900) == 0, "clocks may differ"
    assert status.lag_ms(now=10**15) == LAG_NEVER_SYNCED
    status.is_primary = True
    assert status.lag_ms() == 0


HOUR = 3_600_000


@pytest.mark.parametrize("skew", [-HOUR, 0, HOUR])
def test_two_clocks_that_differ_are_no_lag(skew: int) -> None:
    """What counts is the time since the last heartbeat, on our own clock."""
    status = Status()
    ours = monotonic_ms()
    theirs = now_ms() - skew
    status.heartbeat(theirs - 10_000, ours - 10_000 + 30)  # Half a round trip, and once a queue of 2 s.
    status.heartbeat(theirs - 9_000, ours - 7_000)
    assert 8_950 < status.lag_ms() < 9_500, "a heartbeat that waited in the queue is an old one"
    status.heartbeat(theirs, ours + 20)
    assert status.lag_ms() < 500
    assert status.skew_ms is not None and abs(status.skew_ms - skew) < 500
    status.heartbeat(theirs - 5_000, ours - 5_000)
    status.heard_ms = theirs - 30_000
    assert 29_900 < status.lag_ms() < 30_500, "and with a dead primary it grows"


def test_a_primary_s_clock_that_is_set_is_followed() -> None:
    """Back or forward by an hour: from the next heartbeat on the lag is right again."""
    for step in (-HOUR, HOUR):
        status, ours, theirs = Status(), monotonic_ms(), now_ms()
        status.heartbeat(theirs - 1_000, ours - 1_000)
        status.heartbeat(theirs + step, ours)
        assert status.lag_ms() < 500


def test_clocks_that_drift_apart_do_not_become_a_lag() -> None:
    """100 ppm over ten days are 86 s; and the smallest difference that ever was does not hold for ever."""
    status, ours, theirs = Status(), monotonic_ms(), now_ms()
    for minute in range(-14_400, 1):
        status.heartbeat(round(theirs + minute * 60_000 * 0.9999), ours + minute * 60_000)
    assert status.lag_ms() < 500


def test_what_the_primary_s_clock_shows_is_ours_until_it_is_heard() -> None:
    status = Status()
    assert abs(status.primary_now_ms() - now_ms()) < 5_000 and status.skew_ms is None
    status.heartbeat(now_ms() + HOUR, monotonic_ms())
    assert abs(status.primary_now_ms() - now_ms() - HOUR) < 5_000
    assert status.skew_ms is not None and abs(status.skew_ms + HOUR) < 5_000
    status.is_primary = True
    assert status.skew_ms is None, "a primary is compared with nobody"


def test_a_primary_whose_time_is_over_is_none() -> None:
    """By the clock alone: nothing has to be called, so a node that was stopped for a while cannot miss it."""
    status = Status()
    status.lead(lease_clock() + 0.05)
    assert status.is_primary and status.has_lease and status.lag_ms() == 0
    deadline = lease_clock() + 5
    while status.is_primary:
        assert lease_clock() < deadline
    assert not status.has_lease and status.wal_is_shut
    status.is_primary = True
    assert status.has_lease, "a static lease has no end"
    status.follow()
    assert not status.is_primary


def test_who_writes_during_a_handoff_waits_for_its_end() -> None:
    """And then may write, or not, by what has become of it. The lease is still this node's meanwhile."""
    for stays in (True, False):
        status = Status(is_primary=True)
        status.changing = True
        assert status.has_lease and not status.is_primary
        answers: list[bool] = []
        writer = threading.Thread(
            target=lambda told, one: told.append(one.may_write()), args=(answers, status)
        )
        writer.start()
        if not stays:
            status.follow()
        assert not answers
        status.changing = False
        writer.join(10)
        assert answers == [stays]


def test_in_a_lecture_the_lease_s_clock_stands_still_until_time_is_let_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who watches it is told; and a primary whose time is over then is none."""
    monkeypatch.setattr(status_module, "_stands_at", None)
    monkeypatch.setattr(status_module, "_watching", [])
    looked: list[float] = []
    status_module.watch_lease_time(lambda: looked.append(lease_clock()))
    pass_lease_time(0)
    begin = lease_clock()
    status = Status()
    status.lead(begin + 10)
    time.sleep(0.01)
    assert lease_clock() == begin and status.is_primary
    pass_lease_time(9.5)
    assert status.is_primary
    pass_lease_time(1)
    assert looked == [begin, begin + 9.5, begin + 10.5] and not status.is_primary
