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

That is enough for quick readers. Others read for 100 ms and more, and overlap without end: they are never
all gone within 25 ms. So the gate is shut for longer, the longer the apply has waited: for an eighth of that
time, up to a second. The next transaction begins with the length that this one needed.

No gate helps against one reader that stays, and it would turn the others away for nothing. The kernel tells
who has had its lock for the longest. If the same process outlasts two gates without having been away in
between, the gate stays open until it is gone. But threads of one process that overlap look like a reader
that stays, and in WAL mode a gate does help against them. So it is shut even then for 1 % of the time: 50 ms
after five seconds, 100 ms ten seconds later, and so on.

The gate of a rollback mode is PENDING. A WAL has none, but a reader that finds no valid index header
wants the WRITE lock; with WRITE, CKPT and RECOVER held it gets SQLITE_BUSY. So both copies of the header
are zeroed under those locks, and afterwards restored exactly as they were. (A reader that meets a valid
header and locked READ bytes never gets SQLITE_BUSY: it tries again by itself and after 10 seconds says
"locking protocol". Whoever holds all locks for long must have shut this gate, too.)
"""

import time
from collections.abc import Callable
from contextlib import ExitStack

from pylitefs.mount.applier.files import INDEX_HEADERS_SIZE, DatabaseFiles
from pylitefs.mount.applier.locks import (
    DATABASE_LOCKS,
    PENDING,
    RESERVED,
    SHARED,
    WAL_LOCKS,
    WAL_LOCKS_BUT_WRITE,
    WAL_READERS,
    WAL_WRITERS,
    WRITE,
    Range,
)

AT_ONCE_S = 0.001
PLAIN_S = 0.004
GATED_S = 0.025
LONGEST_GATE_S = 1.0
GATE_SHARE = 8
"""The gate is shut for one part in so many of what was waited before."""
VAIN_GATES = 2
"""So many gates that the same holder outlasts, and it counts as one that stays."""
STAYER_SHARE = 100
"""Beside a holder that stays the gate is shut for one part in so many of the time."""
LONGEST_STAYER_GATE_S = 0.5
"""A busy timeout of a second outlasts it."""
OPEN_S = 0.100
LONG_OPEN_S = 0.250
"""After a long gate: SQLite's busy handler looks every 100 ms only, once it has waited for a while."""
POLL_S = 0.0001
OPEN_POLL_S = 0.001
"""Trying for all of it at once takes nothing from anyone as long as it fails."""


class _Stayer:
    """The holder that outlasts one gate after the other. `first` tells who has been there for the longest."""

    def __init__(self, first: Callable[[], int | None]) -> None:
        self._first = first
        self._holder: int | None = None
        self._outlasted = 0
        self.has_left = False
        """It stayed, and has been away since."""

    def outlasted_a_gate(self) -> None:
        """A gate was shut and did not help."""
        self.look()
        self.has_left = False
        if self._holder is None:
            self._holder = self._first()
        self._outlasted += self._holder is not None

    def look(self) -> None:
        """See whether it is still there: it is the first for as long as it keeps its lock."""
        if self._holder is not None and self._first() != self._holder:
            self.has_left = self._outlasted >= VAIN_GATES
            self._holder, self._outlasted = None, 0

    @property
    def next_gate(self) -> float:
        """How long the next gate is to be shut because of it; 0.0 if nobody stays."""
        if self._outlasted < VAIN_GATES:
            return 0.0
        doubled: float = GATED_S * 2 ** min(self._outlasted - 1, 10)
        return min(doubled, LONGEST_STAYER_GATE_S)


