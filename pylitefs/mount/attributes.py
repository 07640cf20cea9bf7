"""What `stat` says of the names in the mount. The node's user owns them; the node's role decides their modes.

The rule: sizes and times are the data file's; modes say what would be allowed. A replica's database is there
to read, and its directory takes no new names.
"""

import os
import stat
from typing import TYPE_CHECKING

from pylitefs.mount.handles import Attributes, DatabaseHandle, Handle, SpecialHandle
from pylitefs.mount.special_files import SpecialFile
from pylitefs.store.names import FileKind

if TYPE_CHECKING:
    from pylitefs.store.store import Store

_ANYTHING = 0o666


class MountAttributes:
    """The attributes of one mount's files."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._uid = os.getuid()
        self._gid = os.getgid()

    def of_file(
        self, found: os.stat_result, kind: FileKind | None = None, *, halted: bool = False
    ) -> Attributes:
        """A data file's, with the mount's mode and owner in place of its own (None: a super-journal's).
        `halted`: this node has the database's HALT lock."""
        read_only = kind is FileKind.DATABASE and not self._store.status.is_primary and not halted
        mode = stat.S_IFREG | (0o444 if read_only else _ANYTHING)
        return Attributes(mode, found.st_nlink, self._uid, self._gid, found.st_size, found.st_mtime_ns)

    def of_handle(self, handle: Handle) -> Attributes:
        """An open file's, also one whose name is gone."""
        if isinstance(handle, SpecialHandle):
            return self.of_special(handle.file)
        if not isinstance(handle, DatabaseHandle):
            return self.of_file(os.fstat(handle.fd))
        halted = handle.database.state.is_halted
        return self.of_file(os.fstat(handle.fd), handle.kind, halted=halted)

    def of_special(self, file: SpecialFile) -> Attributes:
        """A file's that the mount makes up."""
        mode = stat.S_IFREG | file.mode
        return Attributes(mode, 1, self._uid, self._gid, len(file.content()), file.mtime_ns)

    def of_directory(self) -> Attributes:
        """The mount's own."""
        found = os.stat(self._store.data_dir)
        mode = stat.S_IFDIR | (0o777 if self._store.status.is_primary else 0o555)
        return Attributes(mode, 2, self._uid, self._gid, found.st_size, found.st_mtime_ns)
