"""APSW's side: SQLite's calls of a VFS, handed to `Files`, and errors handed back with their words.

The rule: nothing below this module imports apsw, and it decides nothing. SQLite gets the result code that it
would get on a mount. Python gets the sentence: APSW raises what was raised here, once SQLite has given up.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import apsw

from pylitefs.errors import BusyError, PylitefsError
from pylitefs.vfs.files import DatabaseFile, File
from pylitefs.vfs.outside import Outside
from pylitefs.vfs.temporary import TemporaryFile

_UNIX_EPOCH_MS = 210866760000000
"""Of SQLite's clock: milliseconds from noon, 24 November 4714 BC, to 1970."""
_SECTOR = 4096
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
WAL_ALONE = (
    "needs locking_mode=EXCLUSIVE here: its index would be shared memory, which a VFS of "
    "APSW has not; say PRAGMA locking_mode=EXCLUSIVE first (then this connection has the database for "
    "itself), or use DELETE, TRUNCATE or PERSIST"
)


def _plain(path: str) -> str:
    return path.removeprefix("/")


def _flags_of(flags: int) -> int:
    """SQLite's flags as those of `os.open`."""
    made = os.O_RDONLY if flags & apsw.SQLITE_OPEN_READONLY else os.O_RDWR
    made |= os.O_CREAT if flags & apsw.SQLITE_OPEN_CREATE else 0
    return made | (os.O_EXCL if flags & apsw.SQLITE_OPEN_EXCLUSIVE else 0)


class Files(Protocol):
    """What is asked of a node's files: `vfs.files.Files`, or whatever wraps it."""

    def open(self, name: str | None, flags: int) -> File: ...
    def delete(self, name: str) -> None: ...
    def exists(self, name: str) -> bool: ...


Explain = Callable[[str, OSError], str]
"""explain(name, error): the sentence for a person."""


def plainly(name: str, error: OSError) -> str:
    """`app.db: this node is a replica`."""
    return f"{name}: {error.strerror or error}"


@contextmanager
def _told(
    name: str, explain: Explain, extended: int, refused: type[apsw.Error] | None = None
) -> Iterator[None]:
    """Errors of the store as SQLite's. `extended`: which I/O error it is, where it is none that is known."""
    try:
        yield
    except OSError as error:
        text = explain(name, error)
        if error.errno in _FULL:
            raise apsw.FullError(text) from error
        if refused is not None and error.errno in _REFUSED:
            raise refused(text) from error
        raise _failed(text, extended) from error
    except BusyError as error:
        raise apsw.BusyError(str(error)) from error
    except PylitefsError as error:
        raise _failed(str(error), extended) from error


def _failed(text: str, extended: int) -> apsw.Error:
    made: apsw.Error = apsw.CantOpenError(text) if extended == apsw.SQLITE_CANTOPEN else apsw.IOError(text)
    made.extendedresult = extended  # type: ignore[attr-defined]
    return made


class NodeVfs(apsw.VFS):
    """SQLite's VFS over one node's files. `name` is for `apsw.Connection(database, vfs=name)`."""

    def __init__(self, name: str, files: Files, outside: Outside, explain: Explain = plainly) -> None:
        super().__init__(name, None)
        self.vfs_name = name
        self._files = files
        self._outside = outside
        self._explain = explain

    def xOpen(  # type: ignore[override]  # APSW calls the methods of whatever it gets.
        self, name: "str | apsw.URIFilename | None", flags: list[int]
    ) -> "NodeFile":
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        plain = None if path is None else _plain(path)
        with _told(plain or "a temporary file", self._explain, apsw.SQLITE_CANTOPEN, apsw.ReadOnlyError):
            file = self._files.open(plain, _flags_of(flags[0]))
        flags[1] = flags[0]
        return NodeFile(plain or "a temporary file", file, self._explain)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        name = _plain(filename)
        try:
            with _told(name, self._explain, apsw.SQLITE_IOERR_DELETE):
                self._files.delete(name)
        except apsw.IOError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                error.extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT  # type: ignore[attr-defined]
            raise

    def xAccess(self, pathname: str, flags: int) -> bool:
        with _told(_plain(pathname), self._explain, apsw.SQLITE_IOERR_ACCESS):
            return self._files.exists(_plain(pathname))

    def xFullPathname(self, name: str) -> str:
        """Names are flat here, as in a mount: a slash in front makes them whole for SQLite."""
        if "/" in name.removeprefix("/") or "\\" in name:
            raise apsw.CantOpenError(f"{name!r}: a node's databases have plain names, without a folder")
        return "/" + name.removeprefix("/")

    def xRandomness(self, numbytes: int) -> bytes:
        return self._outside.random(numbytes)

    def xSleep(self, microseconds: int) -> int:
        self._outside.sleep(microseconds / 1e6)
        return microseconds

    def xCurrentTimeInt64(self) -> int:
        return _UNIX_EPOCH_MS + self._outside.unix_ms()

    def xCurrentTime(self) -> float:
        return self.xCurrentTimeInt64() / 86_400_000

    def xGetLastError(self) -> tuple[int, str | None]:
        return 0, None


