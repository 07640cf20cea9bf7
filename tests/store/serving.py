"""Real SQLite in this process whose system calls are answered by `Database`: another front end than FUSE.

SQLite's unix VFS lets its system calls be replaced (xSetSystemCall), and a copy of that VFS lets its
`xSync` be. Calls on names below the directory of a `Served` go to its store as the mount would pass them
on; all others go where they always go. Descriptors are the data files' own, so locks, reads and the
mapped WAL index are SQLite's and the kernel's affair, as on a disk.

    served = Served(store, directory)
    db = served.connect("a.db")          # sqlite3.Connection
"""

import _sqlite3
import ctypes
import errno
import os
import sqlite3
from collections.abc import Callable
from ctypes import CFUNCTYPE, c_char_p, c_int, c_int64, c_size_t, c_ssize_t, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pylitefs.store.database import Database
from pylitefs.store.names import FileKind, is_super_journal, split_name
from pylitefs.store.store import Store

VFS_NAME = "pylitefs-test"
SQLITE_SYNC_DATAONLY = 0x10
SQLITE_IOERR_FSYNC = 10 | 4 << 8
_FD_OFFSET = 24
"""Of the descriptor in SQLite's `unixFile`: after three pointers."""
_METHODS = 19
"""Function pointers in `sqlite3_io_methods` of version 3, after the version itself."""
_SYNC = 5
"""Which of them is xSync: after xClose, xRead, xWrite, xTruncate (counted with the version as 0)."""


@dataclass(frozen=True)
class OpenFile:
    """A descriptor that SQLite has, and whose it is."""

    served: "Served"
    database: Database
    kind: FileKind
    applier: bool = False


class Served:
    """A directory that looks to SQLite as a store's mount would: flat, its names databases."""

    def __init__(self, store: Store, directory: Path) -> None:
        _install()
        self.store = store
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.unexpected: list[BaseException] = []
        """What a call raised that is no OSError: bugs, for the test to find."""
        self.refuse: Callable[[str, str], int] = lambda call, name: 0
        """refuse(call, name) gives the errno a call is to fail with before it reaches the store, or 0."""
        self.lose: Callable[[str, str], int] = lambda call, name: 0
        """The same, asked once the call is done: its caller is killed before it has the answer."""
        self.as_applier = False
        """Whether who opens and removes files just now is the node's applier."""
        self._connections: list[sqlite3.Connection] = []
        _served[os.fsencode(directory)] = self

    def close(self) -> None:
        """Close every connection and serve no more; what went wrong unexpectedly is raised."""
        for connection in self._connections:
            connection.close()
        _served.pop(os.fsencode(self.directory), None)
        if self.unexpected:
            raise self.unexpected[0]

    def uri(self, name: str, **parameters: object) -> str:
        extra = "".join(f"&{key}={value}" for key, value in parameters.items())
        return f"file:{self.directory}/{name}?vfs={VFS_NAME}{extra}"

    def connect(
        self, name: str, *pragmas: str, timeout: float = 0, **parameters: object
    ) -> sqlite3.Connection:
        """A connection in autocommit mode; `pragmas` as `journal_mode=wal`, parameters go into the URI."""
        db = sqlite3.connect(
            self.uri(name, **parameters),
            uri=True,
            isolation_level=None,
            timeout=timeout,
            check_same_thread=False,
        )
        self._connections.append(db)
        for pragma in pragmas:
            db.execute(f"PRAGMA {pragma}")
        return db

    # -- the calls ---------------------------------------------------------------------------------------

    def find(self, name: str) -> tuple[Database | None, FileKind]:
        database, kind = split_name(name)
        return self.store.get(database), kind

    def data_path(self, name: str) -> bytes:
        """Where the bytes behind a name lie; a path that does not exist for one that nobody knows."""
        if is_super_journal(name):
            return os.fsencode(self.store.super_journal_path(name))
        database, kind = self.find(name)
        return os.fsencode(database.path(kind) if database else self.store.data_dir / "none" / name)

    def open(self, name: str, flags: int) -> int:
        kept = flags & (os.O_ACCMODE | os.O_EXCL)
        if is_super_journal(name):
            return os.open(self.store.super_journal_path(name), flags & ~os.O_NOFOLLOW, 0o666)
        database, kind = self.find(name)
        if database is not None and database.path(kind).exists():
            fd = database.open_file(kind, kept, self.as_applier)
        elif flags & os.O_CREAT:
            if database is None:
                if kind is not FileKind.DATABASE:
                    raise FileNotFoundError(errno.ENOENT, name)
                database = self.store.create(split_name(name)[0])
            fd = database.create_file(kind, kept | os.O_CREAT, self.as_applier)
        else:
            raise FileNotFoundError(errno.ENOENT, name)
        _open_files[fd] = OpenFile(self, database, kind, self.as_applier)
        return fd

    def unlink(self, name: str) -> None:
        if is_super_journal(name):
            self.store.remove_super_journal(name)
            return
        database, kind = self.find(name)
        if database is None:
            raise FileNotFoundError(errno.ENOENT, name)
        database.remove(kind, self.as_applier)


