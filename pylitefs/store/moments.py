"""A node's database as it was after a TXID, read while the node goes on.

Its pages come from the LTX files that the node still has, and those that none of them changed from the
database as it is now. There nobody's old page is kept: once a transaction changes such a page, what it was is
gone.

The rule: a page is the one of that moment, or an error. What is read of the database as it is now counts only
if it has the checksum that the node knows of the page, and if no LTX file after the moment has the page.
"""

import os
import threading

from pylitefs.errors import BusyError, HistoryGoneError, RestoreError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.header import Header, format_txid
from pylitefs.ltx.lookup import Library
from pylitefs.ltx.plan import HistoryFile
from pylitefs.ltx.timeline import Timeline
from pylitefs.sqlite.header import READ_VERSION_OFFSET, WRITE_VERSION_OFFSET
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind

_MOST_OPEN = 1024
"""LTX files that an open moment holds, so that retention does not take them from it."""


class StoredMoment:
    """One moment of one database, open for reading. Safe to use from several threads."""

    def __init__(self, database: Database, txid: int) -> None:
        """Raises RestoreError if the LTX files do not have this moment, LtxError, OSError."""
        self._database = database
        self._lock = threading.Lock()
        look_up(database, txid)
        spans = database.state.ltx.ranges()
        self._library = Library(most_open=_MOST_OPEN)
        try:
            files = [_file(database, span) for span in _leading_to(spans, txid)]
            self._timeline = Timeline(files, self._library, self._current)
            self._upto = self._timeline.txids.index(txid) + 1
            self._moment = self._timeline.moment(txid)
        except BaseException:
            self._library.close()
            raise

    @property
    def size(self) -> int:
        """Bytes of the database file."""
        return self._moment.size

    @property
    def time_ms(self) -> int:
        """When its transaction was made."""
        return self._moment.time_ms

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the database file, fewer only at its end. The header says that it is in no WAL mode: there
        is no WAL beside it, and SQLite would want to make one.

        Raises HistoryGoneError, BusyError, LtxError, OSError.
        """
        with self._lock:
            data = self._moment.read(offset, size)
        if offset > READ_VERSION_OFFSET:
            return data
        found = bytearray(data)
        for place in (WRITE_VERSION_OFFSET, READ_VERSION_OFFSET):
            if offset <= place < offset + len(found):
                found[place - offset] = 1
        return bytes(found)

    def close(self) -> None:
        """Let the LTX files go."""
        with self._lock:
            self._library.close()

    def _current(self, pgno: int) -> bytes:
        """A page of the database as it is now, which is still what it was then."""
        database, state = self._database, self._database.state
        with state.lock:
            self._catch_up()
            if self._timeline.changed_after(pgno, self._upto):
                raise HistoryGoneError(f"page {pgno} of {database.name} was changed meanwhile, and is gone")
            page = _read_now(database, pgno, self._moment.page_size)
            if page_checksum(pgno, page) != state.sums.page(pgno):
                raise BusyError(f"page {pgno} of {database.name} is just being written: try again")
            return page

    def _catch_up(self) -> None:
        """What the node has made since."""
        spans = self._database.state.ltx.ranges()
        last = self._timeline.files[-1].max_txid
        new = [span for span in spans if span[1] > last]
        self._timeline.extend([_file(self._database, span) for span in new])


def look_up(database: Database, txid: int) -> Header:
    """The header of the LTX file that ends with the moment. Raises RestoreError where there is none."""
    span = next((span for span in database.state.ltx.ranges() if span[1] == txid), None)
    header = database.state.ltx.header(*span) if span is not None else None
    if header is None:
        raise RestoreError(f"{database.name} has no state after {format_txid(txid)} any more, or not yet")
    if not header.commit:
        raise RestoreError(f"{database.name} was dropped in {format_txid(txid)}")
    return header


def _leading_to(spans: list[tuple[int, int]], txid: int) -> list[tuple[int, int]]:
    """The files from the last whole database on that lead to the moment without a gap. Where there is none,
    those that lead there all the same, and on to the database as it is now: that has the pages they lack.

    (What lies before a gap says nothing of what comes after it. A power failure brings some of the files back
    that were reaped.) Raises RestoreError where a gap comes after the moment.
    """
    by_end = {span[1]: span for span in reversed(spans)}  # Of several the one that reaches back furthest.
    chain: list[tuple[int, int]] = []
    at = txid
    while at in by_end:
        chain.append(by_end[at])
        at = chain[-1][0] - 1
    chain.reverse()
    if at:
        at = txid
        for span in spans:
            if span[1] > at and span[0] > at + 1:
                why = f"the LTX files have a gap after {format_txid(at)}"
                raise RestoreError(f"{why}: nobody knows what changed since {format_txid(txid)}")
            if span[1] > at:
                chain.append(span)
                at = span[1]
    return chain


def _file(database: Database, span: tuple[int, int]) -> HistoryFile:
    path = database.state.ltx.path_text(*span)
    return HistoryFile(0, *span, os.stat(path).st_size, 0, path)


def _read_now(database: Database, pgno: int, page_size: int) -> bytes:
    """A page as SQLite's readers see it; the state's lock is held."""
    state = database.state
    frame = database.wal_watch.told_pages().get(pgno)
    if frame is not None:
        offset = database.wal_watch.tracker.frame_offset(frame) + FRAME_HEADER_SIZE
        return os.pread(state.fd(FileKind.WAL), page_size, offset)
    return os.pread(state.fd(FileKind.DATABASE), page_size, (pgno - 1) * page_size)
