"""The data directory is its owner's alone: whom the mount does not let in reads no file beneath it either.

The rule: directories 0700, files 0600, from their first moment on; `fuse.allow-other` serves others through
the mount, which asks nobody else's leave. A directory from before is closed at the start, and what is ours in
it with it, once: who cannot enter it reads nothing below.
"""

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger("pylitefs")

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
_OTHERS = 0o077
_OURS = ("clusterid", "dbs", "tmp")


def private(path: str, flags: int) -> int:
    """An opener for `open(…, "wb", opener=private)`."""
    return os.open(path, flags, FILE_MODE)


def make_directory(path: Path) -> None:
    """Make a directory and those above it that are missing; one that is there stays as it is."""
    try:
        path.mkdir(DIRECTORY_MODE, exist_ok=True)
    except FileNotFoundError:
        make_directory(path.parent)
        path.mkdir(DIRECTORY_MODE, exist_ok=True)


def close_to_others(data_dir: Path, fd: int) -> None:
    """Take group's and others' rights from the data directory (`fd`), and from what is ours in it."""
    if not os.fstat(fd).st_mode & _OTHERS:
        return
    try:
        os.fchmod(fd, os.fstat(fd).st_mode & 0o7700)
        for name in _OURS:
            if os.path.lexists(data_dir / name):
                _close(os.fspath(data_dir / name))
    except OSError as error:
        if error.errno == errno.EROFS:
            return  # What a disk that is read-only means is said by who has to write.
        log.warning(
            "%s stays open to other users: %s; close it yourself: chmod -R go= %s",
            data_dir,
            error.strerror,
            data_dir,
        )


def _close(path: str) -> None:
    if os.path.islink(path):
        return
    mode = os.stat(path).st_mode
    if mode & _OTHERS:
        os.chmod(path, mode & 0o7700)
    if os.path.isdir(path):
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _close(entry.path)
                elif not entry.is_symlink():
                    os.chmod(entry.path, FILE_MODE)
