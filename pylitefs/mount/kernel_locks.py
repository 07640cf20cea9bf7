"""The kernel's locks: how one open file description asks for them, and what /proc tells of everybody's.

The rule: nothing here calls into the mount, so it may be asked within a callback, where the kernel holds
the directory. `/proc/locks` is for rare calls: it lists every lock of the machine. It is read in pieces, and
leaves out a lock now and then while others come and go: it says what is there, and never that nothing is.
An ordinary lock is a process's. An open file description's lock (OFDLCK: the applier's, and those of clients
such as Go's ncruces) has no process there. Both are told, whole, by the process's own `/proc/PID/fdinfo`.
Formats: https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html (Python has no names for these)
and https://man7.org/linux/man-pages/man5/proc_locks.5.html
"""

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

F_OFD_GETLK = 36
F_OFD_SETLK = 37
FLOCK = struct.Struct("hhqqi4x")
"""struct flock: l_type, l_whence, l_start, l_len, l_pid (which must be 0 in these calls)."""

_TO_THE_END = (1 << 63) - 1
_IN_FDINFO = "lock:"


class KernelLock(NamedTuple):
    """One lock on a file."""

    of_process: bool
    """Not an open file description's."""
    write: bool
    pid: int
    """-1 for an open file description's."""
    file: str
    """Device and inode, as `00:2d:3`."""
    start: int
    end: int

    def covers(self, first: int, length: int) -> bool:
        return self.start <= first and self.end >= first + length - 1


def parse(line: str) -> KernelLock | None:
    """A line of /proc/locks; None for one that waits, or for another kind of lock."""
    # 1: POSIX  ADVISORY  WRITE 4711 00:2d:3 1073741826 1073742335
    fields = line.split()
    if len(fields) != 8 or fields[1] not in {"POSIX", "OFDLCK"}:
        return None
    end = _TO_THE_END if fields[7] == "EOF" else int(fields[7])
    return KernelLock(
        fields[1] == "POSIX", fields[3] == "WRITE", int(fields[4]), fields[5], int(fields[6]), end
    )


def all_locks(device: str = "") -> list[KernelLock]:
    """Every lock of the machine, or of a device, as `00:2d:`; now and then without one. Raises OSError."""
    with open("/proc/locks", encoding="ascii") as file:
        return [lock for line in file if device in line and (lock := parse(line)) is not None]


def locks_of(pid: int) -> list[KernelLock]:
    """A process's locks, and those of its open file descriptions: a lock may be told by several descriptors.

    Raises OSError: it is gone, or not ours to see.
    """
    found = []
    folder = f"/proc/{pid}/fdinfo"
    for name in os.listdir(folder):
        with suppress(FileNotFoundError), open(f"{folder}/{name}", encoding="ascii") as file:
            lines = (line.removeprefix(_IN_FDINFO) for line in file if line.startswith(_IN_FDINFO))
            found += [lock for line in lines if (lock := parse(line)) is not None]
    return found


def description_locks(pid: int) -> list[KernelLock]:
    """Those of a process's open file descriptions. Raises OSError as `locks_of`."""
    return [lock for lock in locks_of(pid) if not lock.of_process]


def processes_with(lock: KernelLock) -> Iterator[int]:
    """The processes that have the open file description of this lock, as far as they are told."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(OSError):
                if lock in description_locks(int(name)):
                    yield int(name)


def is_write_locked(pid: int, minor: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a process holds a write lock over one of the ranges (first byte, length) of some file of the
    mount with this device number. True also where it cannot be told."""
    wanted = list(ranges)
    device = f"00:{minor:02x}:"

    def is_one(lock: KernelLock) -> bool:
        on_mount = lock.write and lock.file.startswith(device)
        return on_mount and any(lock.covers(first, length) for first, length in wanted)

    try:
        # The list first, for a process may have many descriptors.
        listed = any(lock.of_process and lock.pid == pid and is_one(lock) for lock in all_locks(device))
        return listed or any(map(is_one, locks_of(pid)))
    except OSError:
        return True


def process_of(tid: int) -> int:
    """The process that a thread belongs to: FUSE names the calling thread. The thread's id if it is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Tgid:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return tid


def program_of(pid: int) -> str:
    """A process for people: `python3 (process 4711)`."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return f"{file.read().strip()} (process {pid})"
    except OSError:
        return f"process {pid}"