# -- what SQLite is handed -----------------------------------------------------------------------------------

_served: dict[bytes, Served] = {}
_open_files: dict[int, OpenFile] = {}
_kept: list[object] = []
"""Callbacks that C code holds must not be collected."""


class _Vfs(ctypes.Structure):
    """struct sqlite3_vfs, version 3."""

    _fields_ = (
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
        ("xAccess", c_void_p),
        ("xFullPathname", c_void_p),
        ("xDlOpen", c_void_p),
        ("xDlError", c_void_p),
        ("xDlSym", c_void_p),
        ("xDlClose", c_void_p),
        ("xRandomness", c_void_p),
        ("xSleep", c_void_p),
        ("xCurrentTime", c_void_p),
        ("xGetLastError", c_void_p),
        ("xCurrentTimeInt64", c_void_p),
        ("xSetSystemCall", c_void_p),
        ("xGetSystemCall", c_void_p),
        ("xNextSystemCall", c_void_p),
    )


def _below(path: bytes) -> tuple[Served, str] | None:
    """Whose name a path is, if a served directory's."""
    directory, _, name = path.rpartition(b"/")
    served = _served.get(directory)
    return (served, os.fsdecode(name)) if served is not None and name else None


def _answer(served: Served, call: str, name: str, do: Callable[[], int | None]) -> int:
    """The result of a call (0 where it has none), or -1 with errno set, as C wants it."""
    if code := served.refuse(call, name):
        ctypes.set_errno(code)
        return -1
    try:
        done = do() or 0
        code = served.lose(call, name)
        if not code:
            return done
        ctypes.set_errno(code)
    except OSError as error:
        ctypes.set_errno(error.errno or errno.EIO)
    except BaseException as error:
        served.unexpected.append(error)
        ctypes.set_errno(errno.EIO)
    return -1


Original = Callable[..., int]


def _open(original: Original, path: bytes, flags: int, mode: int) -> int:
    found = _below(path)
    if found is None:
        return original(path, flags, mode)
    served, name = found
    return _answer(served, "open", name, lambda: served.open(name, flags))


def _close(original: Original, fd: int) -> int:
    file = _open_files.pop(fd, None)
    if file is None:
        return original(fd)

    return _answer(file.served, "close", "", lambda: file.database.release(file.kind, fd, file.applier))


def _by_path(original: Original, path: bytes, argument: int) -> int:
    """access, stat and lstat: what the data file says."""
    found = _below(path)
    return original(found[0].data_path(found[1]) if found else path, argument)


def _unlink(original: Original, path: bytes) -> int:
    found = _below(path)
    if found is None:
        return original(path)
    served, name = found
    return _answer(served, "unlink", name, lambda: served.unlink(name))


def _ftruncate(original: Original, fd: int, size: int) -> int:
    file = _open_files.get(fd)
    if file is None:
        return original(fd, size)
    return _answer(
        file.served,
        "truncate",
        file.database.name + file.kind.suffix,
        lambda: file.database.truncate(file.kind, size, file.applier, fd),
    )


def _pwrite(original: Original, fd: int, buffer: int, count: int, offset: int) -> int:
    file = _open_files.get(fd)
    if file is None:
        return original(fd, buffer, count, offset)
    data = memoryview((ctypes.c_char * count).from_address(buffer)).cast("B")
    return _answer(
        file.served,
        "write",
        file.database.name + file.kind.suffix,
        lambda: file.database.write(file.kind, fd, data, offset, file.applier),
    )


