"""SQLite's locks, taken from outside SQLite: open-file-description locks in its bytes and order.

The rule: one `LockFile`, that is one open file description, for each holder. The kernel tells holders
apart by it: a lock asked for through the same description converts the one it has there, and the end of
one description leaves the locks of every other alone. (The ordinary `fcntl` locks, which SQLite itself
uses, belong to a process; so they would all be one holder, and closing any descriptor would end them.)

    database file   PENDING | RESERVED | SHARED ... (510 bytes)            one row of bytes, at 1 GiB
    -shm            WRITE | CKPT | RECOVER | READ0 ... READ4 | DMS         one row of bytes, from 120

Both rows are without gaps, so "all of it or nothing" is a single call of the kernel.
Formats: https://www.sqlite.org/lockingv3.html and https://www.sqlite.org/walformat.html#wal_locks
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Iterable
from typing import NamedTuple

from pylitefs.mount.kernel_locks import (
    F_OFD_GETLK,
    F_OFD_SETLK,
    FLOCK,
    KernelLock,
    all_locks,
    description_locks,
    processes_with,
    program_of,
)
from pylitefs.sqlite.locks import (
    PENDING_BYTE,
    RESERVED_BYTE,
    SHARED_FIRST,
    SHARED_SIZE,
    WAL_CKPT_LOCK,
    WAL_DMS_LOCK,
    WAL_READ_LOCK0,
    WAL_READ_LOCK4,
    WAL_WRITE_LOCK,
    lock_name,
)

CLOSING = threading.Lock()
"""Held while SQLite itself is at work in this process: closing any descriptor of a file would end SQLite's
ordinary locks on it, since those belong to the process."""


class Range(NamedTuple):
    """A row of lock bytes."""

    start: int
    length: int


PENDING = Range(PENDING_BYTE, 1)
RESERVED = Range(RESERVED_BYTE, 1)
SHARED = Range(SHARED_FIRST, SHARED_SIZE)
DATABASE_LOCKS = Range(PENDING_BYTE, 2 + SHARED_SIZE)
"""PENDING, RESERVED and SHARED: what a writer of the database file holds exclusively."""

WRITE = Range(WAL_WRITE_LOCK, 1)
CKPT = Range(WAL_CKPT_LOCK, 1)
WAL_WRITERS = Range(WAL_WRITE_LOCK, 3)
"""WRITE, CKPT and RECOVER."""
WAL_READERS = Range(WAL_READ_LOCK0, 5)
"""READ0 to READ4."""
READ4 = Range(WAL_READ_LOCK4, 1)
WAL_LOCKS = Range(WAL_WRITE_LOCK, 8)
"""WAL_WRITERS and WAL_READERS."""
WAL_LOCKS_BUT_WRITE = Range(WAL_WRITE_LOCK + 1, 7)
DMS = Range(WAL_DMS_LOCK, 1)


class LockFile:
    """One open file description, and the locks it holds. Closing it releases them."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def try_lock(self, what: Range, *, exclusive: bool) -> bool:
        """Take (or convert to) a lock without waiting; False if another holder is in the way.

        A refused conversion leaves the lock held before as it was. OSError if the mount is gone.
        """
        kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
        try:
            fcntl.fcntl(self.fd, F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, what.start, what.length, 0))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def first_holder(self, what: Range) -> int | None:
        """The process that has had a lock in `what` for the longest; None if nobody has one, -1 for a lock
        that belongs to no process. Takes no lock itself."""
        question = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, what.start, what.length, 0)
        kind, _, _, _, pid = FLOCK.unpack(fcntl.fcntl(self.fd, F_OFD_GETLK, question))[:5]
        return None if kind == fcntl.F_UNLCK else int(pid)

    def is_held_exclusively(self, what: Range) -> bool:
        """Whether another holder has exclusively what a reader would want. Takes no lock itself."""
        question = FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, what.start, what.length, 0)
        answer = fcntl.fcntl(self.fd, F_OFD_GETLK, question)
        return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

    def unlock(self, what: Range) -> None:
        fcntl.fcntl(self.fd, F_OFD_SETLK, FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, what.start, what.length, 0))

    def try_shared(self) -> bool:
        """SQLite's way to a SHARED lock: not past a writer that waits with PENDING."""
        if not self.try_lock(PENDING, exclusive=False):
            return False
        try:
            return self.try_lock(SHARED, exclusive=False)
        finally:
            self.unlock(PENDING)

    def close(self) -> None:
        """Close the descriptor; a mount that is gone cannot be told, and needs not be."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            with CLOSING, contextlib.suppress(OSError):
                os.close(fd)


UNKNOWN_HOLDER = "a holder that is not in /proc/locks (another PID namespace?)"
"""What is said where the kernel's list does not tell; with observed locks the node knows, and says it."""

OF_ANOTHER_USER = "another user's process, by an open file description"


class Place(NamedTuple):
    """Where a lock that is in the way could lie."""

    device: int
    inode: int
    what: Range


def describe_holders(places: Iterable[Place], own: str = "") -> str:
    """Who holds locks in these places, for people: `python3 (process 4711) holds SHARED`.

    The applier's own locks are left out, but for those that it holds for a work of its own: `own` says for
    what, "" that there is none.
    """
    try:
        locks = all_locks()
    except OSError:
        return "a holder that cannot be told without /proc/locks"
    wanted = [(f"{os.major(p.device):02x}:{os.minor(p.device):02x}:{p.inode}", p.what) for p in places]
    mine = description_locks(os.getpid())
    found: dict[str, list[str]] = {}
    for lock in locks:
        names = [
            lock_name(byte)
            for place, what in dict.fromkeys(wanted)
            if place == lock.file
            for byte in range(max(lock.start, what.start), min(lock.end, what.start + what.length - 1) + 1)
        ]
        if not names:
            continue
        if lock in mine:
            mine.remove(lock)
            if own:
                found.setdefault(own, []).extend(names)
        else:
            for who in _holders(lock):
                found.setdefault(who, []).extend(names)
    if not found:
        return f"{UNKNOWN_HOLDER}, or {own}" if own else UNKNOWN_HOLDER
    return ", ".join(f"{who} holds {'+'.join(dict.fromkeys(names))}" for who, names in sorted(found.items()))


def _holders(lock: KernelLock) -> list[str]:
    """A client's processes."""
    if lock.of_process:
        return [program_of(lock.pid)]
    found = [program_of(pid) for pid in processes_with(lock) if pid != os.getpid()]
    # Root sees every process: there the lock has just gone.
    return found or [OF_ANOTHER_USER] * (os.geteuid() != 0)
