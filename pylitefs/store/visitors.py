"""Who has just opened a replica's database, and the apply that is coming: each waits a moment for the other.

A program that opens a database reads it at once. In a rollback mode an apply that begins in between turns it
away, and a program without a busy timeout says "database is locked". So an open waits, in the mount, for an
apply that is expected or under way; and an apply waits until those who came before it have had time to read.

The rule: both waits are short, and neither can starve the other. An open does not wait for an apply that
takes long (a reader may hold it up for minutes), and applies spend a fifth of the time on waiting, no more.
No open waits for a drop: libfuse does not unlink a name before the opens of it are answered.
"""

import threading
import time
from collections.abc import Callable

OPEN_WAITS_S = 0.1
"""So long after an apply was expected an open waits for its end, no longer."""
FRESH_S = 0.005
"""So long after an open an apply begins, unless the database was closed again before."""
REST = 4
"""After a wait, applies do not wait for so many times its length."""


class Visitors:
    """Those of one database. All calls may come from any thread; only one apply at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition(threading.Lock())
        self._expected: float | None = None
        """When an apply was first expected; None where none is."""
        self._fresh_until = 0.0
        self._rest_until = 0.0

    def come(self) -> None:
        """A client opens the database: wait for an apply that is coming, but not for long."""
        with self._changed:
            while self._expected is not None and (left := self._expected + OPEN_WAITS_S - self._clock()) > 0:
                self._changed.wait(left)
            self._fresh_until = self._clock() + FRESH_S

    def left(self) -> None:
        """The last client has closed the database."""
        with self._changed:
            self._fresh_until = 0.0
            self._changed.notify_all()

    def expect_apply(self) -> None:
        """A transaction has begun to arrive."""
        with self._changed:
            self._expected = self._clock()

    def begin_apply(self) -> None:
        """It is to be applied: wait for those who came just before."""
        with self._changed:
            began = self._clock()
            if began < self._rest_until:
                return
            end = began + FRESH_S
            while (left := min(self._fresh_until, end) - self._clock()) > 0:
                self._changed.wait(left)
            now = self._clock()
            self._rest_until = now + REST * (now - began)

    def end_apply(self) -> None:
        """It is applied, or will not be."""
        with self._changed:
            self._expected = None
            self._changed.notify_all()
