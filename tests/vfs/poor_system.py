"""A primary and a replica on a system that lacks what Windows lacks: `python -m tests.vfs.poor_system DIR`.

The modules are blocked, and the functions and constants taken away, before anything of pylitefs is imported.
So this is the code that runs there, on Linux. A file that is open is kept from being renamed and removed.
"""

import asyncio  # noqa: F401  # Python's own modules first: they tell Windows by its `msvcrt`.
import importlib
import os
import shutil
import subprocess  # noqa: F401
import sys
import time
from contextlib import closing
from pathlib import Path

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "pty", "fuse", "mfusepy", "posix_ipc")
# fmt: off
OF_OS = (
    "pread", "pwrite", "preadv", "pwritev", "fdatasync",
    "statvfs", "fstatvfs", "posix_fadvise", "posix_fallocate", "copy_file_range",
    "sendfile", "mkfifo", "fchmod", "fchown", "chown",
    "fork", "getuid", "geteuid", "getgid", "sched_setaffinity",
    "readv", "writev", "O_ACCMODE", "O_CLOEXEC", "O_DIRECTORY",
    "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_DSYNC",
)
# fmt: on
OF_TIME = ("clock_gettime", "clock_gettime_ns", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC")


class LockedBytes:
    """`msvcrt`, which Windows has: a byte that is locked belongs to one descriptor."""

    LK_NBLCK = 2
    _locked: set[int] = set()

    @classmethod
    def locking(cls, fd: int, mode: int, size: int) -> None:
        inode = os.fstat(fd).st_ino
        if inode in cls._locked:
            raise PermissionError(13, "locked")
        cls._locked.add(inode)


def keep_open_files() -> None:
    """As on Windows: what is open can be neither renamed nor removed, and `rename` replaces nothing."""
    rename, replace, unlink = os.rename, os.replace, os.unlink

    def check(path: object) -> None:
        name = os.path.abspath(os.fspath(path))  # type: ignore[call-overload]
        for fd in os.listdir("/proc/self/fd"):
            try:
                is_open = os.readlink(f"/proc/self/fd/{fd}") == name
            except FileNotFoundError:
                continue
            if is_open:
                raise PermissionError(13, "it is open", name)

    def checked_rename(source: object, target: object) -> None:
        check(source)
        if os.path.exists(target):  # type: ignore[arg-type]
            raise FileExistsError(17, "it is there", target)
        rename(source, target)  # type: ignore[arg-type]

    def checked_replace(source: object, target: object) -> None:
        check(source)
        check(target)
        replace(source, target)  # type: ignore[arg-type]

    def checked_unlink(path: object) -> None:
        check(path)
        unlink(path)  # type: ignore[arg-type]

    os.rename, os.replace = checked_rename, checked_replace  # type: ignore[assignment]
    os.unlink = os.remove = checked_unlink  # type: ignore[assignment]


def take_away() -> None:
    keep_open_files()
    usage = shutil.disk_usage("/")
    shutil.disk_usage = lambda path: usage  # Windows has it, and does not go by `statvfs`.
    for module in MODULES:
        sys.modules[module] = None  # type: ignore[assignment]
    sys.modules["msvcrt"] = LockedBytes  # type: ignore[assignment]
    for owner, names in ((os, OF_OS), (time, OF_TIME)):
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)


def main(folder: Path) -> None:
    take_away()
    pylitefs = importlib.import_module("pylitefs")
    apsw = importlib.import_module("apsw")
    importlib.import_module("pylitefs.vfs")
    config = importlib.import_module("pylitefs.config")

    def made(name: str, primary: str = "") -> object:
        return config.Config(
            data=config.DataConfig(dir=folder / name),
            http=config.HttpConfig(addr="127.0.0.1:0"),
            lease=config.LeaseConfig(
                type="static", candidate=not primary, hostname="p", advertise_url=primary
            ),
        )

    db = pylitefs.connect("app.db", made("primary"))
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (zeroblob(3000000))")
    wal = db.node.connect("wal.db")
    wal.execute("PRAGMA locking_mode=EXCLUSIVE")
    wal.execute("PRAGMA journal_mode=WAL")
    wal.execute("CREATE TABLE t (x)")
    reader = pylitefs.connect("app.db", made("replica", db.node.url))
    for n in range(10):
        for one in (db, wal):
            one.execute("INSERT INTO t VALUES (?)", (n,))
    deadline = time.monotonic() + 60
    while reader.node.store.positions() != db.node.store.positions():
        assert time.monotonic() < deadline, (reader.node.store.positions(), db.node.store.positions())
        time.sleep(0.01)
    assert reader.execute("SELECT count(*) FROM t").get == 11
    with closing(reader.node.connect("wal.db")) as other:
        assert other.execute("SELECT count(*) FROM t").get == 10
    try:
        reader.execute("INSERT INTO t VALUES (1)")
    except apsw.ReadOnlyError as error:
        print(error)
    try:
        pylitefs.open_node(made("primary")).start()
    except Exception as error:
        print(type(error).__name__, error)
    wal.close()
    copy = folder / "copy"
    db.node.store.export("app.db", copy)
    with copy.open("rb") as source:
        db.node.store.import_database("wal.db", source)
    assert db.node.connect("wal.db").execute("SELECT count(*) FROM t").get == 11
    db.execute("VACUUM")
    while reader.node.store.positions() != db.node.store.positions():
        assert time.monotonic() < deadline, (reader.node.store.positions(), db.node.store.positions())
        time.sleep(0.01)
    for one in (reader, db):
        one.close()
    reader.node.stop()
    db.node.stop()
    left = sorted({name for name in (*MODULES[:6], "fuse") if sys.modules.get(name) is not None})
    print("loaded:", left)
    mount = [name for name in sys.modules if name.startswith("pylitefs.mount")]
    print("of the mount:", mount)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
