"""A burst goes no faster than replicas that were level follow; with a clock that the test moves."""

import threading
from dataclasses import dataclass

import pytest

from pylitefs.store import pace as module
from pylitefs.store.pace import LEVEL, MOST, QUEUE_S, STUCK_S, WAIT_S, WINDOW_S, Pace

FAR = MOST + 1


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class State:
    name: str = "a.db"
    outruns: bool = False


class Burst:
    """A database whose commits come as the test says."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self.pace, self.clock = pace, clock
        self.state = State()
        self.txid = 0

    def commits(self, count: int, seconds: float = 0.0) -> bool:
        """So many commits, evenly in this time; whether the replica falls behind after the last one."""
        for _ in range(count):
            self.clock.now += seconds / count
            self.txid += 1
            self.pace.committed(self.state, self.txid)
        return self.state.outruns

    def taken(self, replica: object, txid: int) -> None:
        self.pace.taken(replica, "a.db", txid, self.txid)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def burst(clock: Clock) -> Burst:
    return Burst(Pace(), clock)


def test_without_a_replica_nobody_waits(burst: Burst) -> None:
    assert not burst.commits(1000, seconds=1.0)
    assert not burst.pace._paced


def test_who_falls_behind_is_waited_for(burst: Burst) -> None:
    """More than MOST transactions, the oldest of them older than it takes when nothing queues."""
    with burst.pace.following("r"):
        burst.commits(1)
        burst.clock.now += 0.001
        burst.taken("r", 1)
        assert not burst.commits(MOST, seconds=10 * QUEUE_S), "few"
        burst.taken("r", burst.txid)
        assert not burst.commits(FAR), "all of them new"
        burst.taken("r", burst.txid)
        assert burst.commits(FAR, seconds=2 * QUEUE_S + 0.001)
        burst.taken("r", burst.txid)
        assert not burst.commits(1)


def test_a_long_way_is_no_queue(burst: Burst) -> None:
    """A replica 50 ms away has 100 transactions under way, and is not behind."""
    with burst.pace.following("r"):
        burst.commits(1)
        burst.clock.now += 0.05
        burst.taken("r", 1)
        assert not burst.commits(100, seconds=0.05)
        assert burst.commits(10, seconds=2 * QUEUE_S)


def test_what_a_way_takes_is_measured_anew(burst: Burst) -> None:
    """A replica that has moved away is far, and not slow for ever."""
    with burst.pace.following("r"):
        burst.commits(1)
        burst.clock.now += 0.001
        burst.taken("r", 1)
        for _ in range(8):
            burst.commits(FAR, seconds=0.05)
            burst.clock.now += WINDOW_S / 4
            burst.commits(1)
            burst.clock.now += 0.1
            burst.taken("r", burst.txid)
        assert not burst.commits(FAR, seconds=0.05)


def test_who_was_never_level_is_not_waited_for_until_it_is(burst: Burst) -> None:
    with burst.pace.following("r"):
        burst.commits(10 * LEVEL, seconds=0.1)
        burst.taken("r", LEVEL)
        assert not burst.commits(FAR, seconds=0.1)
        burst.taken("r", burst.txid)
        burst.commits(1)
        burst.taken("r", burst.txid)
        assert burst.commits(FAR, seconds=0.1)


def test_who_takes_nothing_is_waited_for_no_more(burst: Burst) -> None:
    """A stopped replica costs the writer a second; the other one goes on being waited for."""
    with burst.pace.following("stopped"), burst.pace.following("other"):
        burst.commits(1)
        burst.taken("stopped", 1)
        burst.taken("other", 1)
        assert burst.commits(FAR, seconds=STUCK_S / 2)
        burst.taken("other", burst.txid)
        assert burst.commits(1), "the slowest one counts"
        burst.clock.now += STUCK_S
        assert not burst.commits(1)
        burst.taken("other", burst.txid)
        assert burst.commits(FAR, seconds=STUCK_S / 2), "the other one"


def test_a_disabled_pace_waits_for_nobody(burst: Burst) -> None:
    burst.pace.enabled = False
    with burst.pace.following("r"):
        burst.taken("r", 0)
        assert not burst.commits(1000, seconds=1.0)


def test_a_wait_ends_once_the_replica_has_followed() -> None:
    """With the real clock: it lasts WAIT_S at most, and not even that where the replica goes on or goes."""
    pace, state = Pace(), State(outruns=True)
    pace.wait(state)
    assert not state.outruns
    ended = threading.Event()
    with pace.following("r"):
        pace.committed(state, 1)
        pace.taken("r", "a.db", 1, 1)

        def write() -> None:
            for txid in range(2, 2 + 3 * FAR):
                pace.committed(state, txid)
            while not ended.is_set():
                pace.wait(state)

        assert WAIT_S < STUCK_S
        thread = threading.Thread(target=write)
        thread.start()
        pace.taken("r", "a.db", 1 + 3 * FAR, 1 + 3 * FAR)
        ended.set()
        thread.join(20)
        assert not thread.is_alive()
    assert not pace._paced
