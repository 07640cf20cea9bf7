"""What SQLite and its locks ask of the machine besides files: the time, a sleep, chance, a wait.

The rule: bridge.py and locks.py ask nobody else for these. So whoever hands in another `Outside` decides them
all, and the same program then makes the same bytes.
"""

import os
import threading
import time


class Outside:
    """This machine's own."""

    def monotonic(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def unix_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """SQLite's busy handler sleeps between two tries."""
        time.sleep(seconds)

    def random(self, size: int) -> bytes:
        """The seed of SQLite's own generator."""
        return os.urandom(size)

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """Wait for a notification, not longer than that. The condition's lock is held."""
        changed.wait(seconds)
