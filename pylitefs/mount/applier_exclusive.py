"""Every lock of a database at once, without starving anyone: neither its readers nor the apply.

In a rollback mode a database is locked as SQLite's writer does it: RESERVED, then PENDING, then SHARED
exclusively. In WAL mode the applier is a client (SHARED on the database, DMS on the -shm) that has WRITE,
CKPT and RECOVER, and READ0 to READ4, exclusively.

Readers that overlap without end leave no moment in which all of it is free. So one gate is shut for a
moment, and the readers behind it get SQLITE_BUSY, which their busy timeout rides out:

    5 ms   try for all of it at once
    25 ms  the gate is shut: who reads goes on reading, who comes is turned away; try for the rest
    100 ms the gate is open: everyone comes in; now and then a try for all of it
    and again

That is enough for readers that are quick. Read transactions of 100 ms and more that overlap without end
are never all gone within 25 ms. So the longer the wait, the longer the gate is shut: for an eighth of it,
up to a second; and as it had to be shut for one transaction, it is at once for the next. A single reader
that stays for long costs the others no more than that, for who waits comes in whenever the gate opens.

The gate of a rollback mode is PENDING. A WAL has none, but a reader that finds no valid index header
wants the WRITE lock; with WRITE, CKPT and RECOVER held it gets SQLITE_BUSY. So both copies of the header
are zeroed under those locks, and afterwards restored exactly as they were. (A reader that meets a valid
header and locked READ bytes never gets SQLITE_BUSY: it tries again by itself and after 10 seconds says
"locking protocol". Whoever holds all locks for long must have shut this gate, too.)
"""

import time
from collections.abc import Callable
from contextlib import ExitStack

from pylitefs.mount.applier_files import INDEX_HEADERS_SIZE, DatabaseFiles
from pylitefs.mount.applier_locks import (
    DATABASE_LOCKS,
    PENDING,
    RESERVED,
    SHARED,
    WAL_LOCKS,
    WAL_READERS,
    WAL_WRITERS,
    Range,
)

AT_ONCE_S = 0.001
PLAIN_S = 0.004
GATED_S = 0.025
LONGEST_GATE_S = 1.0
GATE_SHARE = 8
"""The gate is shut for one part in so many of what was waited before."""
OPEN_S = 0.100
LONG_OPEN_S = 0.250
"""After a long gate: SQLite's busy handler looks every 100 ms only, once it has waited for a while."""
POLL_S = 0.0001
OPEN_POLL_S = 0.001
"""Trying for all of it at once takes nothing from anyone as long as it fails."""


