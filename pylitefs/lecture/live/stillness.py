"""Whether some processes are still: no thread of theirs runs, wants to, or waits for a disk.

A step is over when nothing follows from it any more. On a busy machine silence proves nothing, so the kernel
is asked. Every thread is looked at twice, some milliseconds apart. The processes are still if all threads
were asleep both times and none was woken in between (its count of context switches is the same).

What this does not see: a thread that sleeps and means to go on by itself later. So the looks are further
apart than the pauses that nodes make.
Reference: https://docs.kernel.org/filesystems/proc.html (`/proc/PID/task/TID/status`)
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

APART_S = 0.015

_SLEEPING = frozenset("SIZXT")
_WAITING = frozenset("SIZXTD")

Look = Mapping[tuple[int, str], str]
"""(process, thread) → its counts of context switches."""


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    may_wait: bool = False
    """Its uninterruptible sleep ("D") is no work: it waits for a call into a mount."""


def children(pid: int) -> list[int]:
    """A process's child processes, of all its threads."""
    found: list[int] = []
    try:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def look(processes: Iterable[Process]) -> Look | None:
    """Each thread's counts; None as soon as one is not asleep. A process that is gone has none."""
    found: dict[tuple[int, str], str] = {}
    for process in processes:
        asleep = _WAITING if process.may_wait else _SLEEPING
        try:
            for tid in os.listdir(f"/proc/{process.pid}/task"):
                with open(
                    f"/proc/{process.pid}/task/{tid}/status", encoding="utf-8", errors="replace"
                ) as file:
                    text = file.read()
                state = text.partition("\nState:\t")[2][:1]
                if state not in asleep:
                    return None
                found[process.pid, tid] = text.partition("\nvoluntary_ctxt_switches:")[2]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
