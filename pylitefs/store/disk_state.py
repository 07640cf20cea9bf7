"""What the data directory's disk is like: fine, full, without inodes, read-only, failing.

The rule: one line when such a state begins and one when it ends, however many calls fail meanwhile. SQLite's
clients see a short error each; this is for the person who looks after the node. It ends with the next
transaction that is durable. On a disk that is nearly full small ones go on succeeding between the others:
that is told once a minute at most.
"""

import errno
import logging
import os
import threading
import time
from pathlib import Path

log = logging.getLogger("pylitefs")

_KINDS = {
    errno.ENOSPC: "is full: make room",
    errno.EDQUOT: "is full for this user (quota): make room or raise the quota",
    errno.EROFS: "is read-only: look for the reason in dmesg, then mount it writable",
    errno.EIO: "fails (I/O error): look for the reason in dmesg, and check the disk",
}
_AGAIN_S = 60.0
"""A state that comes back so soon after it was told is not told again."""
_NO_INODES = "has no inodes left: remove small files"


class Refused(OSError):
    """An errno that the node itself gives to a client: it says nothing of the disk."""


def refusal(code: int, text: str) -> OSError:
    """The error for an errno by which the node itself refuses; not to be taken for the disk's."""
    return Refused(code, text) if code in _KINDS else OSError(code, text)


def is_trouble(error: OSError) -> bool:
    """Whether an error is the disk's, and no refusal of the node's."""
    return error.errno in _KINDS and not isinstance(error, Refused)


def describe(directory: Path, code: int) -> str:
    """`the disk of DIR is full: make room`."""
    what = _KINDS[code]
    if code == errno.ENOSPC:
        try:
            figures = os.statvfs(directory)
        except (OSError, AttributeError):
            pass  # Windows has no inodes to run out of.
        else:
            what = _NO_INODES if figures.f_files and not figures.f_favail else what
    return f"the disk of {directory} {what}"


class DiskState:
    """The state of one node's disk. Any thread may call."""

    def __init__(self, directory: Path) -> None:
        self.code = 0
        """The errno that the disk answers with; 0 while it is fine."""
        self.text = ""
        """What is wrong, for people; "" while it is fine."""
        self.since = 0.0
        """When that began, on the wall clock."""
        self._directory = directory
        self._lock = threading.Lock()
        self._last = (0, 0.0)
        """The errno that was told last, and when, on the monotonic clock."""
        self._is_told = False

    @property
    def told(self) -> str:
        """What is wrong and since when, for people; "" while the disk is fine."""
        with self._lock:
            if not self.code:
                return ""
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
            return f"{self.text} (since {since}, until a transaction succeeds)"

    def note(self, error: OSError) -> bool:
        """A call failed; whether it was the disk's doing, which has been told then."""
        if not is_trouble(error):
            return False
        assert error.errno is not None
        with self._lock:
            if self.code == error.errno and self._is_told:
                return True
            if self.code != error.errno:
                text = describe(self._directory, error.errno)
                self.code, self.text, self.since = error.errno, text, time.time()
            code, when = self._last
            now = time.monotonic()
            self._is_told = code != error.errno or now - when >= _AGAIN_S
            if not self._is_told:
                return True
            self._last, text = (error.errno, now), self.text
        log.error("%s. Until then commits fail, and reads go on", text)
        return True

    def works(self) -> None:
        """A transaction is durable, or the disk was tried. To be called where `code` is set."""
        with self._lock:
            if not self.code:
                return
            seconds = time.time() - self.since
            was_told, self._is_told = self._is_told, False
            self.code, self.text = 0, ""
        if was_told:
            log.warning("the disk of %s takes transactions again, after %.0f s", self._directory, seconds)
