"""The LTX files of a burst are synced in groups, behind the commits.

SQLite with `synchronous=NORMAL` in WAL mode does not wait for a disk at a commit. So in a burst this node
does not either: the LTX file is written, and one thread syncs what gathers while it syncs what was before.

    commit       capture: the LTX file is written, not synced      state.unsynced
    SQLite publishes; the next commit comes                        state.pos moves, state.untold
    this thread  syncs a group, in the order of its TXIDs          state.told moves, streams wake

The rule: nobody hears of a transaction before its LTX file, and all before it, are durable; and the database
file gets no page of it before. So a power failure takes back only what nobody was told of, and what SQLite
promised to nobody. `kill -9` takes nothing: the kernel has the files.

Whoever needs them durable calls `sync_all`: SQLite's own sync of the WAL (synchronous=FULL, a checkpoint), a
write to the database file, a transaction that is not of a burst, a snapshot, who asks for the position. After
a sync that failed no commit is taken: a second sync would say that all is well.
"""

import errno
import logging
import os
import threading

from pylitefs.limits import open_files_limit
from pylitefs.store.disk_state import refusal
from pylitefs.store.files import let_go
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

MOST_LATE = 64
"""LTX files of a database that are not synced, at most: the next commit syncs them all."""
MOST_TOGETHER = 512
"""Many databases share so many, for each is an open descriptor; or a sixteenth of what the system allows."""
GATHER_S = 0.001
"""The thread waits so long for more when little has gathered."""
FEW = 4

_FAILED = "the sync of an LTX file failed, or the removal of a file of this database"


def sync_all(state: DatabaseState) -> None:
    """Make every LTX file of this database durable, and tell what may be told. In any thread, with the
    state's lock or without it. Raises OSError, now and from now on, if a sync fails."""
    if not state.waits_for_sync:
        check(state)
        return
    with state.sync_lock:
        check(state)
        group = state.unsynced.copy()  # A writer may add to it meanwhile.
        try:
            for late in group:
                # Begins to write it out, so that the syncs that follow wait for the disk once.
                os.posix_fadvise(late.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            for late in group:
                os.fdatasync(late.fd)
        except OSError as error:
            state.sync_failure = error
            log.error(
                "%s: its newest LTX files cannot be synced: %s. No more is written to this database: stop "
                "this node, look at the disk, start it again. Transactions past TXID %d may then be gone, "
                "and nobody else has heard of them",
                state.name,
                error,
                state.told.txid,
            )
            raise
        for late in group:
            let_go(late.fd)
        state.synced(len(group))


def check(state: DatabaseState) -> None:
    """Raises OSError (EIO) after a sync that failed."""
    if state.sync_failure is not None:
        state.node.refuse(state.name, "a transaction", _FAILED, "stop this node and look at the disk")
        raise refusal(errno.EIO, _FAILED)


def drop_newest(state: DatabaseState, txid: int) -> None:
    """The transaction was taken back: its LTX file, if it is not synced yet, need not be."""
    with state.sync_lock:
        if state.unsynced and state.unsynced[-1].txid == txid:
            let_go(state.unsynced.pop().fd)


class GroupSync:
    """One thread a node. `add` says that a database has a file to be synced."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._states: dict[DatabaseState, None] = {}
        self._stopped = False
        self._idle = False
        self._most = min(MOST_TOGETHER, open_files_limit() // 16)
        self._thread = threading.Thread(target=self._run, name="pylitefs-group-sync", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Sync what is left, and end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def add(self, state: DatabaseState) -> None:
        """`state.unsynced` has grown. Costs a writer next to nothing while the thread is at work."""
        self._states[state] = None
        if self._idle:
            with self._changed:
                self._changed.notify_all()

    @property
    def most(self) -> int:
        """How many LTX files of one database may wait now. The share shrinks as more databases have some, so
        all of them together are never more than a few times MOST_TOGETHER."""
        return min(MOST_LATE, self._most // max(1, len(self._states)))

    def _run(self) -> None:
        while True:
            states = list(self._states)
            if not states:
                if self._stopped:
                    return
                with self._changed:
                    self._idle = True
                    self._changed.wait_for(lambda: self._states or self._stopped)
                    self._idle = False
                continue
            if self._sync_all(states) < FEW and not self._stopped:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, GATHER_S)

    def _sync_all(self, states: list[DatabaseState]) -> int:
        """Sync what has gathered; how many files that was."""
        gathered = 0
        for state in states:
            # Before it is looked at: what comes later is there in the next round.
            self._states.pop(state, None)
            gathered += len(state.unsynced)
            self._sync(state)
        return gathered

    def _sync(self, state: DatabaseState) -> None:
        try:
            if state.unsynced and state.sync_failure is None:
                sync_all(state)
        except OSError as error:
            state.node.disk.note(error)  # Whoever writes next is refused.
        except Exception:
            log.exception("%s: its newest LTX files are not synced", state.name)
