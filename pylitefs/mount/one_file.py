"""A mount with one file to read, whose bytes come from a function: how a program of any kind reads a database
as it was, page by page, without a node.

The rule: it is for the process that makes it, and ends with it. Nothing can be written.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator

from pylitefs.mount.handles import Attributes, refused
from pylitefs.mount.operations import FileInfo

Read = Callable[[int, int], bytes]
"""`read(offset, size)`: bytes of the file, fewer only at its end."""


class _NoGuard:
    """Nobody makes or removes names here, so nobody has to be kept from it."""

    def begin(self, minor: int, seconds: float) -> None:
        """The mount is up."""


class OneFileOperations:
    """The callbacks of such a mount, as fusepy names them."""

    use_ns = True
    flag_nullpath_ok = 1
    flag_nopath = 1
    flag_utime_omit_ok = 1

    def __init__(self, name: str, size: int, read: Read) -> None:
        self._name = name
        self._size = size
        self._read = read
        self.guard = _NoGuard()
        self.caller_tid: Callable[[], int] = lambda: 0
        self.interrupted: Callable[[], bool] = lambda: False
        self.failure: Exception | None = None
        """Why the last read failed: its client was told no more than EIO."""

    def __call__(self, operation: str, *args: object) -> object:
        return getattr(self, operation)(*args)

    def init(self, path: str) -> None:
        """Defined so that libfuse calls `Fuse.init`."""

    def destroy(self, path: str) -> None:
        """Defined so that libfuse calls `Fuse.destroy`."""

    def getattr(self, path: str) -> Attributes:
        if path == "/":
            return Attributes(stat.S_IFDIR | 0o555, 2, os.getuid(), os.getgid(), 0, 0)
        if path[1:] != self._name:
            raise refused(errno.ENOENT)
        return self.getattr_handle(0)

    def getattr_handle(self, fh: int) -> Attributes:
        return Attributes(stat.S_IFREG | 0o444, 1, os.getuid(), os.getgid(), self._size, 0)

    def readdir(self, path: str | None, fh: int) -> Iterator[str]:
        yield from (".", "..", self._name)

    def open(self, path: str, fi: FileInfo) -> None:
        if fi.flags & os.O_ACCMODE != os.O_RDONLY:
            raise refused(errno.EROFS)
        fi.keep_cache = 1

    def read(self, fh: int, buffer: memoryview, offset: int) -> int:
        try:
            data = self._read(offset, len(buffer))
        except Exception as error:
            self.failure = error
            raise refused(errno.EIO) from error
        buffer[: len(data)] = data
        return len(data)

    def close_handles(self) -> None:
        """There are none."""
