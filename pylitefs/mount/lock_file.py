"""`DB-lock`: who opens it to write has the database's HALT lock, until the last descriptor is closed.

    open, to write   the lock is taken: this blocks, and fails with EIO if it cannot be had in time
    fsync            it is given back, and whoever asks waits for that; so does `pylitefs run`
    release          it is given back, if it was not; the kernel tells of this after `close` has returned

The rules: on the primary it opens and does nothing. On the ordinary mount `fcntl` locks are the kernel's own,
and nobody here hears of them. LiteFS's clients open the file, lock its byte 72, unlock and close it; so
opening and closing are what counts. With observed locks the byte counts (observed/halt_byte.py).
"""

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from pylitefs.errors import HaltError, PylitefsError
from pylitefs.mount.handles import SpecialHandle, refused
from pylitefs.mount.special_files import SpecialFile
from pylitefs.store.halted import HeldHalt

if TYPE_CHECKING:
    from pylitefs.store.halt_holder import HaltHolder
    from pylitefs.store.store import Store

HALT_BYTE = 72


class Mount(Protocol):
    """What is asked of the mount's operations."""

    store: "Store"
    halts: "HaltHolder | None"
    opening_halts: bool
    interrupted: Callable[[], bool]


def open_special(file: SpecialFile, operations: Mount, *, writing: bool) -> SpecialHandle:
    """A handle of a special file; of `DB-lock`, opened to write, with the HALT lock."""
    if not file.is_lock:
        return SpecialHandle(file)
    handle = LockHandle(file, operations.halts)
    if writing and operations.opening_halts:
        handle.take(operations.store, operations.interrupted)
    return handle


class LockHandle(SpecialHandle):
    """An open `DB-lock`."""

    __slots__ = ("_holder", "held")

    def __init__(self, file: SpecialFile, holder: "HaltHolder | None") -> None:
        super().__init__(file)
        self._holder = holder
        self.held: HeldHalt | None = None

    def take(self, store: "Store", interrupted: Callable[[], bool]) -> None:
        """Have the lock. OSError: EIO, with a log line, if that cannot be; EINTR."""
        database = store.get(self.file.name.database)
        if database is None or store.status.is_primary:
            return
        try:
            if self._holder is None:
                raise HaltError("this mount follows no primary")
            self.held = self._holder.take(database, interrupted)
        except (PylitefsError, OSError) as error:
            if isinstance(error, InterruptedError):
                raise
            remedy = "try again, or write on the primary; .primary names it"
            store.log_refusal(database.name, "the HALT lock", str(error), remedy)
            raise refused(errno.EIO) from error

    def give_back(self) -> None:
        """Have it no longer; returns once the primary knows."""
        held, self.held = self.held, None
        if held is not None and self._holder is not None:
            self._holder.give_back(held)

    def sync(self, datasync: bool) -> None:
        self.give_back()

    def release(self) -> None:
        self.give_back()
