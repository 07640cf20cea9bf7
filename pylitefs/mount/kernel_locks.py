"""The kernel's locks: how one open file description asks for them, and what /proc tells of everybody's.

The rule: nothing here calls into the mount, so it may be asked within a callback, where the kernel holds
the directory. `/proc/locks` is for rare calls: it lists every lock of the machine.
Formats: https://man7.org/linux/man-pages/man2/F_OFD_SETLK.2const.html (Python has no names for these)
and https://man7.org/linux/man-pages/man5/proc_locks.5.html
"""

import struct
from collections.abc import Iterable

F_OFD_GETLK = 36
F_OFD_SETLK = 37
FLOCK = struct.Struct("hhqqi4x")
"""struct flock: l_type, l_whence, l_start, l_len, l_pid (which must be 0 in these calls)."""


def is_write_locked(pid: int, minor: int, ranges: Iterable[tuple[int, int]]) -> bool:
    """Whether a process holds a write lock over one of the ranges (first byte, length) of some file of the
    mount with this device number. True also where it cannot be told."""
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.readlines()
    except OSError:
        return True
    wanted = list(ranges)
    for line in lines:
        # 1: POSIX  ADVISORY  WRITE 4711 00:2d:3 1073741826 1073742335
        fields = line.split()
        if len(fields) != 8 or fields[1:2] + fields[3:5] != ["POSIX", "WRITE", str(pid)]:
            continue
        if fields[5].startswith(f"00:{minor:02x}:"):
            start, end = int(fields[6]), (1 << 63) if fields[7] == "EOF" else int(fields[7])
            if any(start <= first and end >= first + length - 1 for first, length in wanted):
                return True
    return False


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
