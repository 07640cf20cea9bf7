"""A database that is copied onto the mount with `cp`: when what was written becomes a transaction.

The rule: no close waits for the node (docs/architecture.md, "Locks and threads"). So the transaction is made
at the copy's own `fsync`, when its last descriptor is released, and before anyone looks at the database. The
kernel tells of a release after `close(2)` has returned, so whoever looks may come first.

Who looks early captures only what is certainly complete: written from the first byte on without a gap, and as
long as the header says. Anything else is judged at the release. A write after the capture is one without
a journal, which is captured like any other.
"""

import os
import threading
import time

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.capture import commit_whole_file
from pylitefs.store.state import DatabaseState

RELEASE_S = 1.0
"""Who looks waits so long for the release of what looks complete but may still be written."""
NOT_WHOLE = "it is not a whole SQLite database"

_GAPS = -1


class Copies:
    """The descriptors opened write-only on one new database, as `cp` does."""

    def __init__(self, state: DatabaseState) -> None:
        self._state = state
        self._ends: dict[int, int] = {}
        """How far each descriptor has written without a gap; `_GAPS` where it has left some."""
        self._changed = threading.Condition()

    def __contains__(self, fd: int) -> bool:
        return fd in self._ends

    @property
    def any(self) -> bool:
        """Whether something is being copied, or its release has not come yet."""
        return bool(self._ends)

    def begin(self, fd: int) -> None:
        self._ends[fd] = 0

    def written(self, fd: int, offset: int, length: int) -> None:
        """A descriptor writes; of others nothing is noted."""
        end = self._ends.get(fd)
        if end is not None:
            self._ends[fd] = offset + length if offset == end else _GAPS

    def truncated(self, fd: int | None, size: int) -> None:
        """A descriptor changes the file's length: what lies before the end may come later."""
        if fd is not None and fd in self._ends and size:
            self._ends[fd] = _GAPS

    def end(self, fd: int) -> None:
        """It is captured, or closed."""
        if self._ends.pop(fd, None) is not None:
            self._notify()

    def clear(self) -> None:
        """The name leads to another file now, or to none."""
        self._ends.clear()
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    # -- capture ---------------------------------------------------------------------------------------

    def capture_complete(self, fd: int) -> None:
        """Capture what a descriptor wrote if it is certainly complete."""
        with self._state.lock:
            if fd in self._ends and self._is_complete(fd):
                self._capture(fd)

    def capture_released(self, fd: int) -> str:
        """A descriptor is closed: capture what it wrote; why that cannot be, "" if it can.

        (Where another goes on writing the same file, it is not judged yet.)
        """
        try:
            with self._state.lock:
                size = os.fstat(fd).st_size
                if fd not in self._ends or size == 0 or len(self._ends) > 1:
                    return ""
                if self._page_counts(fd) is None:
                    return NOT_WHOLE
                self._capture(fd)
        except OSError as error:
            return str(error)
        return ""

    def settle(self) -> None:
        """Someone is about to look: what has been copied to its end is a transaction when this returns.

        A failure is not this caller's: the release meets it again, and says so.
        """
        if not self.any:
            return
        for fd in list(self._ends):
            try:
                self.capture_complete(fd)
            except OSError:
                return
        if self._ends and any(self._looks_whole(fd) for fd in list(self._ends)):
            deadline = time.monotonic() + RELEASE_S
            with self._changed:
                while self._ends and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)

    def _capture(self, fd: int) -> None:
        counts = self._page_counts(fd)
        assert counts is not None
        commit_whole_file(self._state, *counts)
        self.end(fd)

    def _is_complete(self, fd: int) -> bool:
        """Whether the header tells the length (not each does), and all of it was written in order."""
        head = os.pread(fd, DATABASE_HEADER_SIZE, 0)
        counts = self._page_counts(fd)
        return (
            counts is not None
            and self._ends[fd] >= counts[0] * counts[1]
            and DatabaseHeader.parse(head).pages(0) > 0
        )

    def _looks_whole(self, fd: int) -> bool:
        try:
            return self._page_counts(fd) is not None
        except OSError:
            return False  # It was closed just now.

    def _page_counts(self, fd: int) -> tuple[int, int] | None:
        """Page size and page count of what lies there, if it is a whole database by now."""
        try:
            header = DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0))
        except SqliteFormatError:
            return None
        size = os.fstat(fd).st_size
        count = header.pages(size)
        whole = count > 0 and size >= count * header.page_size
        return (header.page_size, count) if whole else None
