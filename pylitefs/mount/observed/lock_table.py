"""Who holds which lock on the mount's files, where the mount is told of each one: the owners' table.

    client --F_SETLK--> kernel --FUSE--> ObservedOperations.lock --> LockTable --F_OFD_SETLK--> data file

The rule: the kernel decides every conflict, here as without this table. Each lock owner (a process, or an
open file description of the applier) has one open file description of the data file, and its locks are
taken and given back through that. What the table notes beside it only answers who, and never whether.

No call waits, and none calls into the mount or anything that may: the mount's callbacks ask it while the
kernel holds a directory, and the node's own threads while they hold a database.
"""

import errno
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pylitefs.mount.kernel_locks import F_OFD_GETLK, F_OFD_SETLK, FLOCK, program_of
from pylitefs.sqlite.locks import names_of_locks

LAST_BYTE = (1 << 63) - 1
"""What "to the end of the file" means to the kernel."""


class Span(NamedTuple):
    """A row of lock bytes, both ends included."""

    first: int
    last: int

    @classmethod
    def of(cls, start: int, length: int) -> "Span":
        """From `struct flock`, where a length of 0 means to the end."""
        return cls(start, start + length - 1 if length else LAST_BYTE)

    @property
    def length(self) -> int:
        """As `struct flock` has it."""
        return 0 if self.last == LAST_BYTE else self.last - self.first + 1

    def overlaps(self, other: "Span") -> bool:
        return self.first <= other.last and other.first <= self.last

    def covers(self, other: "Span") -> bool:
        return self.first <= other.first and other.last <= self.last


EVERYTHING = Span(0, LAST_BYTE)


class Held(NamedTuple):
    """A lock that is held."""

    span: Span
    write: bool


class Caller(NamedTuple):
    """Who asks, and for which open file of the mount."""

    owner: int
    """As FUSE names it: one number a process, or an open file description for the applier."""
    pid: int
    applier: bool
    fh: int
    fd: int
    """The handle's descriptor of the data file."""
    database: str
    file: str
    """"database", "shm" …"""


@dataclass(eq=False, slots=True)
class Owner:
    """An owner of locks on one file, and the open file description that has them for it."""

    caller: Caller
    """As it asked when it had nothing."""
    fd: int
    handles: set[int]
    """The open files of the mount through which it asked."""
    held: list[Held] = field(default_factory=list)
    turn: int = 0
    """When it came by its newest lock, counted: who has one for the longest has the lowest."""
    through: dict[int, int] = field(default_factory=dict)
    """By first byte of what is held: the open file through which it was taken last."""

    def note(self, span: Span, write: bool | None, fh: int = 0) -> list[Held]:
        """The kernel has given `span` through `fh` (None: taken it back); what was held of it before."""
        before, after = [], []
        for one in self.held:
            if not one.span.overlaps(span):
                after.append(one)
                continue
            shared = Span(max(one.span.first, span.first), min(one.span.last, span.last))
            before.append(Held(shared, one.write))
            if one.span.first < span.first:
                after.append(Held(Span(one.span.first, span.first - 1), one.write))
            if one.span.last > span.last:
                after.append(Held(Span(span.last + 1, one.span.last), one.write))
                self.through[span.last + 1] = self.through[one.span.first]
        if write is not None:
            after.append(Held(span, write))
            self.through[span.first] = fh
        self.held = sorted(after)
        self.through = {one.span.first: self.through[one.span.first] for one in after}
        return before

    def in_the_way(self, span: Span, write: bool) -> Held | None:
        """A lock of this owner's that keeps another from having `span`."""
        return next((one for one in self.held if one.span.overlaps(span) and (write or one.write)), None)


_Key = tuple[int, int, int, int]


