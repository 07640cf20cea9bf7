"""Where LTX files lie: a Litestream replica directory, a node's `dbs/DB`, a LiteFS file backup.

    PATH/ltx/LEVEL/MIN-MAX.ltx     Litestream's replica, or what it keeps beside a database
    PATH/ltx/MIN-MAX.ltx           a node's directory of one database, with `database` beside
    PATH/MIN-MAX.ltx               a LiteFS file backup's directory of one database, or any other

The rule: nothing is opened but the headers, and only names of the form count; what is being written
(`*.tmp`) is passed over, as Litestream does. A file's time is its header's: a copy of a directory has lost
the files' own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LtxError, RestoreError
from pylitefs.ltx.header import HEADER_SIZE, Header, parse_filename
from pylitefs.ltx.plan import HistoryFile, Plan, plan_back, plan_restore


@dataclass(frozen=True, slots=True)
class Source:
    """A directory with a database's history."""

    path: Path
    kind: str
    files: tuple[HistoryFile, ...]
    """By level, then by TXID."""
    database: Path | None = None
    """The database itself, as it is now: a node has it beside its files, which retention makes fewer."""


def open_source(path: Path) -> Source:
    """What the directory holds. Raises RestoreError if it holds no LTX files, OSError."""
    if not path.is_dir():
        raise RestoreError(f"{path} is no directory: give a node's dbs/DB, a file backup's, or a replica's")
    for base in (path / "ltx", path):
        levels = sorted(one for one in _folders(base) if len(one.name) == 1 and one.name.isdigit())
        if levels:
            files = [file for level in levels for file in _files(level, int(level.name))]
            if files:
                return Source(path, "a Litestream replica", tuple(files))
        flat = list(_files(base, 0))
        if flat:
            kind = "a LiteFS database directory" if base != path else "a directory of LTX files"
            database = path / "database" if base != path and (path / "database").is_file() else None
            return Source(path, kind, tuple(flat), database)
    if (path / "generations").is_dir():
        raise RestoreError(
            f"{path} is a replica of Litestream 0.3, whose format is another: use its own program"
        )
    raise RestoreError(f"{path} holds no LTX files, nor does its folder ltx")


def plan_source(source: Source, *, txid: int | None = None, before_ms: int | None = None) -> Plan:
    """The plan to the newest state, to `txid` or to a time; on the database as it is now where the files do
    not begin with TXID 1. Raises RestoreError."""
    if source.database is not None and min(file.min_txid for file in source.files) > 1:
        return plan_back(source.files, txid=txid, before_ms=before_ms)
    return plan_restore(source.files, txid=txid, before_ms=before_ms)


def _folders(base: Path) -> Iterator[Path]:
    if base.is_dir():
        yield from (one for one in base.iterdir() if one.is_dir())


def _files(folder: Path, level: int) -> Iterator[HistoryFile]:
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        span = parse_filename(path.name)
        if span is not None and path.is_file():
            status = path.stat()
            yield HistoryFile(level, *span, status.st_size, _time_ms(path, status.st_mtime_ns), str(path))


def _time_ms(path: Path, mtime_ns: int) -> int:
    """The header's; the file's own where it has no header, for then it is damaged anyway."""
    try:
        with open(path, "rb") as file:
            return Header.unpack(file.read(HEADER_SIZE)).timestamp_ms
    except LtxError:
        return mtime_ns // 1_000_000
