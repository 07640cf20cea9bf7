"""`DB@TXID` in the mount: a database as it was, to read (`fuse.moments`).

The rule: such a name is never listed, never written, and never made. It is there while the node's LTX files
have that moment. A database that really has such a name comes first.
"""

import errno
import logging
import os
import re
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.errors import PylitefsError
from pylitefs.mount.handles import Attributes, Handle, refused
from pylitefs.mount.operations import FileInfo, MountOperations
from pylitefs.store.moments import StoredMoment, look_up

if TYPE_CHECKING:
    from pylitefs.store.database import Database
    from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")
_NAME = re.compile(r"(?P<db>.+)@(?P<txid>[0-9a-fA-F]{1,16})", re.DOTALL)


class MomentHandle(Handle):
    """An open moment."""

    __slots__ = ("moment", "name")

    def __init__(self, name: str, moment: StoredMoment) -> None:
        super().__init__(-1)
        self.name = name
        self.moment = moment

    def read(self, buffer: memoryview, offset: int) -> int:
        try:
            data = self.moment.read(offset, len(buffer))
        except PylitefsError as error:
            log.warning("mount: a read of %s fails: %s", self.name, error)
            raise refused(errno.EIO) from error
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: memoryview, offset: int) -> int:
        raise refused(errno.EROFS)

    def truncate(self, size: int) -> None:
        raise refused(errno.EROFS)

    def sync(self, datasync: bool) -> None:
        """There is nothing to keep."""

    def release(self) -> None:
        self.moment.close()


class MomentOperations(MountOperations):
    """The mount's callbacks, and the moments."""

    def getattr(self, path: str) -> Attributes:
        found = self._moment(path)
        if found is None:
            return super().getattr(path)
        try:
            header = look_up(*found)
        except PylitefsError:
            raise refused(errno.ENOENT) from None
        return _attributes(header.commit * header.page_size, header.timestamp_ms)

    def getattr_handle(self, fh: int) -> Attributes:
        handle = self._handles[fh]
        if isinstance(handle, MomentHandle):
            return _attributes(handle.moment.size, handle.moment.time_ms)
        return super().getattr_handle(fh)

    def open(self, path: str, fi: FileInfo) -> None:
        found = self._moment(path)
        if found is None:
            super().open(path, fi)
            return
        if fi.flags & os.O_ACCMODE != os.O_RDONLY:
            raise refused(errno.EACCES)
        try:
            moment = StoredMoment(*found)
        except PylitefsError as error:
            log.info("mount: %s cannot be opened: %s", path[1:], error)
            raise refused(errno.ENOENT) from None
        fi.keep_cache = 0
        fi.fh = self._register(MomentHandle(path[1:], moment))

    def create(self, path: str, mode: int, fi: FileInfo) -> None:
        if self._moment(path) is not None:
            remedy = "`pylitefs history` shows which TXIDs there are"
            self._refuse(path[1:], "create", "there is no such moment", remedy, errno.EROFS)
        super().create(path, mode, fi)

    def truncate(self, path: str | None, length: int, fi: FileInfo | None = None) -> None:
        if fi is None and path is not None and self._moment(path) is not None:
            raise refused(errno.EROFS)
        super().truncate(path, length, fi)

    def unlink(self, path: str) -> None:
        if self._moment(path) is not None:
            raise refused(errno.EROFS)
        super().unlink(path)

    def _moment(self, path: str) -> "tuple[Database, int] | None":
        """The database and the TXID that a name means; None if it means no moment."""
        found = _NAME.fullmatch(path, 1)
        if found is None or self.store.get(path[1:]) is not None:
            return None
        database = self.store.get(found["db"])
        return (database, int(found["txid"], 16)) if database is not None else None


def make_operations(
    store: "Store", is_applier_thread: Callable[[int], bool], *, moments: bool
) -> MountOperations:
    """The mount's callbacks, with moments or without."""
    return (MomentOperations if moments else MountOperations)(store, is_applier_thread)


def _attributes(size: int, time_ms: int) -> Attributes:
    return Attributes(stat.S_IFREG | 0o444, 1, os.getuid(), os.getgid(), size, time_ms * 1_000_000)
