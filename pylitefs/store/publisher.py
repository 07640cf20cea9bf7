"""The publisher: a transaction of WAL mode is told once it is true, that is once SQLite's readers see it.

SQLite commits in WAL mode in two steps: it writes the commit frame, and then it publishes the frame in the
WAL index, in shared memory, where the node sees nothing of it. The LTX file is made between the two, and
synced but for a burst. So the transaction is pending, and one thread looks at the index, with the applier's
eyes:

    write of the commit frame   capture: the LTX file is written    captured()
    fsync of the WAL            (synchronous=FULL)                  synced()
    SQLite publishes            the index shows the frame           the thread looks, and tells:
                                                                    the position moves, streams wake

The rule: a position is told, shown and shipped only when its LTX file is durable *and* SQLite's readers on
this node see the transaction. Who asks for the position (`-pos`, the API) gets one more look first, so that a
client that has just committed is never told an older one.

A commit that comes alone is looked for at once. In a burst nobody looks: the next commit comes first, and its
writer had seen this one published (`tell_pending` in capture.py). A checkpoint tells as well, by what it
copies; and an import, which takes the index away from everyone, goes by the index as it was before.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pylitefs.errors import PylitefsError
from pylitefs.store.applying import Applier
from pylitefs.store.capture import tell_pending
from pylitefs.store.database import Database
from pylitefs.store.group_sync import GroupSync
from pylitefs.store.names import FileKind
from pylitefs.store.state import Captured, DatabaseState

log = logging.getLogger("pylitefs")

BURST_S = 0.003
"""Commits that come closer than this are a burst."""
LATER_S = 0.001
"""In a burst the newest commit is looked for after this, if no other has come."""
SYNC_S = 0.02
"""So long nobody looks where SQLite synced the WAL before it published the commit before this one."""
ASK_S, ASK_HELD_S = 2.0, 0.25
"""Who asks for the position waits so long at most; less where a tracepoint may hold the publisher."""
LOCK_S = 0.005
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.0005, 0.25


@dataclass(eq=False)
class _Awaited:
    """One database with a pending transaction."""

    due: float
    in_burst: bool = False
    pause: float = _FIRST_PAUSE_S
    begun: int = 0
    """Looks that were begun, and that are done."""
    done: int = 0
    failed: bool = False
    """A look failed, and that was told."""


class Publisher:
    """One thread a node, on the primary. `find` gives the database of a name."""

    def __init__(self, applier: Applier, find: Callable[[str], Database]) -> None:
        self._applier = applier
        self._find = find
        self._changed = threading.Condition()
        self._awaited: dict[DatabaseState, _Awaited] = {}
        self._wakes_at = 0.0
        self._last: dict[DatabaseState, float] = {}
        self._synced: set[DatabaseState] = set()
        self._stopped = False
        self._group = GroupSync()
        self._thread = threading.Thread(target=self._run, name="pylitefs-publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._group.start()

    def stop(self) -> None:
        """Look no more. What is pending then is found by the next start's recovery."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._group.stop()

    # What the database's own calls say.

    def captured(self, state: DatabaseState) -> None:
        """`state.pending` is new; the state's lock is held."""
        now = time.monotonic()
        in_burst = self._is_soon(state, now)
        self._last[state] = now
        delay = SYNC_S if state in self._synced else LATER_S if in_burst else 0.0
        self._synced.discard(state)
        with self._changed:
            self._awaited[state] = _Awaited(now + delay, in_burst)
            self._wake_for(now + delay)

    def _is_soon(self, state: DatabaseState, now: float) -> bool:
        return now - self._last.get(state, 0.0) < BURST_S

    def in_burst(self, state: DatabaseState) -> bool:
        """Whether a commit that comes now is one of a burst, whose writers sync nothing."""
        return state not in self._synced and self._is_soon(state, time.monotonic())

    def has_room(self, state: DatabaseState) -> bool:
        """Whether one more LTX file of this database may be synced later."""
        return len(state.unsynced) < self._group.most

    def written(self, state: DatabaseState) -> None:
        """`state.unsynced` has grown."""
        self._group.add(state)

    def synced(self, state: DatabaseState) -> None:
        """SQLite has had the WAL synced, and publishes its commit next."""
        self._synced.add(state)
        with self._changed:
            if awaited := self._awaited.get(state):
                awaited.due = time.monotonic() + (LATER_S if awaited.in_burst else 0.0)
                self._wake_for(awaited.due)

    def _wake_for(self, due: float) -> None:
        if due < self._wakes_at:
            self._changed.notify_all()

    # Who asks.

    def settle(self, state: DatabaseState) -> None:
        """Tell what SQLite's readers see by now, if that can be said soon; without the state's lock."""
        deadline = time.monotonic() + (ASK_HELD_S if state.node.tracer.active else ASK_S)
        with self._changed:
            awaited = self._awaited.get(state)
            if awaited is None or state.pending is None:
                return
            awaited.due, awaited.pause = 0.0, _FIRST_PAUSE_S
            wanted = awaited.begun + 1
            self._changed.notify_all()
            while self._awaited.get(state) is awaited and awaited.done < wanted:
                if (left := deadline - time.monotonic()) <= 0 or self._stopped:
                    return
                self._changed.wait(left)

    # The thread.

    def _run(self) -> None:
        while (taken := self._next()) is not None:
            self._look_at(*taken)

    def _look_at(self, state: DatabaseState, awaited: _Awaited) -> None:
        """One look, and when the next one is due if it was not the last."""
        looked = self._look_safely(state, awaited)
        with self._changed:
            if looked is not None:
                awaited.done = awaited.begun
            if self._awaited.get(state) is awaited:
                if looked:
                    del self._awaited[state]
                elif awaited.due:
                    awaited.due = time.monotonic() + awaited.pause
                    awaited.pause = min(awaited.pause * 2, _LAST_PAUSE_S)
            self._changed.notify_all()

    def _next(self) -> tuple[DatabaseState, _Awaited] | None:
        """Wait until someone is to be looked at; None at the end."""
        with self._changed:
            while not self._stopped:
                state = min(self._awaited, key=lambda one: self._awaited[one].due, default=None)
                now = time.monotonic()
                if state is not None and (awaited := self._awaited[state]).due <= now:
                    awaited.due = now
                    awaited.begun += 1
                    self._wakes_at = 0.0
                    return state, awaited
                self._wakes_at = float("inf") if state is None else awaited.due
                self._changed.wait(None if state is None else awaited.due - now)
            return None

    def _look_safely(self, state: DatabaseState, awaited: _Awaited) -> bool | None:
        """The same as `_look`. Whatever happens there, the thread goes on, for every database hangs on it."""
        try:
            return self._look(state)
        except Exception as error:
            trouble = isinstance(error, OSError) and state.node.disk.note(error)
            if not awaited.failed and not trouble:
                log.error("%s: its newest transaction is not told yet: %s", state.name, error, exc_info=True)
            awaited.failed = True
        return False

    def _look(self, state: DatabaseState) -> bool | None:
        """Look at the index once, and tell the pending transaction if it is there; whether none is left.
        None if somebody was in the way, or the index is just made anew: then this was no look."""
        pending = state.pending
        if pending is None:
            return True
        database = self._find(state.name)
        unseen = not database.files.index_is_used
        unclear = False
        try:
            shown = self._is_shown(database, pending)
        except (PylitefsError, OSError):
            shown, unclear = None, True
        if shown is False:
            return False
        if not state.lock.acquire(timeout=LOCK_S):
            return None
        try:
            # Another WAL's index: this one was published and is in the database file, or it never will be.
            if state.pending is pending and (shown or database.wal_watch.is_backfilled()):
                database.wal_watch.told_unseen = unseen or not database.files.index_is_used
                tell_pending(state)
            return None if unclear and state.pending is not None else state.pending is None
        finally:
            state.lock.release()

    def _is_shown(self, database: Database, pending: Captured) -> bool | None:
        """Whether SQLite's readers see it; None if the index does not say. An error if it cannot say now."""
        if database.files.in_process:
            return True  # Who wrote it has the WAL for itself, and nobody else reads it.
        if not database.files.index_is_used:
            # Nobody uses the index that lies there: the writer has locked all others out (in
            # locking_mode=EXCLUSIVE), or is gone. Then who comes next makes the index from the WAL, with
            # this transaction in it. (Whoever takes the index away takes the WAL next: that decides.)
            return True if database.path(FileKind.SHM).exists() else None
        generation = database.state.index_generation
        return self._applier.shows(database.name, generation, pending.salts, pending.last_frame)
