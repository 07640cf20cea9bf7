"""SQLite's locks on one database file, where all who lock it are in this process.

    SHARED     reads. Any number at once
    RESERVED   is going to write; readers come and go
    PENDING    waits for the readers to leave; nobody new gets SHARED
    EXCLUSIVE  writes the file; it is alone

On a mount the kernel keeps these as byte ranges (sqlite/locks.py). A process cannot lock itself out that way,
so here they are a table: who has which level. The rules are SQLite's own (os_unix.c): RESERVED and more are
one holder's at a time, and who asks is told at once. Only the applier waits, and who meets it as it writes.

The applier is not to starve, nor to starve the readers. It shuts the gate (PENDING) for a moment, then opens
it for longer, and again. https://www.sqlite.org/lockingv3.html
"""

import threading
from collections.abc import Callable
from enum import IntEnum

from pylitefs.vfs.outside import Outside

GATED_S = 0.025
"""The applier keeps new readers out for so long,"""
OPEN_S = 0.100
"""and then lets them in for so long."""
APPLY_S = 0.100
"""Who meets the applier at work waits so long for it, before it is told that the database is locked."""


class Level(IntEnum):
    """As SQLite numbers them."""

    NONE = 0
    SHARED = 1
    RESERVED = 2
    PENDING = 3
    EXCLUSIVE = 4


class FileLocks:
    """Who has which lock on one file. A holder is whatever object stands for it. Any thread may call."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._changed = threading.Condition()
        self._levels: dict[object, Level] = {}
        self._applier: object | None = None
        self._pins = 0
        self.generation = 0
        """Counts what changed the file behind its connections' backs."""

    def level(self, holder: object) -> Level:
        return self._levels.get(holder, Level.NONE)

    @property
    def is_reserved(self) -> bool:
        """Whether anyone is going to write, or writes."""
        return any(level > Level.SHARED for level in self._levels.values())

    @property
    def is_written(self) -> bool:
        """Whether anyone may be in the middle of writing the file."""
        return any(level == Level.EXCLUSIVE for level in self._levels.values())

    # -- what SQLite asks ---------------------------------------------------------------------------------

    def lock(self, holder: object, level: Level) -> bool:
        """Raise a holder's lock; False if another's is in the way (PENDING may have been reached)."""
        with self._changed:
            if self._applier is not None and holder is not self._applier:
                self._wait(lambda: self._applier is None, APPLY_S)
            return self._raise(holder, level)

    def _raise(self, holder: object, level: Level) -> bool:
        if self.level(holder) >= level:
            return True
        others = [one for who, one in self._levels.items() if who is not holder]
        if level == Level.SHARED:
            granted = all(one < Level.PENDING for one in others)
        else:
            granted = all(one <= Level.SHARED for one in others)
            if granted and level == Level.EXCLUSIVE and others:
                # Who comes from SHARED is about to roll a journal back, and keeps nobody out meanwhile.
                if self.level(holder) == Level.RESERVED:
                    self._levels[holder] = Level.PENDING
                return False
        if granted:
            self._levels[holder] = level
        return granted

    def unlock(self, holder: object, level: Level = Level.NONE) -> None:
        """Lower a holder's lock, to SHARED or to nothing."""
        with self._changed:
            if self.level(holder) > level:
                if level == Level.NONE:
                    del self._levels[holder]
                else:
                    self._levels[holder] = level
                self._changed.notify_all()

    # -- what the applier asks ----------------------------------------------------------------------------

    def wait_for(self, holder: object, level: Level, seconds: float | None) -> bool:
        """Have a lock once it is free; False, with nothing held, if it is not within `seconds`.

        For EXCLUSIVE the gate is shut and opened meanwhile. A holder that had a lock keeps it.
        """
        before = self.level(holder)
        started = self._outside.monotonic()
        with self._changed:
            while not self._try(holder, level, before, started):
                left = None if seconds is None else started + seconds - self._outside.monotonic()
                if left is not None and left <= 0:
                    self._back_to(holder, before)
                    return False
                self._outside.wait(self._changed, min(GATED_S if left is None else left, GATED_S))
            return True

    def _try(self, holder: object, level: Level, before: Level, started: float) -> bool:
        if self._raise(holder, level):
            if level == Level.EXCLUSIVE:
                self._applier = holder
            return True
        shut = (self._outside.monotonic() - started) % (GATED_S + OPEN_S) < GATED_S
        if not shut:
            self._back_to(holder, before)
        elif level == Level.EXCLUSIVE and self._raise(holder, Level.RESERVED):
            self._raise(holder, level)
        return False

    def _back_to(self, holder: object, level: Level) -> None:
        if self.level(holder) != level:
            self._levels[holder] = level
            if level == Level.NONE:
                del self._levels[holder]
            self._changed.notify_all()

    def end_apply(self, holder: object, level: Level = Level.NONE) -> None:
        """The applier has written: whoever waits comes in, and looks at its cached pages anew."""
        with self._changed:
            self.generation += 1
            self._applier = None
            self._back_to(holder, level)
            self._changed.notify_all()

    def forget_pages(self) -> None:
        """Every connection is to read the file anew."""
        self.generation += 1

    # -- a copy of a database that one connection has for itself --------------------------------------------

    def pin(self) -> None:
        """From now on no page of a WAL goes into the database file, and no WAL begins anew."""
        with self._changed:
            self._pins += 1

    def unpin(self) -> None:
        with self._changed:
            self._pins -= 1
            self._changed.notify_all()

    def wait_unpinned(self) -> None:
        """Before such a write: wait for the copy to come to its end."""
        if self._pins:
            with self._changed:
                while self._pins:
                    self._outside.wait(self._changed, 1.0)

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        end = self._outside.monotonic() + seconds
        while not done() and (left := end - self._outside.monotonic()) > 0:
            self._outside.wait(self._changed, left)


class LockTable:
    """The locks of one node's databases, by name. Another file under the name has others."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._lock = threading.Lock()
        self._files: dict[str, FileLocks] = {}

    def of(self, database: str) -> FileLocks:
        """Those of the file that has the name now."""
        with self._lock:
            if database not in self._files:
                self._files[database] = FileLocks(self._outside)
            return self._files[database]

    def removed(self, database: str) -> None:
        """The name leads to another file from now on; who has the old one open keeps its locks."""
        with self._lock:
            self._files.pop(database, None)

    def forget_pages(self) -> None:
        """Every connection is to read its database anew."""
        with self._lock:
            for locks in self._files.values():
                locks.forget_pages()
