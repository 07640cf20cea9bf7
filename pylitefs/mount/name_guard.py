"""What SQLite does to a journal, a WAL or its index by *name*, is let through only with the lock it needs.

A node may die while a program has a database open, and start again. The program's connection is then one to
the dead mount. Its locks are there, and the kernel still answers some of its calls from a cache. But
whatever it does by name reaches the new mount. Two things go wrong. It is the last one on the dead mount, so
it removes the WAL: the one that others use here. Or it makes a journal here, of pages as they were before,
and the next reader rolls the database back by it.

The rule: a WAL or its index is removed only by who has the database of *this* mount for itself, as SQLite has
then. A journal is looked at in this way for a short time only: until what the kernel had cached of the dead
mount is no longer good. Databases that came after the mount have no such connections.
"""

import errno
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pylitefs.mount.handles import refused
from pylitefs.mount.kernel_locks import is_write_locked, process_of
from pylitefs.sqlite.locks import RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE
from pylitefs.store.files import file_size
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.database import Database
    from pylitefs.store.store import Store

_SHARED = (SHARED_FIRST, SHARED_SIZE)
_RESERVED = (RESERVED_BYTE, 1)


class NameGuard:
    """Of one mount. Before `begin` everything is let through."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._minor = -1
        self._from_before: frozenset[str] = frozenset()
        self._until = 0.0
        self.is_write_locked: Callable[[int, Iterable[tuple[int, int]]], bool] = self._by_the_kernel
        """Whether a process holds a write lock over one of the ranges (first byte, length)."""

    def begin(self, minor: int, attr_timeout: float) -> None:
        """The mount is up, with this device number; attributes are cached for so many seconds."""
        self._until = time.monotonic() + attr_timeout
        self._from_before = frozenset(self._store.names())
        self._minor = minor

    def _by_the_kernel(self, pid: int, ranges: Iterable[tuple[int, int]]) -> bool:
        return is_write_locked(pid, self._minor, ranges)

    def check(self, what: str, database: "Database", kind: FileKind, tid: int) -> None:
        """Raise EBUSY, with a log line, if the thread's process does `what` without the lock for it."""
        if self._minor < 0 or not tid or not self._store.status.is_primary:
            return
        if kind is FileKind.JOURNAL:
            if database.name not in self._from_before or time.monotonic() > self._until:
                return
            needed = [_RESERVED, _SHARED]
        elif kind is FileKind.DATABASE or not file_size(database.path(FileKind.DATABASE)):
            return  # Beside an empty database SQLite removes a WAL that was left without being alone.
        else:
            needed = [_SHARED]
        if not self.is_write_locked(process_of(tid), needed):
            self._store.log_refusal(
                database.name,
                f"{what} {database.name}{kind.suffix}",
                "who asks has not locked the database for it (a connection from before the node started?)",
                "close the connection and open the database again",
            )
            raise refused(errno.EBUSY)
