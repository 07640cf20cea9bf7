"""What Windows and macOS lack of the calls to files and of the clocks.

The rule: `os` is the one door through which the store goes to the disk. Whoever replaces `os.fdatasync` (a
test, a simulator) sees every sync. So what a system lacks is put into `os` (`complete`), and the store is
written once. Linux lacks nothing, and nothing is touched there.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from types import ModuleType

BINARY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""For each `os.open` of a data file: Windows turns line ends around otherwise."""

MOVES_OPEN_FILES = hasattr(os, "O_DIRECTORY")
"""Whether a file that is open can be renamed or removed: not on Windows."""


def complete(system: ModuleType = os) -> None:
    """Put in what is missing. Two reads of one descriptor share its position there, so they take turns."""
    turn = threading.Lock()

    def pread(fd: int, size: int, offset: int, /) -> bytes:
        with turn:
            system.lseek(fd, offset, os.SEEK_SET)
            data: bytes = system.read(fd, size)
            return data

    def pwrite(fd: int, data: bytes, offset: int, /) -> int:
        with turn:
            system.lseek(fd, offset, os.SEEK_SET)
            written: int = system.write(fd, data)
            return written

    def pwritev(fd: int, pieces: Sequence[bytes], offset: int, /) -> int:
        written: int = system.pwrite(fd, b"".join(pieces), offset)
        return written

    def posix_fadvise(fd: int, offset: int, length: int, advice: int, /) -> None:
        """It is advice: nothing hangs on it."""

    missing: dict[str, object] = {
        "pread": pread,
        "pwrite": pwrite,
        "pwritev": pwritev,
        "fdatasync": system.fsync,
        "posix_fadvise": posix_fadvise,
        "POSIX_FADV_DONTNEED": 4,
        "O_ACCMODE": os.O_RDONLY | os.O_WRONLY | os.O_RDWR,
    }
    for name, value in missing.items():
        if not hasattr(system, name):
            setattr(system, name, value)


def awake_clock() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    if clock is None and sys.platform == "darwin":
        clock = time.CLOCK_MONOTONIC  # There it goes on, and the one of `time.monotonic` does not.
    return time.monotonic() if clock is None else time.clock_gettime(clock)