class NodeFile:
    """An open file, as APSW calls it."""

    def __init__(self, name: str, file: File, explain: Explain) -> None:
        self._name = name
        self._file = file
        self._explain = explain

    def _told(self, extended: int, refused: type[apsw.Error] | None = None) -> AbstractContextManager[None]:
        return _told(self._name, self._explain, extended, refused)

    def xRead(self, amount: int, offset: int) -> bytes:
        with self._told(apsw.SQLITE_IOERR_READ):
            return self._file.read(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._told(apsw.SQLITE_IOERR_WRITE):
            self._file.write(data, offset)

    def xTruncate(self, newsize: int) -> None:
        with self._told(apsw.SQLITE_IOERR_TRUNCATE):
            self._file.truncate(newsize)

    def xSync(self, flags: int) -> None:
        with self._told(apsw.SQLITE_IOERR_FSYNC):
            self._file.sync(bool(flags & apsw.SQLITE_SYNC_DATAONLY))

    def xFileSize(self) -> int:
        with self._told(apsw.SQLITE_IOERR_FSTAT):
            return self._file.size()

    def xLock(self, level: int) -> None:
        if isinstance(self._file, TemporaryFile):
            return
        with self._told(apsw.SQLITE_IOERR_LOCK, apsw.ReadOnlyError):
            if not self._database.lock(level):
                raise apsw.BusyError(f"{self._name} is locked by another connection of this process")

    def xUnlock(self, level: int) -> None:
        if not isinstance(self._file, TemporaryFile):
            self._database.unlock(level)

    def xCheckReservedLock(self) -> bool:
        return not isinstance(self._file, TemporaryFile) and self._database.is_reserved()

    def xFileControl(self, op: int, ptr: int) -> bool:
        """What SQLite tells its VFS beside the calls. False for what is not known here."""
        if op == apsw.SQLITE_FCNTL_COMMIT_PHASETWO:
            if isinstance(self._file, DatabaseFile):
                with self._told(apsw.SQLITE_IOERR_WRITE):
                    self._file.committed()
        elif op == apsw.SQLITE_FCNTL_PRAGMA and isinstance(self._file, DatabaseFile):
            asked = apsw.VFSFcntlPragma(ptr)
            self._pragma(asked.name.lower(), (asked.value or "").strip("'\"").lower())
        return False

    def _pragma(self, name: str, value: str) -> None:
        if name == "locking_mode" and value:
            self._database.is_exclusive = value == "exclusive"
        elif name == "journal_mode" and value == "wal" and not self._database.is_exclusive:
            raise apsw.SQLError(f"{self._name}: journal_mode=WAL {WAL_ALONE}")

    @property
    def _database(self) -> DatabaseFile:
        assert isinstance(self._file, DatabaseFile)
        return self._file

    def xSectorSize(self) -> int:
        return _SECTOR

    def xDeviceCharacteristics(self) -> int:
        """As SQLite's own VFS: a write changes no byte beside it."""
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        with self._told(apsw.SQLITE_IOERR_CLOSE):
            self._file.close()
