"""The filesystem: what SQLite does to files in the mount, translated into `Database` calls.

    SQLite --> kernel --> libfuse --> libfuse.Fuse --> MountOperations --> Database (store/)

The rule: nothing here decides what a transaction is. A callback finds out which database and which of
its files is meant, and whether the applier asks; the `Database` does the rest and says no with an
errno. What the kernel can answer by itself never gets here: there is no `lock` callback, so `fcntl`
locks are the kernel's own, and pages once read stay in its cache (`keep_cache`).

The names in the mount and their modes: "The mount" of https://fly.io/docs/litefs/how-it-works/.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol

from pylitefs.errors import InvalidNameError, SetAsideError
from pylitefs.mount.attributes import MountAttributes
from pylitefs.mount.handles import (
    Attributes,
    DatabaseHandle,
    Handle,
    SpecialHandle,
    SuperJournalHandle,
    refused,
)
from pylitefs.mount.kernel_locks import process_of
from pylitefs.mount.lock_file import open_special
from pylitefs.mount.name_guard import NameGuard
from pylitefs.mount.special_files import (
    SpecialFile,
    SpecialKind,
    SpecialName,
    listed_names,
    primary_content,
    split_special,
)
from pylitefs.shown import has_control
from pylitefs.store import super_journals
from pylitefs.store.names import FileKind, directory_remedy, is_super_journal, split_name
from pylitefs.store.privacy import FILE_MODE

if TYPE_CHECKING:
    from pylitefs.store.database import Database
    from pylitefs.store.halt_holder import HaltHolder
    from pylitefs.store.store import Store

_KEPT_FLAGS = os.O_ACCMODE | os.O_SYNC | os.O_DSYNC
"""What of open's flags reaches the data file. Not O_APPEND: the kernel has made an offset of it already,
and `pwrite` on such a descriptor would ignore it. Not O_TRUNC: it comes as a truncation of its own."""

_SIDE_KINDS = (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM)


class FileInfo(Protocol):
    """The fields of libfuse's `struct fuse_file_info` that are used; gone when the callback returns."""

    flags: int
    fh: int
    direct_io: int
    keep_cache: int
    lock_owner: int


class FileLock(Protocol):
    """The fields of `struct flock`: what is asked for, and of F_GETLK the answer."""

    l_type: int
    l_start: int
    l_len: int
    l_pid: int


