"""A burst of writes goes no faster than the replicas that were level with it can follow.

A writer that waits for no disk can outrun a replica for as long as it likes: what is read there gets older
and older, and in the end the LTX files are gone that the replica needs. So a write waits a little where a
replica falls behind:

    a commit                   committed(): when which TXID came
    a replica has taken it     taken(): how long that took; the slowest one is the floor
    the next write             wait(): while the floor is too far, and too old

The rules: too far is more than MOST transactions, and too old is more than the QUEUE_S beyond what a
transaction takes to that replica and back when nothing queues: a long way is no reason to wait. Who takes
nothing for STUCK_S, or was never level, is waited for no more until it is level. A write waits WAIT_S at
most, at the beginning of the next transaction, so what was committed is answered at once; one that comes
alone never waits. Where a lecture looks nobody does.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

MOST = 20
LEVEL = 128
"""Who lacks no more than this is level."""
QUEUE_S = 0.003
WAIT_S = 0.02
STUCK_S = 1.0
WINDOW_S = 5.0
"""The quickest way to a replica and back is that of this window or of the one before."""
REMEMBERED = 1024
_NEVER = float("inf")


class Writing(Protocol):
    """A database's state, as far as its pace goes."""

    name: str
    outruns: bool


class _Quickest:
    """The least of what was measured of late; infinite if nothing was."""

    def __init__(self) -> None:
        self._since = 0.0
        self._now = self._before = _NEVER

    def note(self, seconds: float, now: float) -> None:
        if now - self._since >= WINDOW_S:
            self._before = self._now if now - self._since < 2 * WINDOW_S else _NEVER
            self._since, self._now = now, _NEVER
        self._now = min(self._now, seconds)

    @property
    def value(self) -> float:
        return min(self._now, self._before)


class _Paced:
    """One database: its commits that somebody may still lack, and how far its replicas are."""

    def __init__(self) -> None:
        self.newest = 0
        self.commits: deque[tuple[int, float]] = deque(maxlen=REMEMBERED)
        """TXID and time of each commit beyond the floor."""
        self.taken: dict[object, int] = {}
        """By replica, of those that are waited for."""
        self.floor = 0
        self.quickest = _Quickest()

    def is_late(self, now: float) -> bool:
        if not self.taken or self.newest - self.floor <= MOST or not self.commits:
            return False
        age = now - self.commits[0][1]
        if age > STUCK_S:
            self.taken = {replica: txid for replica, txid in self.taken.items() if txid > self.floor}
            self.rise(now)
            return False
        return age > self.quickest.value + QUEUE_S

    def rise(self, now: float) -> None:
        """The floor, anew; how long its newest commit took is noted."""
        if not self.taken:
            return
        self.floor = min(self.taken.values())
        came = None
        while self.commits and self.commits[0][0] <= self.floor:
            came = self.commits.popleft()
        if came is not None:
            self.quickest.note(now - came[1], now)


class Pace:
    """Of one node. `committed` and `wait` are the writers'; the rest is the streams', in any thread."""

    def __init__(self) -> None:
        self.enabled = True
        self._changed = threading.Condition()
        self._paced: dict[str, _Paced] = {}
        self._replicas = 0

    def committed(self, state: Writing, txid: int) -> None:
        """A commit; the state's lock is held. Sets `state.outruns`."""
        if not self._replicas or not self.enabled:
            return
        now = time.monotonic()
        with self._changed:
            paced = self._paced.setdefault(state.name, _Paced())
            paced.newest = txid
            paced.commits.append((txid, now))
            state.outruns = paced.is_late(now)

    def wait(self, state: Writing) -> None:
        """Before the next write: wait for who falls behind. Without the state's lock."""
        state.outruns = False
        paced = self._paced.get(state.name)
        end = time.monotonic() + WAIT_S
        with self._changed:
            while paced is not None and (now := time.monotonic()) < end and paced.is_late(now):
                self._changed.wait(end - now)

    @contextmanager
    def following(self, replica: object) -> Iterator[None]:
        """A replica is connected."""
        with self._changed:
            self._replicas += 1
        try:
            yield
        finally:
            self._left(replica)

    def _left(self, replica: object) -> None:
        """It is connected no more, and is waited for by nobody."""
        with self._changed:
            self._replicas -= 1
            for paced in self._paced.values():
                if paced.taken.pop(replica, None) is not None:
                    paced.rise(time.monotonic())
            if not self._replicas:
                self._paced.clear()
            self._changed.notify_all()

    def taken(self, replica: object, name: str, txid: int, newest: int) -> None:
        """The replica has this transaction, and has read it from its connection; `newest` is this node's."""
        with self._changed:
            paced = self._paced.setdefault(name, _Paced())
            paced.newest = max(paced.newest, newest)
            if replica in paced.taken or paced.newest - txid <= LEVEL:
                paced.taken[replica] = txid
                paced.rise(time.monotonic())
                self._changed.notify_all()
