"""Names: what a file in the mount is, and where it lies in the data directory.

The mount is flat. SQLite makes `DB`, `DB-journal`, `DB-wal` and `DB-shm`, and for a transaction over
several attached databases a super-journal `DB-mjXXXXXXXXX`; the data directory keeps each database's
files in `dbs/DB/`. The rule: a name from the mount or the network is checked here before it becomes a
path, so that none ever leaves the data directory, or means one file here and another in the mount.
Nor does one steer the terminal of who lists it.
"""

import enum
import re
from pathlib import Path

from pylitefs.errors import InvalidNameError
from pylitefs.shown import has_control

MAX_NAME = 240
"""Longest database name in bytes: 255, the limit of ext4, less the longest suffix."""

POS_SUFFIX = "-pos"
LOCK_SUFFIX = "-lock"
PRIMARY_NAME = ".primary"
LAG_NAME = ".lag"


class FileKind(enum.Enum):
    """One of the four files SQLite keeps for a database; the value is its name inside `dbs/DB/`."""

    DATABASE = "database"
    JOURNAL = "journal"
    WAL = "wal"
    SHM = "shm"

    # Each is one object; Enum's own hashes the name anew every time, many times in a commit.
    __hash__ = object.__hash__

    @property
    def suffix(self) -> str:
        """What SQLite appends to the database's name for this file."""
        return "" if self is FileKind.DATABASE else f"-{self.value}"


_SIDE_FILES = (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM)
_SUPER_JOURNAL = re.compile(r"(?P<db>.+)-mj(?P<tail>[0-9A-F]{9})", re.DOTALL)
_LITESTREAM = re.compile(r"\.(?P<db>.+)-litestream", re.DOTALL)


def check_name(name: str) -> str:
    """The name itself, if it can be a database's; InvalidNameError if it could be a path, is too long, or
    would steer a terminal."""
    check_path(name)
    if has_control(name):
        raise InvalidNameError(
            f"{name!r} cannot be a database name: it has a control character; use another name"
        )
    return name


def check_path(name: str) -> str:
    """The name itself, if it stays in its directory. Another node's may be one that this node has not."""
    if not name or name in (".", "..") or "/" in name or "\0" in name:
        raise InvalidNameError(f"{name!r} cannot be a database name: use a plain file name without '/'")
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise InvalidNameError(f"database name {name[:40]!r}… is over {MAX_NAME} bytes: use a shorter one")
    return name


def split_name(name: str) -> tuple[str, FileKind]:
    """Split a name in the mount into its database and the kind of file: `a.db-wal` is (`a.db`, WAL)."""
    for kind in _SIDE_FILES:
        if name.endswith(kind.suffix) and len(name) > len(kind.suffix):
            return check_name(name.removesuffix(kind.suffix)), kind
    return check_name(name), FileKind.DATABASE


def check_database_name(name: str) -> str:
    """The name itself, if a database of that name can be made; InvalidNameError if the mount has another
    meaning for it: another database's journal, WAL, WAL index or super-journal, or a special file."""
    special = name in (PRIMARY_NAME, LAG_NAME) or any(
        name.endswith(suffix) and name != suffix for suffix in (POS_SUFFIX, LOCK_SUFFIX)
    )
    if special or is_super_journal(name) or split_name(name)[1] is not FileKind.DATABASE:
        raise InvalidNameError(
            f"{name!r} cannot be a database name: in the mount it is not a database's file; use another name"
        )
    return name


def is_super_journal(name: str) -> tuple[str, str] | None:
    """(database, nine hex digits) if the name is a super-journal's, else None."""
    match = _SUPER_JOURNAL.fullmatch(name)
    return (match["db"], match["tail"]) if match else None


def directory_remedy(name: str) -> str:
    """What to do about a directory that cannot be made in the mount; `.DB-litestream` is Litestream's own."""
    match = _LITESTREAM.fullmatch(name)
    if not match:
        return "put it elsewhere"
    return f"set Litestream's meta-path for {match['db']} to a directory outside the mount"


def database_dir(data_dir: Path, name: str) -> Path:
    """`dbs/DB` below the data directory."""
    return data_dir / "dbs" / check_name(name)