class Exclusive:
    """All of SQLite's locks on one database, held by `files`.

        with Exclusive(files) as locks:
            locks.acquire(pause)
            ...

    `in_wal` says by which row of bytes the database is locked. Leaving releases; on a `replica` a database
    in WAL mode keeps SHARED and DMS, so that no client removes the WAL and its index, or makes them anew.
    """

    def __init__(self, files: DatabaseFiles, *, replica: bool, keeps_writer: bool = False) -> None:
        """`keeps_writer`: the writer's lock, which `files` holds before and afterwards, is never given up."""
        self.files = files
        self.replica = replica
        self.keeps_writer = keeps_writer
        self.in_wal = False
        self.left_wal = False
        """Nobody has the WAL open any more, and page 1 says rollback mode."""
        self.index = b""
        """In WAL mode: the index prefix as it was when the locks were had, or the gate was shut."""
        self._held = ExitStack()
        self._gate_shut = False
        self._turned_away = False
        """The gate that was tried last was shut indeed, so that readers met it."""
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
        stayer = _Stayer(self._first_reader)
        while not self._poll(PLAIN_S, POLL_S, pause, self._try_all):
            shut = time.monotonic()
            gate = stayer.next_gate or self._gate_length(shut - started)
            if self._try_gated(gate, pause):
                self.files.usual_gate = min(2 * (time.monotonic() - shut), LONGEST_GATE_S)
                return
            if self._turned_away:
                stayer.outlasted_a_gate()
            if stayer.next_gate:
                self.files.usual_gate = 0.0
            opened = OPEN_S if gate <= OPEN_S else LONG_OPEN_S
            if self._wait_open(max(opened, STAYER_SHARE * stayer.next_gate), stayer, pause):
                return
            if stayer.has_left:
                started = time.monotonic()

    def _wait_open(self, seconds: float, stayer: "_Stayer", pause: Callable[[float], None]) -> bool:
        """Try for all of it with the gate open; not longer than a holder stays for whose sake it is open."""
        end = time.monotonic() + seconds
        while not self._try_all():
            stayer.look()
            if stayer.has_left or time.monotonic() >= end:
                return False
            pause(OPEN_POLL_S)
        return True

    def _first_reader(self) -> int | None:
        """Who of the readers has been there for the longest; see LockFile.first_holder."""
        files = self.files
        return files.shm.first_holder(WAL_READERS) if files.joined else files.db.first_holder(SHARED)

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
            self._held.callback(self._unlock_wal)
            self.in_wal, self.index = True, files.index_prefix()
            return True
        if files.joined:
            files.leave_wal()
        return files.db.try_lock(DATABASE_LOCKS, exclusive=True) and self._is_rollback()

    def _is_rollback(self) -> bool:
        """With all locks of a rollback mode in hand: is it still one?"""
        if self.files.uses_wal():
            self._unlock_rollback()
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
            self._unlock_rollback()

    def _unlock_wal(self) -> None:
        self.files.shm.unlock(WAL_LOCKS_BUT_WRITE if self.keeps_writer else WAL_LOCKS)

    def _unlock_rollback(self) -> None:
        if self.keeps_writer:
            self.files.db.unlock(SHARED)
            self.files.db.unlock(PENDING)
        else:
            self.files.db.unlock(DATABASE_LOCKS)

    def _keep_writer(self) -> None:
        """What was exclusive is given back; a database that has left WAL mode goes by RESERVED now."""
        if self.left_wal:
            self.files.leave_wal(keep_reserved=True)

    # The gate.

    def _try_gated(self, seconds: float, pause: Callable[[float], None]) -> bool:
        self._turned_away = False
        in_wal = self.files.uses_wal()
        return self._try_gated_wal(seconds, pause) if in_wal else self._try_gated_rollback(seconds, pause)

    def _try_gated_rollback(self, seconds: float, pause: Callable[[float], None]) -> bool:
        db = self.files.db
        # RESERVED before PENDING: a writer that has RESERVED must be able to get PENDING, or both wait.
        steps = [RESERVED, PENDING, SHARED]

        def attempt() -> bool:
            while steps and db.try_lock(steps[0], exclusive=True):
                del steps[0]
            self._turned_away = len(steps) <= 1
            return not steps

        done = False
        try:
            done = self._poll(seconds, POLL_S, pause, attempt) and self._is_rollback()
        finally:
            if not done:
                self._unlock_rollback()
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
                    undo.callback(self._unlock_wal)
                    self.index = files.index_prefix()
                    self.shut_gate()
                    self._turned_away = True
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
            if self.keeps_writer and self.files.joined and not self.in_wal:
                self.files.shm.try_lock(
                    WRITE, exclusive=True
                )  # It went over to WAL mode: nobody is in it yet.
            if self.in_wal:
                self.open_gate()
            held.close()
            if self.keeps_writer:
                self._keep_writer()
            elif self.files.joined and (self.left_wal or not self.replica):
                self.files.leave_wal()
        except BaseException:
            # The mount is gone, or something unforeseen: the descriptors' end releases everything.
            self.files.close()
            raise
        finally:
            self.in_wal = self._gate_shut = self._changing = self.left_wal = False
