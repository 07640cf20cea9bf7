"""The HALT byte of `DB-lock`, where the mount is told of locks: byte 72, as LiteFS has it.

F_SETLKW, a write lock    the lock is taken; on the primary nothing is done; ENOLCK if it is held here
F_UNLCK                   it is given back; so does a close by the process that took it, or the last one
F_GETLK                   whether this node has it
F_SETLK, a read lock      ENOSYS; another byte, or more than one, EINVAL
"""

import errno
import fcntl
from typing import TYPE_CHECKING

from pylitefs.mount.handles import refused
from pylitefs.mount.lock_file import HALT_BYTE, LockHandle
from pylitefs.mount.observed.lock_table import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylitefs.mount.operations import FileLock
    from pylitefs.store.store import Store

_HALT = Span(HALT_BYTE, HALT_BYTE)
_NOBODY = -1


class HaltByte:
    """Of one mount."""

    def __init__(self, store: "Store", interrupted: "Callable[[], bool]") -> None:
        self._store = store
        self._interrupted = interrupted
        self._owners: dict[LockHandle, int] = {}

    def lock(self, handle: LockHandle, owner: int, command: int, request: "FileLock") -> None:
        """A client's `fcntl`."""
        if Span.of(request.l_start, request.l_len) != _HALT:
            if request.l_type == fcntl.F_UNLCK:
                return  # Of a process that ends: it has no other.
            raise refused(errno.EINVAL)
        if command == fcntl.F_GETLK:
            database = self._store.get(handle.file.name.database)
            is_held = database is not None and database.state.is_halted
            request.l_type, request.l_pid = (fcntl.F_WRLCK, _NOBODY) if is_held else (fcntl.F_UNLCK, 0)
            return
        if request.l_type == fcntl.F_UNLCK:
            self._owners.pop(handle, None)
            handle.give_back()
            return
        if command != fcntl.F_SETLKW or request.l_type == fcntl.F_RDLCK:
            raise refused(errno.ENOSYS)
        if handle.held is not None:
            raise refused(errno.ENOLCK)
        handle.take(self._store, self._interrupted)
        self._owners[handle] = owner
        request.l_type = fcntl.F_UNLCK  # libfuse is to note nothing, see `ObservedOperations.lock`.

    def flush(self, handle: LockHandle, owner: int) -> None:
        """A process closes a descriptor: what it has locked is given back."""
        if self._owners.get(handle) == owner:
            del self._owners[handle]
            handle.give_back()

    def forget(self, handle: LockHandle) -> None:
        """The last descriptor is closed."""
        self._owners.pop(handle, None)
