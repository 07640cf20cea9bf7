"""The bytes that an event is about, copied at the moment it is emitted: a recording needs them later.

The rule: called in the thread that emits, for a moment later the journal is unlinked, the WAL restarted and
the page written over. It takes no lock of the store's, for that thread may hold them; and it never reads
through the mount itself, for a node with descriptors on its own mount could not be killed any more: what
only the mount shows (the WAL index, which clients have mapped) is looked at by the applier.

    journal.write, journal.invalidate   the whole journal so far; of a long one the bytes written
    page.write, page.apply              the pages
    wal.frame                           the WAL's header, and the bytes written
    wal.commit                          the WAL's header, the commit's frames, and the WAL index's headers
    ltx.commit, ltx.store               the LTX file
    stream.send, stream.receive         the frame as on the wire, of a long one its beginning
    catchup.decide                      of LTX files, the first that the replica gets
    pos.advance                         the database file's header
    recovery.*                          what was found: journal, WAL, newest LTX file, header
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pylitefs.errors import PylitefsError
from pylitefs.ltx.header import format_filename, parse_filename
from pylitefs.ltx.position import Pos
from pylitefs.portable import BINARY
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE
from pylitefs.sqlite.wal import WAL_HEADER_SIZE
from pylitefs.sqlite.wal_index import INDEX_PREFIX_SIZE
from pylitefs.store.names import FileKind, database_dir
from pylitefs.trace import Event, Piece

MOST = 256 * 1024
"""Bytes of one piece; what is longer is cut."""
WHOLE = 64 * 1024
"""A journal, or a WAL that recovery finds, up to so long is copied whole."""

WalIndex = Callable[[str], bytes]
"""The first 136 bytes of a database's `-shm` as clients see them; b"" where there is none."""


class Evidence:
    """Copies for one node. `wal_index` looks through the mount; without it the data file is read."""

    def __init__(self, data_dir: Path, wal_index: WalIndex | None = None) -> None:
        self._data_dir = Path(data_dir)
        self._wal_index = wal_index
        self._copies: dict[str, Callable[[Event, Path], list[Piece]]] = {
            "journal.write": _journal,
            "journal.invalidate": _journal,
            "page.write": _pages,
            "page.apply": _pages,
            "wal.frame": _wal_write,
            "wal.commit": self._wal_commit,
            "ltx.commit": _ltx,
            "ltx.store": _ltx,
            "catchup.decide": _first_to_go,
            "pos.advance": _header,
            "recovery.begin": _found,
            "recovery.journal": _journal,
            "recovery.wal": _wal,
            "recovery.end": _header,
        }

    def __call__(self, event: Event) -> Sequence[Piece]:
        if event.data:
            return [_cut(Piece("frame", "", 0, event.data, len(event.data)))]
        copy = self._copies.get(event.name)
        if copy is None or not event.database:
            return ()
        return copy(event, database_dir(self._data_dir, event.database))

    def _wal_commit(self, event: Event, directory: Path) -> list[Piece]:
        return [*_wal_write(event, directory), *self._index(event.database, directory)]

    def _index(self, database: str, directory: Path) -> list[Piece]:
        data = b""
        if self._wal_index is not None:
            with suppress(PylitefsError, OSError):
                data = self._wal_index(database)
        if not data:
            return _read(directory, FileKind.SHM, 0, INDEX_PREFIX_SIZE)
        path = directory / FileKind.SHM.value
        with suppress(OSError):
            return [Piece("shm", str(path), 0, data, os.stat(path).st_size)]
        return []


def _number(event: Event, key: str) -> int:
    value = event.payload.get(key, 0)
    return value if isinstance(value, int) else 0


def _journal(event: Event, directory: Path) -> list[Piece]:
    whole = _whole(directory, FileKind.JOURNAL)
    if whole and whole[0].cut and "length" in event.payload:
        return _written(event, directory, FileKind.JOURNAL)
    return whole


def _written(event: Event, directory: Path, kind: FileKind) -> list[Piece]:
    return _read(directory, kind, _number(event, "offset"), _number(event, "length"))


def _pages(event: Event, directory: Path) -> list[Piece]:
    """`page.apply` also comes once for a whole transaction: its pages were copied one by one."""
    if "offset" not in event.payload:
        return []
    return _written(event, directory, FileKind.DATABASE)


def _wal_write(event: Event, directory: Path) -> list[Piece]:
    if _number(event, "offset") < WAL_HEADER_SIZE:
        return _written(event, directory, FileKind.WAL)
    head = _read(directory, FileKind.WAL, 0, WAL_HEADER_SIZE)
    return [*head, *_written(event, directory, FileKind.WAL)]


def _ltx(event: Event, directory: Path) -> list[Piece]:
    del directory
    return _piece("ltx", Path(str(event.payload.get("path", ""))), 0, MOST, to_end=True)


def _first_to_go(event: Event, directory: Path) -> list[Piece]:
    """The LTX file that begins where the replica is."""
    if event.payload.get("decision") != "files":
        return []
    with suppress(PylitefsError, FileNotFoundError):
        wanted = Pos.parse(str(event.payload.get("position"))).txid + 1
        for name in os.listdir(directory / "ltx"):
            span = parse_filename(name)
            if span and span[0] == wanted:
                return _piece("ltx", directory / "ltx" / name, 0, MOST, to_end=True)
    return []


def _header(event: Event, directory: Path) -> list[Piece]:
    del event
    return _read(directory, FileKind.DATABASE, 0, DATABASE_HEADER_SIZE)


def _wal(event: Event, directory: Path) -> list[Piece]:
    del event
    return _whole(directory, FileKind.WAL)


def _found(event: Event, directory: Path) -> list[Piece]:
    """What recovery looks at: side files, the newest LTX file, the database's header."""
    pieces = [
        *_whole(directory, FileKind.JOURNAL),
        *_whole(directory, FileKind.WAL),
        *_header(event, directory),
    ]
    with suppress(FileNotFoundError):
        spans = [span for name in os.listdir(directory / "ltx") if (span := parse_filename(name))]
        if spans:
            newest = directory / "ltx" / format_filename(*max(spans))
            pieces += _piece("ltx", newest, 0, MOST, to_end=True)
    return pieces


def _whole(directory: Path, kind: FileKind) -> list[Piece]:
    return _piece(kind.value, directory / kind.value, 0, WHOLE, to_end=True)


def _read(directory: Path, kind: FileKind, offset: int, length: int) -> list[Piece]:
    return _piece(kind.value, directory / kind.value, offset, length)


def _piece(file: str, path: Path, offset: int, length: int, *, to_end: bool = False) -> list[Piece]:
    """Bytes of a file, or (`to_end`) all of it, if it is no longer than that; none if it is not there."""
    try:
        fd = os.open(path, os.O_RDONLY | BINARY)
    except OSError:
        return []
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, min(length, MOST), offset)
    finally:
        os.close(fd)
    if not data:
        return []
    meant = size - offset if to_end else min(length, size - offset)
    return [Piece(file, str(path), offset, data, size, cut=len(data) < meant)]


def _cut(piece: Piece) -> Piece:
    if len(piece.data) <= MOST:
        return piece
    return Piece(piece.file, piece.path, piece.offset, piece.data[:MOST], piece.size, cut=True)