class Exclusive:
    """All of SQLite's locks on one database, held by `files`.

        with Exclusive(files) as locks:
            locks.acquire(pause)
            ...

    `in_wal` says by which row of bytes the database is locked. Leaving releases; on a `replica` a database
    in WAL mode keeps SHARED and DMS, so that no client removes the WAL and its index, or makes them anew.
    """

    def __init__(self, files: DatabaseFiles, *, replica: bool) -> None:
        self.files = files
        self.replica = replica
        self.in_wal = False
        self.left_wal = False
        """Nobody has the WAL open any more, and page 1 says rollback mode."""
        self.index = b""
        """In WAL mode: the index prefix as it was when the locks were had, or the gate was shut."""
        self._held = ExitStack()
        self._gate_shut = False
        self._changing = False

    def __enter__(self) -> "Exclusive":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self, pause: Callable[[float], None]) -> None:
        """Wait for all locks. `pause(seconds)` sleeps, and raises when waiting is to end."""
        if self._poll(AT_ONCE_S, 0.0, pause, self._try_all):
            self.files.usual_gate = 0.0
            return
        started = time.monotonic()
        while not self._poll(PLAIN_S, POLL_S, pause, self._try_all):
            shut = time.monotonic()
            gate = self._gate_length(shut - started)
            if self._try_gated(gate, pause):
                self.files.usual_gate = min(2 * (time.monotonic() - shut), LONGEST_GATE_S)
                return
            if self._poll(OPEN_S if gate <= OPEN_S else LONG_OPEN_S, OPEN_POLL_S, pause, self._try_all):
                return

    def _gate_length(self, waited: float) -> float:
        """How long the gate is to be shut, in seconds, after so many of waiting."""
        usual = self.files.usual_gate
        return min(max(GATED_S, usual if waited < 2 * usual else waited / GATE_SHARE), LONGEST_GATE_S)

    def _poll(
        self, seconds: float, every: float, pause: Callable[[float], None], attempt: Callable[[], bool]
    ) -> bool:
        end = time.monotonic() + seconds
        while not attempt():
            if time.monotonic() >= end:
                return False
            pause(every)
        return True

    def _try_all(self) -> bool:
        files = self.files
        if files.uses_wal():
            if not files.join_wal() or not files.shm.try_lock(WAL_LOCKS, exclusive=True):
                return False
            self._held.callback(files.shm.unlock, WAL_LOCKS)
            self.in_wal, self.index = True, files.index_prefix()
            return True
        if files.joined:
            files.leave_wal()
        return files.db.try_lock(DATABASE_LOCKS, exclusive=True) and self._is_rollback()

    def _is_rollback(self) -> bool:
        """With all locks of a rollback mode in hand: is it still one?"""
        if self.files.uses_wal():
            self.files.db.unlock(DATABASE_LOCKS)
            return False
        self.in_wal = False
        self._held.callback(self._unlock_database)
        return True

    def _unlock_database(self) -> None:
        if self.files.joined:
            # The database went over to WAL mode meanwhile: SHARED is a client's now.
            self.files.db.try_lock(SHARED, exclusive=False)
            self.files.db.unlock(Range(PENDING.start, 2))
        else:
            self.files.db.unlock(DATABASE_LOCKS)

    # The gate.

    def _try_gated(self, seconds: float, pause: Callable[[float], None]) -> bool:
        in_wal = self.files.uses_wal()
        return self._try_gated_wal(seconds, pause) if in_wal else self._try_gated_rollback(seconds, pause)

    def _try_gated_rollback(self, seconds: float, pause: Callable[[float], None]) -> bool:
        db = self.files.db
        # RESERVED before PENDING: a writer that has RESERVED must be able to get PENDING, or both wait.
        steps = [RESERVED, PENDING, SHARED]

        def attempt() -> bool:
            while steps and db.try_lock(steps[0], exclusive=True):
                del steps[0]
            return not steps

        done = False
        try:
            done = self._poll(seconds, POLL_S, pause, attempt) and self._is_rollback()
        finally:
            if not done:
                db.unlock(DATABASE_LOCKS)
        return done

    def _try_gated_wal(self, seconds: float, pause: Callable[[float], None]) -> bool:
        files = self.files
        with ExitStack() as undo:

            def attempt() -> bool:
                if not files.join_wal():
                    return False
                if not self._gate_shut:
                    if not files.shm.try_lock(WAL_WRITERS, exclusive=True):
                        return False
                    undo.callback(files.shm.unlock, WAL_LOCKS)
                    self.index = files.index_prefix()
                    self.shut_gate()
                    undo.callback(self.open_gate)
                return files.shm.try_lock(WAL_READERS, exclusive=True)

            if not self._poll(seconds, POLL_S, pause, attempt):
                return False
            self.in_wal = True
            self._held = undo.pop_all()
            return True

    def shut_gate(self) -> None:
        """Zero the index headers, so that readers get SQLITE_BUSY however long the locks are held."""
        if not self._gate_shut:
            self._gate_shut = True
            self.files.write_index_headers(bytes(INDEX_HEADERS_SIZE))

    def open_gate(self) -> None:
        """Restore the index headers exactly as they were, if the gate is shut and nothing was published.

        After a change that came to no end the zeros stay: the next reader makes the index anew.
        """
        if self._gate_shut:
            self._gate_shut = False
            if not self._changing:
                headers = self.index[:INDEX_HEADERS_SIZE]
                self.files.write_index_headers(headers.ljust(INDEX_HEADERS_SIZE, b"\0"))

    def begin_change(self) -> None:
        """The WAL is about to change, or the database for a while: the index that was is true no more."""
        self.shut_gate()
        self._changing = True

    def publish(self, page_size: int, page_count: int) -> None:
        """Write the index of the changed database, which has no WAL (any more); this opens the gate."""
        self.files.publish_index(self.index, page_size, page_count)
        self._gate_shut = self._changing = False

    def forget(self) -> None:
        """The files were closed, and every lock with them: there is nothing left to release."""
        self._held = ExitStack()
        self.in_wal = self._gate_shut = self._changing = self.left_wal = False

    def release(self) -> None:
        """Give the locks back. The order matters: the header first, so that no reader meets a zeroed one."""
        held, self._held = self._held, ExitStack()
        try:
            if self.in_wal:
                self.open_gate()
            held.close()
            if self.files.joined and (self.left_wal or not self.replica):
                self.files.leave_wal()
        except BaseException:
            # The mount is gone, or something unforeseen: the descriptors' end releases everything.
            self.files.close()
            raise
        finally:
            self.in_wal = self._gate_shut = self._changing = self.left_wal = False