class MountOperations:
    """One mount's callbacks, as fusepy names them, called by many libfuse threads at once.

    Paths are `/NAME`; with `flag_nopath` calls on an open file come without one, so everything they
    need is in the handle. All raise OSError with the errno that the client gets.
    """

    use_ns = True
    opening_halts = True
    """Who opens `DB-lock` to write takes the HALT lock."""
    flag_nullpath_ok = 1
    flag_nopath = 1
    flag_utime_omit_ok = 1

    # None: libfuse answers in C, and for those that end in ENOSYS the kernel does not ask again.
    access = None
    opendir = releasedir = fsyncdir = None
    getxattr = setxattr = listxattr = removexattr = None
    readlink = bmap = ioctl = None
    # None: fcntl locks are the kernel's. A mount with observed locks defines it (observed/operations.py).
    lock: Callable[[FileInfo, int, FileLock], None] | None = None
    # None, and this is a rule: no callback between SQLite and the release of its locks. A close drops every
    # lock of its process on the file, also one that another thread took while the close waited for us.
    flush: Callable[[str | None, FileInfo], None] | None = None

    def __init__(self, store: "Store", is_applier_thread: Callable[[int], bool] = lambda tid: False) -> None:
        """`is_applier_thread` says whether a thread's id (what FUSE names) belongs to the applier."""
        self.store = store
        self.is_applier_thread = is_applier_thread
        self.caller_tid: Callable[[], int] = lambda: 0
        """The thread whose call is being served; the session sets it to libfuse's answer."""
        self.interrupted: Callable[[], bool] = lambda: False
        """Whether nobody waits for the call any more, or the mount is ending; the session sets it."""
        self.guard = NameGuard(store)
        self.halts: HaltHolder | None = None
        """Takes HALT locks for clients; parts.py sets it."""
        self._tracer = store.tracer
        self._handles: dict[int, Handle] = {}
        self._next_handle = itertools.count(1)
        self._attributes = MountAttributes(store)

    def __call__(self, operation: str, *args: object) -> object:
        return getattr(self, operation)(*args)

    def init(self, path: str) -> None:
        """Defined so that libfuse calls `Fuse.init`, which tells the session that the mount is up."""

    def destroy(self, path: str) -> None:
        """Defined so that libfuse calls `Fuse.destroy`, which tells the session that it is about to go."""

    # --- names ---------------------------------------------------------------------------------------

    def getattr(self, path: str) -> Attributes:
        """What `stat` says of a name; ENOENT if there is none."""
        if path == "/":
            return self._attributes.of_directory()
        name = path[1:]
        if (special := split_special(name)) is not None:
            return self._attributes.of_special(self._find_special(special))
        if is_super_journal(name) is not None:
            return self._attributes.of_file(os.stat(self._super_journal(name)))
        database, kind = self._find(name)
        return self._attributes.of_file(database.stat(kind), kind, halted=database.state.is_halted)

    def getattr_handle(self, fh: int) -> Attributes:
        """What `fstat` says of an open file, also one whose name is gone."""
        return self._attributes.of_handle(self._handles[fh])

    def readdir(self, path: str | None, fh: int) -> Iterator[str]:
        """Databases, what SQLite has made beside them, position files, `.lag`, `.primary`; no lock files."""
        del path, fh
        yield "."
        yield ".."
        names = self.store.names()
        for name in names:
            yield name
            database = self.store.get(name)
            if database is not None:
                yield from (name + kind.suffix for kind in _SIDE_KINDS if os.path.exists(database.path(kind)))
                yield from super_journals.names_of(self.store.data_dir, name)
        yield from listed_names(self.store.status, names)

    def statfs(self, path: str) -> dict[str, int]:
        """The figures of the disk that the data directory is on."""
        del path
        figures = os.statvfs(self.store.data_dir)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail")
        return {name: getattr(figures, name) for name in names} | {"f_namemax": 255}

    def unlink(self, path: str) -> None:
        """Remove a file; for a journal that is a commit point, for a database its drop everywhere."""
        self._note_caller()
        name = path[1:]
        if split_special(name) is not None:
            self._refuse(name, "unlink", "it is a file of the mount itself", "leave it alone", errno.EPERM)
        if is_super_journal(name) is not None:
            self._require_primary(name, "unlink of a super-journal")
            self.store.remove_super_journal(name)
            return
        database, kind = self._find(name)
        applier = self._by_applier()
        if not applier:
            self.guard.check("removing", database, kind, self.caller_tid())
        database.remove(kind, applier)

    def rename(self, old: str, new: str) -> NoReturn:
        """Refused: a database keeps its name on every node."""
        remedy = f"pylitefs import -name {new[1:]} FILE, then remove the old one"
        self._refuse(old[1:], f"rename to {new[1:]}", "databases keep their names", remedy, errno.EPERM)

    def mkdir(self, path: str, mode: int) -> NoReturn:
        """Refused: the mount is flat."""
        self._refuse_kind(path, "a directory", directory_remedy(path[1:]))

    def rmdir(self, path: str) -> NoReturn:
        """Refused: there is no directory but the mount's own."""
        self._refuse_kind(path, "removing a directory")

    def mknod(self, path: str, mode: int, device: int) -> NoReturn:
        """Refused: only what SQLite makes is kept (regular files come through `create`)."""
        self._refuse_kind(path, "a device, pipe or socket")

    def link(self, target: str, source: str) -> NoReturn:
        """Refused: a second name would be a second database with the same bytes."""
        self._refuse_kind(target, "a hard link")

    def symlink(self, target: str, source: str) -> NoReturn:
        """Refused: every name here is a database's."""
        self._refuse_kind(target, "a symbolic link")

    def chmod(self, path: str, mode: int) -> None:
        """Accepted and without effect: the mode says what the node's role allows."""

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Accepted and without effect; SQLite run by root does it to each journal it makes."""

    def utimens(self, path: str, times: tuple[int, int] | None) -> None:
        """Accepted and without effect."""

    # --- opening -------------------------------------------------------------------------------------

    def create(self, path: str, mode: int, fi: FileInfo) -> None:
        """Make and open a file. A new name makes a database, on the primary or for the applier."""
        del mode
        self._note_caller()
        name = path[1:]
        flags = (fi.flags & _KEPT_FLAGS) | os.O_CREAT | (fi.flags & os.O_EXCL)
        if split_special(name) is not None:
            self._refuse(name, "create", "the name is the mount's own", "use another name", errno.EPERM)
        if has_control(name):
            self._refuse(name, "create", "a control character in the name", "use another name", errno.EINVAL)
        if is_super_journal(name) is not None:
            self._require_primary(name, "create of a super-journal")
            fd = os.open(self._super_journal(name), flags | os.O_CLOEXEC, FILE_MODE)
            self._add(fi, SuperJournalHandle(fd))
            return
        database, kind = self._find_or_make(name)
        applier = self._by_applier()
        if not applier and kind is FileKind.JOURNAL:
            self.guard.check("making", database, kind, self.caller_tid())
        fd = database.create_file(kind, flags, applier)
        self._add(fi, DatabaseHandle(database, kind, fd, applier))

    def open(self, path: str, fi: FileInfo) -> None:
        """Open a file that exists; O_CREAT, O_EXCL and O_TRUNC never come here."""
        self._note_caller()
        name = path[1:]
        flags = fi.flags & _KEPT_FLAGS
        if (special := split_special(name)) is not None:
            self._open_special(special, fi)
            return
        if is_super_journal(name) is not None:
            fd = os.open(self._super_journal(name), flags | os.O_CLOEXEC)
            self._add(fi, SuperJournalHandle(fd))
            return
        database, kind = self._find(name)
        applier = self._by_applier()
        if not applier and kind is FileKind.JOURNAL and flags & os.O_ACCMODE != os.O_RDONLY:
            self.guard.check("writing", database, kind, self.caller_tid())
        fd = database.open_file(kind, flags, applier)
        self._add(fi, DatabaseHandle(database, kind, fd, applier))
        if kind in database.stale:
            database.stale.discard(kind)
            fi.keep_cache = 0

    def _open_special(self, special: SpecialName, fi: FileInfo) -> None:
        file = self._find_special(special)
        writing = fi.flags & os.O_ACCMODE != os.O_RDONLY
        if writing and special.kind is not SpecialKind.LOCK:
            raise refused(errno.EACCES)
        fi.direct_io = 1
        fi.fh = self._register(open_special(file, self, writing=writing))

    def _add(self, fi: FileInfo, handle: Handle) -> None:
        fi.keep_cache = 1
        fi.fh = self._register(handle)

    def _register(self, handle: Handle) -> int:
        fh = next(self._next_handle)
        self._handles[fh] = handle
        return fh

    # --- open files ----------------------------------------------------------------------------------

    def read(self, fh: int, buffer: memoryview, offset: int) -> int:
        """Fill libfuse's buffer from `offset`; the number of bytes read, fewer only at the end."""
        handle = self._handles[fh]
        if handle.fd >= 0:
            return os.preadv(handle.fd, (buffer,), offset)
        return handle.read(buffer, offset)

    def write(self, fh: int, data: memoryview, offset: int) -> int:
        """Write libfuse's buffer at `offset`; the number of bytes written. `data` must not be kept."""
        if self._tracer.active:
            self._note_caller()
        return self._handles[fh].write(data, offset)

    def truncate(self, path: str | None, length: int, fi: FileInfo | None = None) -> None:
        """Cut or lengthen a file, open or by name; of a journal to 0 it is a commit point."""
        self._note_caller()
        if fi is not None:
            self._handles[fi.fh].truncate(length)
            return
        name = (path or "/")[1:]
        if (special := split_special(name)) is not None:
            SpecialHandle(self._find_special(special)).truncate(length)
        elif is_super_journal(name) is not None:
            os.truncate(self._super_journal(name), length)
        else:
            database, kind = self._find(name)
            database.truncate(kind, length, self._by_applier())

    def fsync(self, path: str | None, datasync: int, fi: FileInfo) -> None:
        """Make an open file durable, as SQLite asks for it."""
        del path
        self._note_caller()
        self._handles[fi.fh].sync(bool(datasync))

    def release(self, path: str | None, fi: FileInfo) -> None:
        """The last descriptor of an open file is closed; nobody waits for this."""
        del path
        self._note_caller()
        self._handles.pop(fi.fh).release()

    def close_handles(self) -> None:
        """Close what clients had open when the mount ended; what was half done is recovery's."""
        while self._handles:
            _, handle = self._handles.popitem()
            if handle.fd >= 0:
                os.close(handle.fd)

    # --- what is meant, and who asks -----------------------------------------------------------------

    def _find(self, name: str) -> "tuple[Database, FileKind]":
        try:
            database_name, kind = split_name(name)
        except InvalidNameError as error:
            # The kernel asks for a file before it makes one: `create` then says why there is none.
            raise refused(errno.ENOENT if has_control(name) else errno.ENAMETOOLONG) from error
        database = self.store.get(database_name)
        if database is None:
            self._check_served(database_name)
        if database is None:
            raise refused(errno.ENOENT)
        return database, kind

    def _super_journal(self, name: str) -> Path:
        try:
            return self.store.super_journal_path(name)
        except InvalidNameError:
            raise refused(errno.ENOENT) from None

    def _find_or_make(self, name: str) -> "tuple[Database, FileKind]":
        try:
            return self._find(name)
        except FileNotFoundError:
            database_name, kind = split_name(name)
        if not self._by_applier():
            self._require_primary(name, "create")
        if kind is not FileKind.DATABASE:
            raise refused(errno.ENOENT)
        return self.store.create(database_name), kind

    def _find_special(self, special: SpecialName) -> SpecialFile:
        status = self.store.status
        if special.kind is SpecialKind.PRIMARY and primary_content(status) is None:
            raise refused(errno.ENOENT)
        if not special.database:
            return SpecialFile(special, status, None)
        database = self.store.get(special.database)
        self._check_served(special.database)
        if database is None or not (database.pos.txid or database.exists):
            raise refused(errno.ENOENT)
        return SpecialFile(special, status, database)

    def _check_served(self, name: str) -> None:
        """EIO for a database that was set aside, under every name of its files."""
        try:
            self.store.check_served(name)
        except SetAsideError as error:
            raise refused(errno.EIO) from error

    def _by_applier(self) -> bool:
        return self.is_applier_thread(self.caller_tid())

    def _note_caller(self) -> None:
        if self._tracer.active:
            self._tracer.set_caller(process_of(self.caller_tid()))

    # --- refusals ------------------------------------------------------------------------------------

    def _refuse(self, name: str, what: str, why: str, remedy: str, code: int) -> NoReturn:
        self.store.log_refusal(name, what, why, remedy)
        raise refused(code)

    def _refuse_kind(self, path: str, what: str, remedy: str = "put it elsewhere") -> NoReturn:
        self._refuse(path[1:], what, "the mount holds databases only", remedy, errno.EPERM)

    def _require_primary(self, name: str, what: str) -> None:
        if not self.store.status.may_write():
            self._refuse(name, what, "this node is a replica", "write on the primary", errno.EACCES)
