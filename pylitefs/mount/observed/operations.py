"""The mount with observed locks: a `lock` callback for each `fcntl`, so that one can see who locks what.

    SQLite --fcntl--> kernel --> lock() --> LockTable --> the kernel, on the file in the data directory
                                   `--> lock.acquire, lock.release, lock.busy

A mode for lectures, and for whatever needs to see locks. It costs a callback for each lock. All else is as
on the ordinary mount, conflicts too, with one exception: a reader that meets an apply waits for it, up to
100 ms, and only then is it told that the database is locked.

The rules: a tracepoint comes after the thing itself and holds nothing that another callback needs; and no
callback waits for good, for its thread is libfuse's: a wait ends with the client's signal, and the mount.
"""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.mount.handles import DatabaseHandle, Handle, SpecialHandle, refused
from pylitefs.mount.kernel_locks import process_of, program_of
from pylitefs.mount.lock_file import LockHandle
from pylitefs.mount.observed.halt_byte import HaltByte
from pylitefs.mount.observed.lock_table import EVERYTHING, Caller, Held, LockTable, Owner, Span, names_of
from pylitefs.mount.observed.on_write import HaltOnWrite
from pylitefs.mount.operations import FileInfo, FileLock, MountOperations
from pylitefs.mount.special_files import SpecialName
from pylitefs.sqlite.locks import WAL_WRITE_LOCK
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.store import Store

READER_WAIT_S = 0.1
"""So long a reader waits for an apply. SQLite's own busy timeout comes after that, if there is one."""
FIRST_PAUSE_S = 0.0005
LAST_PAUSE_S = 0.005
_WAL_WRITE = Span(WAL_WRITE_LOCK, WAL_WRITE_LOCK)


