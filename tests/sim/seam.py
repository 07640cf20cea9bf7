"""Where the node meets the world: its calls of `os`, `time` and `secrets` are answered by a history's.

`os` is changed as a whole: a call on a file below a disk's folder is told to that disk, before and after; all
others go where they always go. `time` and `secrets` are changed in the modules of pylitefs alone, so pytest's
clock goes on. SQLite's own randomness (the salts of a WAL) comes from the seed as well.

The rule: a call that a disk refuses or does not survive has not happened.
"""

import _sqlite3
import ctypes
import os
import random
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Any

from tests.sim.clock import Clock
from tests.sim.disk import Disk

_PRNG_SEED = 28
"""SQLITE_TESTCTRL_PRNG_SEED."""

_disks: dict[str, Disk] = {}


class Secrets:
    """What `secrets` is to the node's modules: numbers by the seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def randbits(self, bits: int) -> int:
        return self._chance.getrandbits(bits)

    def token_hex(self, size: int) -> str:
        return self._chance.randbytes(size).hex()


class Dates:
    """What `datetime.datetime` is to the node's modules."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self, zone: tzinfo | None = None) -> datetime:
        return datetime.fromtimestamp(self._clock.time(), zone)

    def __getattr__(self, name: str) -> Any:
        return getattr(datetime, name)


def seed_sqlite(seed: int) -> None:
    """Have SQLite's generator start from here."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    library.sqlite3_test_control(_PRNG_SEED, ctypes.c_int(seed & 0x7FFFFFFF | 1), ctypes.c_void_p(None))


@contextmanager
def replaced(clock: Clock, chance: random.Random) -> Iterator[None]:
    """Within, pylitefs lives by this clock and these numbers, and its disks are told of its calls."""
    changed: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        changed.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    for name, module in list(sys.modules.items()):
        if name.startswith("pylitefs."):
            if getattr(module, "time", None) is time:
                put(module, "time", clock)
            if getattr(module, "datetime", None) is datetime:
                put(module, "datetime", Dates(clock))
            if getattr(module, "secrets", None) is secrets:
                put(module, "secrets", Secrets(chance))
    for name, make in _CALLS.items():
        put(os, name, make(getattr(os, name)))
    try:
        yield
    finally:
        for owner, name, value in reversed(changed):
            setattr(owner, name, value)
        _disks.clear()


def attach(disk: Disk) -> None:
    """From now on calls below this disk's folder are its own; what lies there is durable."""
    _disks[f"{disk.root}/"] = disk


def _found(path: Any) -> tuple[Disk, str] | None:
    """Whose file a path is, and its name there."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    for root, disk in _disks.items():
        if text.startswith(root):
            return disk, text[len(root) :]
    return None


def _of(fd: int) -> tuple[Disk, int] | None:
    inode = os.fstat(fd).st_ino
    for disk in _disks.values():
        if inode in disk.inodes:
            return disk, inode
    return None


Call = Callable[..., Any]


def _open(original: Call) -> Call:
    def call(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        found = _found(path) if flags & (os.O_CREAT | os.O_TRUNC) else None
        if found is None:
            fd: int = original(path, flags, mode, dir_fd=dir_fd)
            return fd
        disk, name = found
        existed = os.path.lexists(path)
        if not existed or flags & os.O_TRUNC:
            disk.call("open", name)
        fd = original(path, flags, mode)
        inode = os.fstat(fd).st_ino
        if not existed:
            disk.created(name, inode)
            if os.path.basename(name).startswith("mj"):
                # SQLite writes and syncs a super-journal by calls of its own, before any journal names it.
                disk.synced(inode, b"")
        elif flags & os.O_TRUNC and inode in disk.inodes:
            disk.wrote(inode, 0, None)
        return fd

    return call


def _writing(
    kind: str, place: Callable[[int, tuple[Any, ...]], tuple[int, bytes | None]]
) -> Callable[[Call], Call]:
    """A call on a descriptor or, for `truncate`, on a path, that changes a file."""

    def make(original: Call) -> Call:
        def call(target: Any, *arguments: Any) -> Any:
            if isinstance(target, int):
                found = _of(target)
            else:
                whose = _found(target)
                found = (whose[0], os.stat(target).st_ino) if whose else None
            if found is None:
                return original(target, *arguments)
            disk, inode = found
            disk.call(kind, "")
            offset, data = place(target, arguments)
            result = original(target, *arguments)
            if inode in disk.inodes:
                disk.wrote(inode, offset, data)
            return result

        return call

    return make


def _copy_range(original: Call) -> Call:
    def call(source: int, target: int, count: int, offset_src: int, offset_dst: int) -> int:
        found = _of(target)
        if found is not None:
            found[0].call("write", "")
        sent: int = original(source, target, count, offset_src, offset_dst)
        if found is not None:
            found[0].wrote(found[1], offset_dst, os.pread(source, sent, offset_src))
        return sent

    return call


def _sync(original: Call) -> Call:
    def call(fd: int) -> None:
        info = os.fstat(fd)
        if stat.S_ISDIR(info.st_mode):
            folder = f"{os.readlink(f'/proc/self/fd/{fd}')}/"
            for root, disk in _disks.items():
                if folder.startswith(root):
                    disk.call("sync", folder)
                    disk.synced_directory(folder[len(root) : -1])
            return
        found = _of(fd)
        if found is None:
            return
        disk, inode = found
        disk.call("sync", "")
        with open(f"/proc/self/fd/{fd}", "rb", buffering=0) as file:
            disk.synced(inode, file.readall())

    return call


def _unlink(original: Call) -> Call:
    def call(path: Any, *, dir_fd: int | None = None) -> None:
        found = _found(path) if dir_fd is None else None
        if found is None:
            original(path, dir_fd=dir_fd)
            return
        disk, name = found
        if os.path.lexists(path):
            disk.call("unlink", name)
        original(path)
        disk.removed(name)

    return call


def _rename(original: Call) -> Call:
    def call(old: Any, new: Any, **options: Any) -> None:
        found, target = _found(old), _found(new)
        if found is None or target is None:
            original(old, new, **options)
            return
        disk = found[0]
        disk.call("rename", target[1])
        inode = os.stat(old).st_ino
        original(old, new)
        disk.renamed(found[1], target[1], inode)

    return call


def _link(original: Call) -> Call:
    def call(old: Any, new: Any, **options: Any) -> None:
        found = _found(new)
        if found is None or (not found[1].startswith("lost/") and not found[1].endswith(".replaced")):
            original(old, new, **options)  # The checks' own.
            return
        disk, name = found
        disk.call("open", name)
        original(old, new, **options)
        disk.linked(name, os.stat(new).st_ino)

    return call


def _bytes(pieces: Any) -> bytes:
    return b"".join(bytes(piece) for piece in pieces)


_CALLS: dict[str, Callable[[Call], Call]] = {
    "open": _open,
    "write": _writing("write", lambda fd, args: (os.lseek(fd, 0, os.SEEK_CUR), bytes(args[0]))),
    "pwrite": _writing("write", lambda fd, args: (args[1], bytes(args[0]))),
    "pwritev": _writing("write", lambda fd, args: (args[1], _bytes(args[0]))),
    "ftruncate": _writing("truncate", lambda fd, args: (args[0], None)),
    "truncate": _writing("truncate", lambda fd, args: (args[0], None)),
    "copy_file_range": _copy_range,
    "fsync": _sync,
    "fdatasync": _sync,
    "unlink": _unlink,
    "rename": _rename,
    "link": _link,
    "replace": _rename,
}
