"""The bare directory, which the mount covers: closed to writes while an application may mistake it.

The rule: from before a node mounts until its clean end nothing is written into the bare directory, also
not after `kill -9`, where the dead mount goes before the next one comes. There are two ways to close it.

    guard:  an empty read-only tmpfs between the directory and the FUSE mount. It stops root as well. It
            needs root's right to mount; it can also lie over a dead mount, which is then never taken away
            before the directory is closed.
    mode:   without that right, the directory's write bits are taken away. fusermount demands them where it
            mounts: so after a crash it mounts beside, and that takes the closed directory's place (swap.py).
            Where the machine permits no swap, the bits are back for the milliseconds of mounting; what was
            written then is found and told.

A start that fails after a crash leaves the directory closed. A clean end opens it again.

What lies in the directory is hidden meanwhile: a `.gitkeep`, a README. A database, a journal or a WAL there
is somebody's work that the node does not know. Such a start is refused.
"""

import ctypes
import logging
import os
import stat
import time
from pathlib import Path

from pylitefs.errors import MountError, SqliteFormatError
from pylitefs.mount import mountinfo
from pylitefs.mount.swap import Swap
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DATABASE_MAGIC, DatabaseHeader
from pylitefs.sqlite.journal import JOURNAL_MAGIC
from pylitefs.sqlite.wal import WAL_MAGIC_BE, WAL_MAGIC_LE

log = logging.getLogger("pylitefs")

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MNT_DETACH = 2
_WRITE_BITS = 0o222
_BESIDE = ("-journal", "-wal", "-shm")
_NAMED = 5
"""So many of the hidden files are named."""


