"""What the mount refuses, and what it answers instead: each row of the mount table as one small attempt.

The rule: a probe does one thing to a name in the mount. Its result is one word: `ok`, what was read, or the
errno's name. A probe that is refused has changed nothing.
Table: "The mount" in https://fly.io/docs/litefs/how-it-works/ and docs/coverage.md.
"""

import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

Probe = Callable[[Path, str], object]

_HALT_BYTE = 72


def _open(suffix: str, flags: int, then: Callable[[int], object] = lambda fd: "ok", name: str = "") -> Probe:
    def probe(mount: Path, database: str) -> object:
        fd = os.open(mount / ((name or database) + suffix), flags, 0o666)
        try:
            return then(fd)
        finally:
            os.close(fd)

    return probe


def _write(fd: int) -> str:
    """Write a byte over itself, or `x` where there is none."""
    return f"{os.pwrite(fd, os.pread(fd, 1, 0) or b'x', 0)} byte written"


def _lock(kind: int, command: int, start: int = _HALT_BYTE, length: int = 1) -> Callable[[int], object]:
    def attempt(fd: int) -> str:
        fcntl.fcntl(fd, command, struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0))
        return "locked"

    return attempt


def _twice(fd: int) -> object:
    _lock(fcntl.F_WRLCK, fcntl.F_SETLKW)(fd)
    return _lock(fcntl.F_WRLCK, fcntl.F_SETLKW)(fd)


def _on(path: str, do: Callable[[Path], object]) -> Probe:
    """`do` with a path in the mount; `{}` in `path` stands for the database."""
    return lambda mount, database: "ok" if (got := do(mount / path.format(database))) is None else got


def _shape(path: Path) -> str:
    """Bytes read and the figures that change replaced by `n`; letters and length stay."""
    data = path.read_bytes()
    return f"{len(data)} bytes {re.sub(rb'[0-9]', b'n', data)!r}"


def _position_shape(path: Path) -> str:
    data = path.read_bytes()
    return f"{len(data)} bytes {re.sub(rb'[0-9a-f]', b'n', data)!r}"


def _stat(path: Path) -> str:
    facts = os.lstat(path)
    return f"{stat.filemode(facts.st_mode)} {facts.st_nlink if stat.S_ISREG(facts.st_mode) else ''}".strip()


_RW, _W, _R, _C = os.O_RDWR, os.O_WRONLY, os.O_RDONLY, os.O_CREAT

PROBES: Mapping[str, Probe] = MappingProxyType(
    {
        "stat DB": _on("{}", _stat),
        "open DB for writing": _open("", _RW),
        "write DB": _open("", _RW, _write),
        "create another database": _open(".another", _RW | _C | os.O_EXCL),
        "truncate DB to its length": _on("{}", lambda path: os.truncate(path, os.path.getsize(path))),
        "rename DB": _on("{}", lambda path: os.rename(path, path.with_name("renamed.db"))),
        "chmod DB": _on("{}", lambda path: os.chmod(path, 0o666)),
        "chown DB": _on("{}", lambda path: os.chown(path, os.getuid(), os.getgid())),
        "utime DB": _on("{}", os.utime),
        "link DB": _on("{}", lambda path: os.link(path, path.with_name("linked.db"))),
        "getxattr DB": _on("{}", lambda path: os.getxattr(path, "user.x")),
        "setxattr DB": _on("{}", lambda path: os.setxattr(path, "user.x", b"1")),
        "unlink DB-journal that is not there": _on("{}-journal", os.unlink),
        "create DB-journal": _open("-journal", _RW | _C),
        "create DB-wal": _open("-wal", _RW | _C),
        "write DB-wal that is no WAL": _open("-wal", _RW | _C, _write),
        "unlink DB-wal": _on("{}-wal", os.unlink),
        "open DB-wal of no database": _open("-wal", _RW | _C, name="nobody.db"),
        "open DB-pos for writing": _open("-pos", _W),
        "read DB-pos": _on("{}-pos", _position_shape),
        "stat DB-pos": _on("{}-pos", _stat),
        "truncate DB-pos": _on("{}-pos", lambda path: os.truncate(path, 0)),
        "unlink DB-pos": _on("{}-pos", os.unlink),
        "read DB-pos of no database": _on("nobody.db-pos", _shape),
        "open DB-lock of no database": _open("-lock", _RW, name="nobody.db"),
        "stat DB-lock": _on("{}-lock", _stat),
        "write DB-lock": _open("-lock", _RW, _write),
        "F_SETLK a write lock on DB-lock": _open("-lock", _RW, _lock(fcntl.F_WRLCK, fcntl.F_SETLK)),
        "F_SETLK a read lock on DB-lock": _open("-lock", _RW, _lock(fcntl.F_RDLCK, fcntl.F_SETLK)),
        "F_SETLKW a read lock on DB-lock": _open("-lock", _RW, _lock(fcntl.F_RDLCK, fcntl.F_SETLKW)),
        "F_SETLKW another byte of DB-lock": _open("-lock", _RW, _lock(fcntl.F_WRLCK, fcntl.F_SETLKW, 73)),
        "F_SETLKW two bytes of DB-lock": _open("-lock", _RW, _lock(fcntl.F_WRLCK, fcntl.F_SETLKW, 72, 2)),
        "F_SETLKW the HALT byte of DB-lock": _open("-lock", _RW, _lock(fcntl.F_WRLCK, fcntl.F_SETLKW)),
        "F_SETLKW the HALT byte twice": _open("-lock", _RW, _twice),
        "read .primary": _on(".primary", _shape),
        "stat .primary": _on(".primary", _stat),
        "open .primary for writing": _open("", _W, name=".primary"),
        "unlink .primary": _on(".primary", os.unlink),
        "read .lag": _on(".lag", _shape),
        "stat .lag": _on(".lag", _stat),
        "open .lag for writing": _open("", _W, name=".lag"),
        "unlink .lag": _on(".lag", os.unlink),
        "stat the directory": _on("", _stat),
        "open a name that is not there": _open("", _R, name="nobody.db"),
        "unlink a name that is not there": _on("nobody.db", os.unlink),
        "mkdir": _on("folder", os.mkdir),
        "rmdir a name that is not there": _on("folder", os.rmdir),
        "symlink": _on("symlink.db", lambda path: os.symlink("x", path)),
        "mkfifo": _on("pipe", os.mkfifo),
        "statfs": _on("", lambda path: f"names of {os.statvfs(path).f_namemax} bytes"),
        "a name of 250 letters": _on("x" * 250, lambda path: path.touch()),
        "unlink DB on this node": _on("{}", os.unlink),
    }
)


def run_probe(name: str, mount: Path, database: str) -> str:
    """What came of it; the errno's name if it was refused."""
    try:
        return str(PROBES[name](mount, database))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
