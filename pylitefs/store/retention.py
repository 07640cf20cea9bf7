"""Retention: how long LTX files are kept for replicas that are behind.

The rules: the newest file stays, and so does every one that is not durable yet, with the one before them: it
is the newest after a power failure. Before any other is removed, what it holds is durable elsewhere: the
database and its WAL are synced first. (With synchronous=OFF SQLite may drop that WAL without a sync of the
database: then wal_watch.py syncs it.) Their directory is synced too. Otherwise a power failure could bring
back a journal that was removed long ago, and recovery would roll the database back by it.

In a WAL with frames that SQLite left without checksums recovery ends at the first of them. So the LTX files
from there on stay until that WAL goes.

A file that a connected replica still needs stays past its time, for without it the replica gets the whole
database. But a replica that stands still must not fill the disk: past a bound of files and of bytes it is
given up, the one that is furthest behind first. One that is not connected keeps nothing, but for a moment.

Where there is a backup, a file stays until the backup has it and the one after it, however long that takes.
"""

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pylitefs.store.files import sync_directory, sync_file
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

Span = tuple[int, int]

ON_THE_WAY_S = 60.0
"""What was sent within so many seconds, or within the retention if that is shorter, may still be asked for
again: the connection may break before the replica has read it. So long it has time to connect again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept of each database: the `data.retention*` keys."""

    seconds: float = 600.0
    behind_files: int = 10_000
    """So many files past their time are kept for connected replicas; 0: none."""
    behind_bytes: int = 1_000_000_000
    until_backed_up: bool = False
    """Only what lies below the backup's high-water mark goes."""


class Follower(Protocol):
    """A connected replica, as its stream knows it. Asked in another thread than the stream's."""

    @property
    def peer(self) -> str:
        """Its node id."""

    def has_up_to(self, name: str) -> int | None:
        """It needs the LTX files of the database after this TXID; None: it needs none of them."""

    def had_up_to(self, name: str, seconds: float) -> int | None:
        """The same so many seconds ago, or longer."""


class Retention:
    """Removes the LTX files of one node. Safe to use from several threads."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._followers: tuple[Follower, ...] = ()
        self._left: tuple[tuple[float, Follower], ...] = ()
        """Those that lost their connection, and when: they may come back in a moment."""

    def follow(self, follower: Follower) -> Callable[[], None]:
        """A replica is connected, until what this gives is called."""
        with self._lock:
            self._followers = (*self._followers, follower)

        def leave() -> None:
            with self._lock:
                self._followers = tuple(one for one in self._followers if one is not follower)
                self._left = (*self._lately_left(), (time.monotonic(), follower))

        return leave

    def reap(self, state: DatabaseState, now: float | None = None, unsummed_from: int = 0) -> int:
        """Remove the files of a database that are past their time, and needed by nobody; how many went.
        Of transactions from `unsummed_from` on the WAL would bring nothing back."""
        old = _past_their_time(state, (time.time() if now is None else now) - self.limits.seconds)
        if self.limits.until_backed_up:
            old = [span for span in old if span[1] < state.high_water_mark]
        if unsummed_from:
            old = [span for span in old if span[1] < unsummed_from]
        gone = self._not_needed(state, old) if old and (self._followers or self._left) else old
        gone = state.covered.let_go(gone)
        if gone:
            _remove(state, gone)
        return len(gone)

    def _not_needed(self, state: DatabaseState, old: list[Span]) -> list[Span]:
        """`old`, without what a replica needs that is not too far behind."""
        asked = [(one.has_up_to(state.name), one.peer) for one in self._followers]
        with self._lock:
            self._left = self._lately_left()
        maybe = (*self._followers, *(one for _, one in self._left))
        asked += [(one.had_up_to(state.name, self._on_the_way_s), "") for one in maybe]
        # Whose next file is gone already gets a snapshot anyway.
        needs = [(txid, peer) for txid, peer in asked if txid is not None and state.ltx.next(txid)]
        for txid, peer in sorted(needs):
            at = bisect_left(old, (txid + 1, 0))
            size = sum(state.ltx.size(*span) for span in old[at:])
            if len(old) - at <= self.limits.behind_files and size <= self.limits.behind_bytes:
                return old[:at]
            if peer:
                self._give_up(state, txid, peer, (len(old) - at, size))
        return old

    def _lately_left(self) -> tuple[tuple[float, Follower], ...]:
        limit = time.monotonic() - self._on_the_way_s
        return tuple(one for one in self._left if one[0] > limit)

    @property
    def _on_the_way_s(self) -> float:
        return min(ON_THE_WAY_S, self.limits.seconds)

    def _give_up(self, state: DatabaseState, txid: int, peer: str, needs: tuple[int, int]) -> None:
        log.warning(
            "%s: replica %s is at TXID %016x and gets a snapshot: it needs %d LTX files (%d bytes) past "
            "their retention, more than data.retention-behind-files (%d) or -bytes (%d) keeps",
            *(state.name, peer, txid, *needs),
            *(self.limits.behind_files, self.limits.behind_bytes),
        )


def _past_their_time(state: DatabaseState, limit: float) -> list[Span]:
    """The oldest files up to the first that is younger than `limit`, but never the newest durable one."""
    old = []
    told = state.told.txid
    for span in state.ltx.ranges()[:-1]:
        try:
            if span[1] >= told or os.stat(state.ltx.path(*span)).st_mtime >= limit:
                break
        except FileNotFoundError:
            pass
        old.append(span)
    return old


def _remove(state: DatabaseState, gone: list[Span]) -> None:
    state.reaped = True  # First: the WAL may go meanwhile.
    sync_database(state)
    stays: OSError | None = None
    for span in gone:
        try:
            state.ltx.remove(*span)
        except OSError as error:
            stays = error  # The others need not wait for it.
            continue
        if state.node.tracer.active:
            state.node.tracer.emit("retention.reap", state.name, span[1], min_txid=span[0])
    if stays is not None:
        raise stays


def sync_database(state: DatabaseState) -> None:
    """Make durable what the LTX files hold, and what was removed beside the database."""
    for kind in (FileKind.DATABASE, FileKind.WAL):
        sync_file(state.path(kind))
    sync_directory(state.directory)
