"""Small, durable file work. The rule: what must survive a crash is synced before its name is, and the
name before anything that depends on it."""

import errno
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pylitefs import portable
from pylitefs.portable import BINARY, awake_clock
from pylitefs.store.privacy import private

portable.complete()

_SYNC_FILE_RANGE_WRITE = 2
WRITTEN_TOGETHER = 8 << 20
"""The disk is given a long file in pieces of about so many bytes, so that its sync has little left to do."""


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable. (Windows opens no directory: a file's own sync has to do.)"""
    if not hasattr(os, "O_DIRECTORY"):
        return
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_names_left(directory: Path) -> None:
    """Make the names durable that a killed process may have left: it died between a rename, or a removal, and
    the sync of their directory. For who is about to act by what is found there: the power may fail later."""
    if directory.is_dir() and not is_from_before_boot(directory):
        sync_directory(directory)


def sync_file(path: Path) -> None:
    """Make a file durable, if there is one."""
    try:
        fd = os.open(path, os.O_RDONLY | BINARY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, content: bytes) -> None:
    """Replace a small file as a whole: written beside it as `*.tmp`, synced, renamed, directory synced."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb", opener=private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def write_all(fd: int, content: "bytes | memoryview") -> None:
    """Write the whole of `content` at the descriptor's offset."""
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def pwrite_all(fd: int, content: "bytes | memoryview", offset: int) -> None:
    """Write the whole of `content` at `offset`."""
    view = memoryview(content)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def pwritev_all(fd: int, pieces: "list[memoryview]", offset: int) -> None:
    """Write pieces one after the other, from `offset` on; as many as one call takes."""
    done = os.pwritev(fd, pieces, offset)
    if done != sum(map(len, pieces)):
        pwrite_all(fd, b"".join(pieces)[done:], offset + done)


def start_writing(fd: int, offset: int, size: int) -> None:
    """Have Linux begin to write these bytes out. It promises nothing, and waits for nothing."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).sync_file_range(
        fd, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE
    )


def let_go(fd: int) -> None:
    """Close a descriptor that nothing hangs on any more, of a file that is synced or is to go. Should this
    fail, the descriptor is gone all the same, and its number may be another file's."""
    with suppress(OSError):
        os.close(fd)


def open_data(path: Path, *, writing: bool = False) -> int:
    """Open a data file: for reading alone on a disk that is read-only, unless someone is to write (EROFS)."""
    try:
        return os.open(path, os.O_RDWR | BINARY)
    except OSError as error:
        if error.errno != errno.EROFS or writing:
            raise
        return os.open(path, os.O_RDONLY | BINARY)


def file_size(path: Path) -> int:
    """The size in bytes; 0 for a file that is not there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def is_from_before_boot(path: Path) -> bool:
    """Whether the machine was started after a file was written, or a name in a directory changed: then what
    was never synced may be lost, in any part of it."""
    return os.stat(path).st_mtime < time.time() - awake_clock()


def check_room(directory: Path, needed: int, what: str) -> None:
    """Raise OSError (ENOSPC) if `needed` bytes more do not fit: better before a change than in its middle."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(
            errno.ENOSPC, f"{what} needs {needed} bytes more in {directory}, and {free} are free: make room"
        )


def read_or_open(path: Path, most: int) -> bytes | BinaryIO:
    """The contents of a file up to `most` bytes; a longer one open, which keeps its bytes if removed."""
    file = path.open("rb")
    if os.fstat(file.fileno()).st_size > most:
        return file
    with file:
        return file.read()