class BareDirectory:
    """The directory below one mount. `close()` and `seal()` around mounting, `open_again()` at the end."""

    def __init__(self, mount_dir: Path) -> None:
        self._dir = mountinfo.real_path(mount_dir)
        self._fd: int | None = None
        self._swap = Swap(self._dir)
        self._swapping = False
        self._mode = 0
        self._closed_before = False
        self.keep_closed = False
        """Set when a start fails: what a crash left closed stays closed."""
        self.hidden: list[str] = []
        """What the mount hides. Not known where a crash has left the guard."""
        self.mounts_over_files = False
        """Whether libfuse itself finds them in its way."""

    def close(self) -> Path:
        """Just before mounting: where to mount. Raises MountError if something was written meanwhile."""
        if is_guarded(self._dir):
            self._closed_before = True
            return self._dir
        self._fd = os.open(self._dir, os.O_RDONLY | os.O_DIRECTORY)
        self._mode = os.fstat(self._fd).st_mode & 0o7777
        if add_guard(self._dir):
            self.hidden = hidden_names(self._dir, self._fd)
            self._forget()
            return self._dir
        self.hidden = hidden_names(self._dir, self._fd)
        self.mounts_over_files = bool(self.hidden)
        self._closed_before = not self._mode & _WRITE_BITS
        # A directory with files in it gives its place to no other.
        if self._closed_before and not self.hidden and self._swap.begin(self._mode | 0o200):
            self._swapping = True
            self._forget()
            self._fd = os.open(self._swap.beside, os.O_RDONLY | os.O_DIRECTORY)
            return self._swap.beside
        self._change_mode(self._mode | 0o200)
        return self._dir

    def seal(self) -> None:
        """Just after mounting. Raises MountError if something was written while the mount was made."""
        if self._fd is not None:
            self._change_mode(self._mode & ~_WRITE_BITS)
            self.hidden = hidden_names(self._dir, self._fd)
        if self._swapping:
            self._swap.finish()
            self._swapping = False

    def open_again(self) -> None:
        """After the mount has gone: the directory is the application's own again."""
        if self._swapping:
            self._swapping = False
            self._forget()
            self._swap.cancel()
        stays_closed = self.keep_closed and self._closed_before
        if self._fd is not None:
            self._change_mode(self._mode & ~_WRITE_BITS if stays_closed else self._mode | 0o200)
            self._forget()
        if not stays_closed:
            remove_guard(self._dir)

    def _change_mode(self, mode: int) -> None:
        assert self._fd is not None
        try:
            if os.fstat(self._fd).st_mode & 0o7777 != mode:
                os.fchmod(self._fd, mode)
        except OSError as error:
            log.debug("%s: its mode stays as it is: %s", self._dir, error.strerror)

    def _forget(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def is_guarded(mount_dir: Path) -> bool:
    """Whether the topmost mount on `mount_dir` is a guard."""
    mount = mountinfo.find(mount_dir)
    return mount is not None and mount.is_guard


def add_guard(mount_dir: Path) -> bool:
    """Lay a guard over the directory, or over the dead mount on it; False where this user may not."""
    # mount(2) itself: the program `mount` asks a dead mount for its attributes, and fails.
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    data = b"size=4k,nr_inodes=1,mode=0555"
    name = mountinfo.GUARD.encode()
    if libc.mount(name, os.fsencode(mount_dir), b"tmpfs", ctypes.c_ulong(flags), data) == 0:
        return True
    log.debug("%s: no guard beneath the mount: %s", mount_dir, os.strerror(ctypes.get_errno()))
    return False


def remove_guard(mount_dir: Path) -> None:
    """Take the topmost guard away, and the dead mounts that it was laid over."""
    if not is_guarded(mount_dir):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    while (mount := mountinfo.find(mount_dir)) is not None and (
        mount.is_guard or (mount.is_fuse and not mountinfo.answers(mount_dir))
    ):
        if libc.umount2(os.fsencode(mount_dir), _MNT_DETACH) != 0:
            why = os.strerror(ctypes.get_errno())
            log.warning(
                "%s: %s stays mounted: %s; try: umount -l %s", mount_dir, mount.source, why, mount_dir
            )
            return


def hidden_names(mount_dir: Path, fd: int | None = None) -> list[str]:
    """What a mount hides that is made here. Raises MountError, with what to do, for a database, a journal or
    a WAL, and for a file that cannot be told from one. `fd`: the directory's own, below the mount."""
    names = sorted(os.listdir(mount_dir if fd is None else fd))
    databases: dict[str, str] = {}
    for name in names:  # a database comes before what lies beside it
        if _database_of(name) not in databases and (text := _describe(name, names, mount_dir, fd)):
            databases[_database_of(name)] = text
    if databases:
        lies = "; ".join(databases.values())
        raise MountError(
            f"{mount_dir} is not empty: in the bare directory lies {lies}. It was written "
            "while nothing was mounted here, and the node does not know it. Move it away with the files that "
            "belong to it, start the node, and compare its rows with the node's own; if it is to take their "
            f"place: pylitefs import -name {next(iter(databases))} FILE"
        )
    return names


def warn_of_hidden(mount_dir: Path, names: list[str]) -> None:
    """One line that says what nobody sees until the node ends."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        log.warning(
            "%s is not empty: %s%s: hidden while the node is mounted here, and there again when it has ended",
            mount_dir,
            ", ".join(names[:_NAMED]),
            more,
        )


def _describe(name: str, names: list[str], mount_dir: Path, fd: int | None) -> str:
    """A database in one line, also what is left of one; "" for any other file."""
    path = name if fd is not None else str(mount_dir / name)
    try:
        found = os.stat(path, dir_fd=fd)
        if not stat.S_ISREG(found.st_mode):
            return ""
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=fd), "rb") as file:
            head = file.read(DATABASE_HEADER_SIZE)
    except FileNotFoundError:
        return ""  # a symbolic link to nowhere, or it has just gone
    except OSError as error:
        raise MountError(
            f"{mount_dir} is not empty: {name} cannot be told from a database: {error.strerror}; move it away"
        ) from None
    what = _what_begins(head, found.st_size)
    if not what and found.st_size and _database_of(name) != name:
        what = f"{found.st_size} bytes under the name of a journal or a WAL"
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.st_mtime))
    beside = [f"{name}{suffix}" for suffix in _BESIDE if f"{name}{suffix}" in names]
    and_more = f", with {', '.join(beside)}" if beside else ""
    return f"{name} ({what}, written at {written}{and_more})" if what else ""


def _what_begins(head: bytes, size: int) -> str:
    """What SQLite writes so; "" where it is not SQLite's."""
    if head.startswith(DATABASE_MAGIC):
        try:
            pages = size // DatabaseHeader.parse(head).page_size
        except SqliteFormatError:
            return f"a damaged SQLite database of {size} bytes"
        return f"a SQLite database of {pages} pages"
    if head.startswith(JOURNAL_MAGIC):
        return f"a SQLite journal of {size} bytes"
    if int.from_bytes(head[:4], "big") in (WAL_MAGIC_BE, WAL_MAGIC_LE):
        return f"a SQLite WAL of {size} bytes"
    return ""


def _database_of(name: str) -> str:
    """`app.db` for its journal and its WAL, and for itself."""
    return name.removesuffix("-journal").removesuffix("-wal")
