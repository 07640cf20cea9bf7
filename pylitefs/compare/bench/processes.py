"""What a node's processes take, as the kernel tells it."""

import os
from contextlib import suppress
from pathlib import Path


def memory(pid: int) -> float:
    """MiB of a node's processes that are its own (proportional share of what is shared)."""
    return sum(_pss(one) for one in tree(pid)) / 1024


def processor_time(pid: int) -> float:
    """Seconds that a node's processes have computed so far, for themselves and in the kernel."""
    ticks = 0
    for one in tree(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    below = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # A thread that has ended has no children.
            below += [int(child) for child in path.read_text().split()]
    return [pid, *(one for child in below for one in tree(child))]


def _pss(pid: int) -> int:
    """KiB; 0 for the guard that runs a program, which is not the program's own."""
    try:
        if b"pylitefs.compare.guard" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return 0
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0
