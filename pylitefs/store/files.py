"""Small, durable file work. The rule: what must survive a crash is synced before its name is, and the
name before anything that depends on it."""

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from pylitefs.errors import DataDirectoryError
from pylitefs.store.privacy import close_to_others, make_directory, private

_SYNC_FILE_RANGE_WRITE = 2
WRITTEN_TOGETHER = 8 << 20
"""The disk is given a long file in pieces of about so many bytes, so that its sync has little left to do."""


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
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
    """Have the kernel begin to write these bytes out. It promises nothing, and waits for nothing."""
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
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EROFS or writing:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def file_size(path: Path) -> int:
    """The size in bytes; 0 for a file that is not there."""
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def check_room(directory: Path, needed: int, what: str) -> None:
    """Raise OSError (ENOSPC) if `needed` bytes more do not fit: better before a change than in its middle."""
    figures = os.statvfs(directory)
    free = figures.f_bavail * figures.f_frsize
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


class DirectoryLock:
    """The data directory belongs to one node: a lock on the directory itself, gone with the process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._fd = -1

    def acquire(self) -> None:
        """Raises DataDirectoryError naming the process that holds the directory."""
        try:
            make_directory(self.directory)
            fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise DataDirectoryError(
                f"cannot use {self.directory} as the data directory: {error.strerror}; "
                "choose another with data.dir or change its owner"
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = holder_of(os.fstat(fd).st_ino) or "another process"
            os.close(fd)
            raise DataDirectoryError(
                f"the data directory {self.directory} is in use by {holder}: "
                "stop that node, or give this one a data.dir of its own"
            ) from None
        close_to_others(self.directory, fd)
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


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
