"""Whether something grows: what a process held early, against what it holds late.

A process fills its caches first, so the first fifth of the time does not count. What is left is halved: the
median of each half is compared. The rule: no more than 5 % more, and of what is counted in ones, one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ALLOWED = 1.05
WARM_UP = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process holds at a moment: KiB of memory of its own, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> "Sample":
        """From /proc. Raises OSError if there is no such process."""
        status = Path(f"/proc/{pid}/status").read_text()
        found = dict(line.split(":", 1) for line in status.splitlines())
        memory, threads = int(found["RssAnon"].split()[0]), int(found["Threads"])
        return cls(memory, len(list(Path(f"/proc/{pid}/fd").iterdir())), threads)


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one quantity: the medians of the two halves."""

    what: str
    early: float
    late: float

    @property
    def is_too_much(self) -> bool:
        one = 0 if self.what == "memory" else 1
        return self.late > max(self.early * ALLOWED, self.early + one)

    def __str__(self) -> str:
        unit = " KiB" if self.what == "memory" else ""
        return f"{self.what} {self.early:,.0f} → {self.late:,.0f}{unit}"


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Of each quantity. Raises ValueError for fewer than ten samples."""
    if len(samples) < 10:
        raise ValueError(f"{len(samples)} samples say nothing about growth")
    warm = samples[int(len(samples) * WARM_UP) :]
    halves = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    found = []
    for what in ("memory", "descriptors", "threads"):
        early, late = (median(getattr(one, what) for one in half) for half in halves)
        found.append(Growth(what, early, late))
    return found