def _write(original: Original, fd: int, buffer: int, count: int) -> int:
    """SQLite without USE_PREAD seeks and writes."""
    if fd not in _open_files:
        return original(fd, buffer, count)
    offset = os.lseek(fd, 0, os.SEEK_CUR)
    written = _pwrite(original, fd, buffer, count, offset)
    if written > 0:
        os.lseek(fd, offset + written, os.SEEK_SET)
    return written


_HOOKS: tuple[tuple[bytes, Callable[..., int], tuple[Any, ...]], ...] = (
    (b"open", _open, (c_int, c_char_p, c_int, c_int)),
    (b"close", _close, (c_int, c_int)),
    (b"access", _by_path, (c_int, c_char_p, c_int)),
    (b"stat", _by_path, (c_int, c_char_p, c_void_p)),
    (b"lstat", _by_path, (c_int, c_char_p, c_void_p)),
    (b"unlink", _unlink, (c_int, c_char_p)),
    (b"ftruncate", _ftruncate, (c_int, c_int, c_int64)),
    (b"write", _write, (c_ssize_t, c_int, c_void_p, c_size_t)),
    (b"pwrite", _pwrite, (c_ssize_t, c_int, c_void_p, c_size_t, c_int64)),
    (b"pwrite64", _pwrite, (c_ssize_t, c_int, c_void_p, c_size_t, c_int64)),
)


def _install() -> None:
    """Put the hooks into SQLite and register the VFS, once in a process."""
    if _kept:
        return
    lib = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    lib.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    unix = lib.sqlite3_vfs_find(b"unix").contents
    get = CFUNCTYPE(c_void_p, c_void_p, c_char_p)(unix.xGetSystemCall)
    set_ = CFUNCTYPE(c_int, c_void_p, c_char_p, c_void_p)(unix.xSetSystemCall)
    for name, hook, types in _HOOKS:
        pointer = get(ctypes.addressof(unix), name)
        if not pointer:
            continue  # This build of SQLite does without it.
        prototype = CFUNCTYPE(*types, use_errno=True)
        callback = prototype(_bound(hook, prototype(pointer)))
        _kept.append(callback)
        result = set_(ctypes.addressof(unix), name, ctypes.cast(callback, c_void_p))
        assert result == 0, f"SQLite does not let {name!r} be replaced"
    vfs = _Vfs.from_buffer_copy(unix)
    vfs.zName = VFS_NAME.encode()
    vfs.xOpen = ctypes.cast(_opening(unix.xOpen), c_void_p)
    _kept.append(vfs)
    assert lib.sqlite3_vfs_register(ctypes.byref(vfs), 0) == 0


def _bound(hook: Callable[..., int], original: Original) -> Callable[..., int]:
    return lambda *arguments: hook(original, *arguments)


def _opening(unix_open: int) -> Any:
    """xOpen that gives each file a table of methods in which xSync is ours."""
    prototype = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
    original = prototype(unix_open)
    sync_prototype = CFUNCTYPE(c_int, c_void_p, c_int)
    tables: dict[int, Any] = {}

    def table_for(methods: int) -> int:
        if methods not in tables:
            copy = (c_void_p * _METHODS).from_buffer_copy((c_void_p * _METHODS).from_address(methods))
            sync = sync_prototype(_syncing(sync_prototype(cast(int, copy[_SYNC]))))
            copy[_SYNC] = ctypes.cast(sync, c_void_p)
            tables[methods] = (copy, sync)
        return ctypes.addressof(tables[methods][0])

    def open_(vfs: int, name: int, file: int, flags: int, out_flags: int) -> int:
        result: int = original(vfs, name, file, flags, out_flags)
        methods = c_void_p.from_address(file)
        if result == 0 and methods.value:
            methods.value = table_for(methods.value)
        return result

    callback = prototype(open_)
    _kept.append((callback, tables))
    return callback


def _syncing(original: Callable[..., int]) -> Callable[[int, int], int]:
    def sync(file: int, flags: int) -> int:
        fd = c_int.from_address(file + _FD_OFFSET).value
        open_file = _open_files.get(fd)
        if open_file is None:
            return original(file, flags)
        done = _answer(
            open_file.served,
            "sync",
            open_file.database.name + open_file.kind.suffix,
            lambda: open_file.database.sync(
                open_file.kind, fd, bool(flags & SQLITE_SYNC_DATAONLY), open_file.applier
            ),
        )
        return 0 if done == 0 else SQLITE_IOERR_FSYNC

    return sync