class LockTable:
    """The locks of one mount. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owners: dict[_Key, Owner] = {}
        self._turn = 0

    def try_lock(self, caller: Caller, span: Span, write: bool) -> tuple[Owner, ...] | None:
        """Take a lock, or convert it; None if it was had, else the owners in the way as far as known.

        A refused conversion leaves the lock held before as it was.
        """
        with self._lock:
            owner = self._owner(caller)
            try:
                _set(owner.fd, fcntl.F_WRLCK if write else fcntl.F_RDLCK, span)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                return tuple(one for one in self._others(caller) if one.in_the_way(span, write) is not None)
            if not owner.note(span, write, caller.fh):
                self._turn += 1
                owner.turn = self._turn
        return None

    def unlock(self, caller: Caller, span: Span) -> list[Held]:
        """Give back whatever the owner has of `span`; what that was."""
        with self._lock:
            owner = self._owners.get(_key(caller))
            if owner is None:
                return []
            released = owner.note(span, None)
            if released:
                _set(owner.fd, fcntl.F_UNLCK, span)
        return released

    def find_conflict(self, caller: Caller, span: Span, write: bool) -> tuple[Held, int] | None:
        """A lock that would be in the way and its holder's process (0: unknown); None if there is none."""
        with self._lock:
            owner = self._owners.get(_key(caller))
            kind = fcntl.F_WRLCK if write else fcntl.F_RDLCK
            question = FLOCK.pack(kind, os.SEEK_SET, span.first, span.length, 0)
            # The handle's own description holds no lock, so that everybody's are another's to it.
            found = FLOCK.unpack(fcntl.fcntl(owner.fd if owner else caller.fd, F_OFD_GETLK, question))
            if found[0] == fcntl.F_UNLCK:
                return None
            # Of several owners the first, as the kernel tells it of its own locks.
            holders = [one for one in self._others(caller) if one.in_the_way(span, write) is not None]
            first = min(holders, key=lambda one: one.turn, default=None)
            held = first.in_the_way(span, write) if first else None
        if first is None or held is None:
            return Held(Span.of(found[2], found[3]), found[0] == fcntl.F_WRLCK), 0
        return held, first.caller.pid

    def unlock_through(self, number: int, fh: int) -> list[tuple[Owner, list[Held]]]:
        """An owner gives back what it took through one open file, and keeps what it took through others."""
        released = []
        with self._lock:
            for owner in self._owners.values():
                if owner.caller.owner != number or fh not in owner.handles:
                    continue
                gone = [one for one in owner.held if owner.through[one.span.first] == fh]
                for one in gone:
                    _set(owner.fd, fcntl.F_UNLCK, one.span)
                    owner.note(one.span, None)
                if gone:
                    released.append((owner, gone))
        return released

    def forget_handle(self, fh: int) -> list[tuple[Owner, list[Held]]]:
        """An open file is closed for good: what is left of who asked through it only; what they had held."""
        ended = []
        with self._lock:
            for key, owner in list(self._owners.items()):
                if fh in owner.handles:
                    owner.handles.discard(fh)
                    if not owner.handles:
                        ended.append((owner, owner.note(EVERYTHING, None)))
                        self._end(key)
        return ended

    def is_write_locked(self, pid: int, ranges: Iterable[tuple[int, int]]) -> bool:
        """Whether a process holds a write lock over one of the ranges (first byte, length) of some file."""
        wanted = [Span.of(first, length) for first, length in ranges]
        with self._lock:
            return any(
                held.write and held.span.covers(span)
                for owner in self._owners.values()
                if owner.caller.pid == pid
                for held in owner.held
                for span in wanted
            )

    def holders(self, database: str) -> list[tuple[Caller, list[Held]]]:
        """Who holds what on a database's files."""
        with self._lock:
            return [
                (owner.caller, list(owner.held))
                for owner in self._owners.values()
                if owner.held and owner.caller.database == database
            ]

    def describe(self, database: str) -> str:
        """The clients that hold locks on a database, for people: `python3 (process 4711) holds READ1`.

        Of WAL clients those that read or write: all of them hold SHARED and DMS, and keep nobody waiting.
        """
        clients = [(caller, held) for caller, held in self.holders(database) if not caller.applier]
        in_wal = self._named(clients, "shm")
        found = in_wal or self._named(clients, "database")
        if not found:
            return "this node itself"
        lines = (f"{who} holds {'+'.join(dict.fromkeys(what))}" for who, what in sorted(found.items()))
        return ", ".join(lines)

    @staticmethod
    def _named(clients: list[tuple[Caller, list[Held]]], file: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for caller, held in clients:
            names = [name for one in held for name in names_of(one) if name != "DMS"]
            if caller.file == file and names:
                found.setdefault(program_of(caller.pid), []).extend(names)
        return found

    def close(self) -> None:
        """The mount is gone, and every lock with it."""
        with self._lock:
            for key in list(self._owners):
                self._end(key)

    def _owner(self, caller: Caller) -> Owner:
        owner = self._owners.get(_key(caller))
        if owner is None:
            # Not by name: it may be unlinked by now.
            fd = os.open(f"/proc/self/fd/{caller.fd}", os.O_RDWR | os.O_CLOEXEC)
            owner = self._owners[_key(caller)] = Owner(caller, fd, set())
        elif not owner.held:
            owner.caller = caller  # The kernel gives an owner's number again.
        owner.handles.add(caller.fh)
        return owner

    def _others(self, caller: Caller) -> Iterator[Owner]:
        mine = _key(caller)
        for key, owner in self._owners.items():
            if key[:2] == mine[:2] and key != mine:
                yield owner

    def _end(self, key: _Key) -> None:
        owner = self._owners.pop(key)
        # Unlocked first: a child that is just being started may have the description, too.
        _set(owner.fd, fcntl.F_UNLCK, EVERYTHING)
        os.close(owner.fd)


def names_of(held: Held) -> list[str]:
    """SQLite's names of what is held: SHARED held for writing is EXCLUSIVE."""
    return names_of_locks(held.span.first, held.span.last, write=held.write)


def _key(caller: Caller) -> _Key:
    """The file, and the owner. The applier's descriptions are told apart by their handle, too: the kernel
    may name a new one as it named one whose end is still on its way here."""
    status = os.fstat(caller.fd)
    return status.st_dev, status.st_ino, caller.owner, caller.fh if caller.applier else 0


def _set(fd: int, kind: int, span: Span) -> None:
    fcntl.fcntl(fd, F_OFD_SETLK, FLOCK.pack(kind, os.SEEK_SET, span.first, span.length, 0))
