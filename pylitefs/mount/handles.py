"""Open files of the mount: one handle for each `open`, which remembers whose it is and who opened it.

The rule: calls on an open file carry no path (it may be unlinked by then), so a handle knows everything
they need, also whether the applier opened it: then its writes go past the capture.
"""

import errno
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from pylitefs.mount.special_files import SpecialFile, SpecialKind
from pylitefs.store.disk_state import refusal
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.database import Database


class Attributes(NamedTuple):
    """What `stat` answers; `mode` with the file's type, `mtime_ns` also for atime and ctime."""

    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    mtime_ns: int


def refused(code: int) -> OSError:
    """The OSError for an errno, with the system's own words."""
    return refusal(code, os.strerror(code))


class Handle(ABC):
    """An open file. `fd` is its descriptor in the data directory, -1 where there is none."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` from `offset`; the number of bytes. (Data files are read without this call.)"""
        return os.preadv(self.fd, (buffer,), offset)

    @abstractmethod
    def write(self, data: memoryview, offset: int) -> int:
        """Write `data`, which must not be kept, at `offset`; the number of bytes."""

    @abstractmethod
    def truncate(self, size: int) -> None:
        """Cut or lengthen to `size` bytes."""

    @abstractmethod
    def sync(self, datasync: bool) -> None:
        """Make it durable."""

    @abstractmethod
    def release(self) -> None:
        """The last of its descriptors is closed."""


class DatabaseHandle(Handle):
    """One of a database's four files, opened by a client or by the applier."""

    __slots__ = ("applier", "database", "kind")

    def __init__(self, database: "Database", kind: FileKind, fd: int, applier: bool) -> None:
        super().__init__(fd)
        self.database = database
        self.kind = kind
        self.applier = applier

    def write(self, data: memoryview, offset: int) -> int:
        return self.database.write(self.kind, self.fd, data, offset, self.applier)

    def truncate(self, size: int) -> None:
        self.database.truncate(self.kind, size, self.applier, self.fd)

    def sync(self, datasync: bool) -> None:
        self.database.sync(self.kind, self.fd, datasync, self.applier)

    def release(self) -> None:
        self.database.release(self.kind, self.fd, self.applier)


class SuperJournalHandle(Handle):
    """`DB-mj…`, the list of journals of a transaction over several databases: a plain file."""

    __slots__ = ()

    def write(self, data: memoryview, offset: int) -> int:
        return os.pwrite(self.fd, data, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self.fd, size)

    def sync(self, datasync: bool) -> None:
        if datasync:
            os.fdatasync(self.fd)
        else:
            os.fsync(self.fd)

    def release(self) -> None:
        os.close(self.fd)


class SpecialHandle(Handle):
    """A special file: computed anew at each read, never written."""

    __slots__ = ("file",)

    def __init__(self, file: SpecialFile) -> None:
        super().__init__(-1)
        self.file = file

    def read(self, buffer: memoryview, offset: int) -> int:
        content = self.file.content()[offset : offset + len(buffer)]
        buffer[: len(content)] = content
        return len(content)

    def write(self, data: memoryview, offset: int) -> int:
        raise refused(errno.EIO)

    def truncate(self, size: int) -> None:
        """A shell's `> DB-lock` truncates what it opens, which changes nothing there."""
        if self.file.name.kind is not SpecialKind.LOCK:
            raise refused(errno.EACCES)

    def sync(self, datasync: bool) -> None:
        """There is nothing to keep."""

    def release(self) -> None:
        """There is nothing to close."""
