"""The time of a history: it stands in for the module `time`, and passes when somebody says so.

The rule: nothing waits. Who sleeps moves the clock, so a wait with a deadline ends at once.
"""

import time


class Clock:
    """What `time` is to the node's modules."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.passed_ns = 0
        self.booted_ns = 0
        """When the machine of the node that is starting was last switched on, on this clock."""

    _MONOTONIC_NS = 5_000_000_000_000
    _WALL_NS = 1_800_000_000_000_000_000

    def sleep(self, seconds: float) -> None:
        self.passed_ns += max(0, round(seconds * 1e9))

    def monotonic_ns(self) -> int:
        return self._MONOTONIC_NS + self.passed_ns

    def monotonic(self) -> float:
        return self.monotonic_ns() / 1e9

    def time_ns(self) -> int:
        return self._WALL_NS + self.passed_ns

    def time(self) -> float:
        return self.time_ns() / 1e9

    def clock_gettime(self, clock: int) -> float:
        """CLOCK_BOOTTIME: since the machine was switched on, and a second."""
        assert clock == self.CLOCK_BOOTTIME
        return (self.passed_ns - self.booted_ns) / 1e9 + 1e-6

    def perf_counter(self) -> float:
        return self.monotonic()
