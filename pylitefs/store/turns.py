"""Who works on a database now, who waits for it, and for how long.

The rule: nobody waits without an end. Who waits brings a `Patience`: it ends after its seconds, or as soon as
whoever wanted the work is gone. After a second one log line says who waits, and for whom.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from pylitefs.errors import BusyError

log = logging.getLogger("pylitefs")

TELL_S = 1.0
"""Who has waited so long is named in the log, with who is in the way."""
LOOK_S = 0.05
"""Who waits looks so often whether it is to give up."""


class Patience:
    """How long one piece of work waits, over all that it waits for. `what` names it: `an export`."""

    def __init__(self, what: str, seconds: float) -> None:
        self.what = what
        self._started = time.monotonic()
        self._end = self._started + seconds
        self._given_up = False
        self._told = False

    @property
    def left(self) -> float:
        """Seconds; 0.0 when they are over."""
        return 0.0 if self._given_up else max(0.0, self._end - time.monotonic())

    def give_up(self) -> None:
        """Nobody wants the work any more: its wait ends. In any thread."""
        self._given_up = True

    def blocked(self, database: str, why: str) -> None:
        """Something is in the way just now. Raises BusyError if there is no patience left."""
        waited = time.monotonic() - self._started
        if self._given_up:
            raise BusyError(f"{self.what} of {database} was given up: who asked for it is gone")
        if not self.left:
            raise BusyError(f"{database} is locked: {why} ({self.what} waited {waited:.1f} s)")
        if waited >= TELL_S and not self._told:
            self._told = True
            log.warning("%s: %s has been waiting for %.1f s: %s", database, self.what, waited, why)


class Turns:
    """A lock on one database's content. Who asked first comes first, and who has it is named."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._waiting: deque[Patience] = deque()
        self._holder = ""

    @contextmanager
    def held_for(self, patience: Patience) -> Iterator[None]:
        """Wait for one's turn, and have it. BusyError if it does not come in time."""
        self._take(patience)
        try:
            yield
        finally:
            with self._changed:
                self._holder = ""
                self._changed.notify_all()

    def _take(self, patience: Patience) -> None:
        with self._changed:
            self._waiting.append(patience)
            try:
                while self._holder or self._waiting[0] is not patience:
                    who = self._holder or self._waiting[0].what
                    patience.blocked(self._database, f"{who} is under way")
                    self._changed.wait(min(LOOK_S, patience.left))
                self._holder = patience.what
            finally:
                self._waiting.remove(patience)
                self._changed.notify_all()
