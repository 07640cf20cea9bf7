"""The data directory belongs to one node at a time.

The rule: the lock is gone with its process, however that ends. Where there is `flock`, it is on the directory
itself. Windows locks a byte of a file in it, `DATA/lock`.
"""

import importlib
import os
from pathlib import Path

from pylitefs.errors import DataDirectoryError
from pylitefs.portable import BINARY
from pylitefs.store.files import sync_names_left
from pylitefs.store.privacy import FILE_MODE, close_to_others, make_directory

LOCK_NAME = "lock"


class DirectoryLock:
    """`acquire` it before anything in the directory is looked at."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._fd = -1

    def acquire(self) -> None:
        """Raises DataDirectoryError naming the process that holds the directory."""
        try:
            make_directory(self.directory)
            fd = _open(self.directory)
        except OSError as error:
            raise self._unusable(error) from None
        if not _try_lock(fd):
            holder = holder_of(os.fstat(fd).st_ino) or "another process"
            os.close(fd)
            raise DataDirectoryError(
                f"the data directory {self.directory} is in use by {holder}: "
                "stop that node, or give this one a data.dir of its own"
            )
        if hasattr(os, "O_DIRECTORY"):
            close_to_others(self.directory, fd)
        self._fd = fd
        try:
            sync_names_left(self.directory)  # Its owner acts by what the one before it noted there.
        except BaseException as error:
            self.release()
            raise (self._unusable(error) if isinstance(error, OSError) else error) from None

    def _unusable(self, error: OSError) -> DataDirectoryError:
        return DataDirectoryError(
            f"cannot use {self.directory} as the data directory: {error.strerror}; "
            "choose another with data.dir or change its owner"
        )

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open(directory: Path) -> int:
    if hasattr(os, "O_DIRECTORY"):
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    return os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | BINARY, FILE_MODE)


def _try_lock(fd: int) -> bool:
    """Lock it, by what this system has; False if another has it."""
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return _try_lock_byte(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_lock_byte(fd: int) -> bool:
    msvcrt = importlib.import_module("msvcrt")
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def holder_of(inode: int) -> str:
    """Who holds the flock on an inode, from /proc/locks: `process 123 (pylitefs)`; "" if nobody does."""
    try:
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "FLOCK" in fields and fields[-3].endswith(f":{inode}"):
                pid = fields[fields.index("FLOCK") + 3]
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                return f"process {pid} ({name})"
    except (OSError, ValueError, IndexError):
        pass
    return ""