class ObservedOperations(MountOperations):
    """`MountOperations` that is told of every lock."""

    opening_halts = False

    def __init__(
        self,
        store: "Store",
        is_applier_thread: Callable[[int], bool] = lambda tid: False,
        locks: LockTable | None = None,
    ) -> None:
        super().__init__(store, is_applier_thread)
        self.locks = locks or LockTable()
        self.guard.is_write_locked = self.locks.is_write_locked
        self.on_write: HaltOnWrite | None = None
        """With `lease.halt-on-write`; parts.py sets it."""
        self._halt_byte = HaltByte(store, self._is_interrupted)
        self._special: dict[SpecialName, int] = {}
        self._special_lock = threading.Lock()
        self._closing = threading.local()
        """`now`: this thread of libfuse's is in the midst of a flush, between `flush` and `lock`."""
        self._refused: set[tuple[int, Held]] = set()
        """What the applier was refused, by open file, since it last had it."""

    # --- callbacks -----------------------------------------------------------------------------------

    def lock(self, fi: FileInfo, command: int, request: FileLock) -> None:
        """F_GETLK, F_SETLK and F_SETLKW. Raises EAGAIN where another is in the way, EINTR from a wait."""
        handle = self._handles[fi.fh]
        if isinstance(handle, LockHandle):
            self._closing.now = False
            self._note_caller()
            self._halt_byte.lock(handle, fi.lock_owner, command, request)
            return
        closing, self._closing.now = getattr(self._closing, "now", False), False
        if closing and request.l_type == fcntl.F_UNLCK:
            return  # libfuse, after each flush, for everything the process has: flush has seen to it.
        caller = self._caller(fi, handle, request)
        span = Span.of(request.l_start, request.l_len)
        if command == fcntl.F_GETLK:
            self._find_conflict(caller, span, request)
            return
        if request.l_type == fcntl.F_UNLCK:
            self._unlock(caller, span)
        else:
            self._take(caller, Held(span, request.l_type == fcntl.F_WRLCK), command == fcntl.F_SETLKW)
        # libfuse is about to note this lock, to answer F_GETLK by itself from then on. It is never told of
        # the end of an open file description, though. So it is to note nothing, and to ask each time.
        request.l_type = fcntl.F_UNLCK

    def flush(self, path: str | None, fi: FileInfo) -> None:
        """A descriptor is being closed: its process gives back what it locked through this open file.

        And no more than that. `close(2)` drops every lock of the process on the file, but SQLite has let go
        of its mutex by now, so what the process has through another open file is another thread's: on a disk
        there is no time to take it in between, here there is all of this callback.
        """
        del path
        handle = self._handles[fi.fh]
        if isinstance(handle, LockHandle):
            self._note_caller()
            self._halt_byte.flush(handle, fi.lock_owner)
            return
        self._closing.now = True
        if isinstance(handle, DatabaseHandle) and handle.applier:
            # The applier shares no descriptor, so this is the end of an open file description, and of its
            # locks: now, and not when the kernel comes to tell of the release.
            self._forget(fi.fh)
            return
        for owner, held in self.locks.unlock_through(fi.lock_owner, fi.fh):
            self._released(owner.caller, EVERYTHING, held)

    def release(self, path: str | None, fi: FileInfo) -> None:
        """The last descriptor of an open file is closed; with it go the locks that belonged to it."""
        self._forget(fi.fh)
        if isinstance(handle := self._handles[fi.fh], LockHandle):
            self._halt_byte.forget(handle)
        super().release(path, fi)

    def close_handles(self) -> None:
        """Close what clients had open when the mount ended, and give back every lock."""
        super().close_handles()
        self.locks.close()
        with self._special_lock:
            while self._special:
                os.close(self._special.popitem()[1])

    # --- locks ---------------------------------------------------------------------------------------

    def _is_interrupted(self) -> bool:
        return self.interrupted()

    def _take(self, caller: Caller, lock: Held, blocking: bool) -> None:
        span, write = lock
        began = time.monotonic()
        pause = FIRST_PAUSE_S
        while (others := self.locks.try_lock(caller, span, write)) is not None:
            if not blocking and not self._waits_for_apply(caller, lock, others, began):
                self._trace_busy(caller, lock, others, began)
                raise refused(errno.EAGAIN)
            if self.interrupted():
                raise refused(errno.EINTR)
            time.sleep(pause)
            pause = min(pause * 1.5, LAST_PAUSE_S)
        if self.on_write is not None and not self.on_write.may_keep(caller, lock, self.interrupted):
            self.locks.unlock(caller, span)
            self._trace_busy(caller, lock, (), began)
            raise refused(errno.EAGAIN)
        self._trace_acquire(caller, lock)

    def _waits_for_apply(self, caller: Caller, lock: Held, others: tuple[Owner, ...], began: float) -> bool:
        """Whether this is a reader (one that finds no valid WAL index wants WRITE), and all that is in its
        way is the applier's."""
        reads = not lock.write or (caller.file == FileKind.SHM.value and lock.span == _WAL_WRITE)
        return (
            reads
            and not caller.applier
            and bool(others)
            and all(other.caller.applier for other in others)
            and time.monotonic() - began < READER_WAIT_S
        )

    def _unlock(self, caller: Caller, span: Span) -> None:
        self._released(caller, span, self.locks.unlock(caller, span))

    def _released(self, caller: Caller, span: Span, held: list[Held]) -> None:
        self._trace_release(caller, span, held)
        if self.on_write is not None:
            self.on_write.leave(caller, held)

    def _forget(self, fh: int) -> None:
        for owner, held in self.locks.forget_handle(fh):
            self._released(owner.caller, EVERYTHING, held)
        self._refused = {one for one in self._refused if one[0] != fh}

    def _find_conflict(self, caller: Caller, span: Span, request: FileLock) -> None:
        found = self.locks.find_conflict(caller, span, request.l_type == fcntl.F_WRLCK)
        if found is None:
            request.l_type = fcntl.F_UNLCK
            return
        held, request.l_pid = found
        request.l_type = fcntl.F_WRLCK if held.write else fcntl.F_RDLCK
        request.l_start, request.l_len = held.span.first, held.span.length

    def _caller(self, fi: FileInfo, handle: Handle, request: FileLock) -> Caller:
        pid = request.l_pid  # 0 for an unlock.
        if isinstance(handle, DatabaseHandle):
            database, file, applier = handle.database.name, handle.kind.value, handle.applier
            return Caller(fi.lock_owner, pid, applier, fi.fh, handle.fd, database, file)
        fd = self._special_fd(handle) if isinstance(handle, SpecialHandle) else handle.fd
        return Caller(fi.lock_owner, pid, False, fi.fh, fd, "", "other")

    def _special_fd(self, handle: SpecialHandle) -> int:
        """A special file has none in the data directory: locks on it are taken on a nameless one."""
        name = handle.file.name
        with self._special_lock:
            if name not in self._special:
                self._special[name] = os.memfd_create("pylitefs-special")
            return self._special[name]

    # --- tracepoints ---------------------------------------------------------------------------------

    def _trace_acquire(self, caller: Caller, lock: Held) -> None:
        if self._tracer.active:
            self._tracer.set_caller(caller.pid)
            self._refused.discard((caller.fh, lock))
            self._tracer.emit("lock.acquire", caller.database, 0, **_payload(caller, lock))

    def _trace_release(self, caller: Caller, span: Span, held: list[Held]) -> None:
        if self._tracer.active and held:
            self._tracer.set_caller(caller.pid or process_of(self.caller_tid()))
            lock = "+".join(name for one in held for name in names_of(one))
            kind = "write" if any(one.write for one in held) else "read"
            payload = _payload(caller, Held(span, False)) | {"lock": lock, "kind": kind}
            self._tracer.emit("lock.release", caller.database, 0, **payload)

    def _trace_busy(self, caller: Caller, lock: Held, others: tuple[Owner, ...], began: float) -> None:
        if not self._tracer.active:
            return
        if caller.applier:
            # It asks again and again, up to ten thousand times a second: the first refusal tells it all.
            if (caller.fh, lock) in self._refused:
                return
            self._refused.add((caller.fh, lock))
        self._tracer.set_caller(caller.pid)
        holders = sorted({program_of(other.caller.pid) for other in others})
        self._tracer.emit(
            "lock.busy",
            caller.database,
            0,
            **_payload(caller, lock),
            holder=", ".join(holders) or "a process that has the data file itself open",
            waited_ms=round((time.monotonic() - began) * 1000, 1),
        )


def _payload(caller: Caller, lock: Held) -> dict[str, object]:
    return {
        "lock": "+".join(names_of(lock)),
        "file": caller.file,
        "kind": "write" if lock.write else "read",
        "first": lock.span.first,
        "length": lock.span.length,
        "owner": f"{caller.owner:016x}",
        "applier": caller.applier,
    }
