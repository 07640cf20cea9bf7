"""What counts of a WAL, for whom.

    committed_by_readers    SQLite's readers: they go by the index, where there is one of this WAL
    copied                  the applier's process: it goes by what the node says is known, and by checksums
                            where the node says nothing (mount/applier/write.py)

The rule: bytes alone; nothing of what the node has worked out is believed.
"""

from collections.abc import Iterator
from pathlib import Path

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import ReadAt
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    CommittedWal,
    WalHeader,
    committed,
    frame_offset,
    frames_up_to,
    scan,
)
from pylitefs.sqlite.wal_index import WalIndexHeader, read_header
from pylitefs.store.applying import KnownWal
from pylitefs.store.names import FileKind
from tests.store.support import committed_bytes


def committed_by_readers(directory: Path) -> bytes:
    """The database in `dbs/DB` as its readers see it."""
    found = _read(directory)
    if found is None:
        return committed_bytes(directory)
    header, wal = found
    index = _index(directory)
    if index is None or (index.salt1, index.salt2) != (header.salt1, header.salt2):
        return committed_bytes(directory)
    by_index = committed(frames_up_to(_reader(wal), index.max_frame, header), header)
    by_sums = committed(scan(_reader(wal), len(wal), header), header)
    # A commit that its writer did not come to publish counts once this node is no primary any more.
    pages = by_index if by_index.last_index > by_sums.last_index else by_sums
    if not pages.last_index:
        return committed_bytes(directory)
    size = header.page_size
    content = bytearray((directory / FileKind.DATABASE.value).read_bytes())
    content = content[: pages.commit * size].ljust(pages.commit * size, b"\0")
    for pgno, page in _pages(wal, header, pages):
        content[(pgno - 1) * size : pgno * size] = page
    return bytes(content)


def copied(directory: Path, known: KnownWal | None) -> tuple[int, int, list[tuple[int, bytes]]] | None:
    """(page size, page count, pages) that come out of the WAL into the database; None if it holds nothing."""
    found = _read(directory)
    if found is None:
        return None
    header, wal = found
    if known is not None and known[:2] == (header.salt1, header.salt2):
        frames = frames_up_to(_reader(wal), known.frames, header)
    else:
        frames = scan(_reader(wal), len(wal), header)
    pages = committed(frames, header)
    if not pages.last_index:
        return None
    return header.page_size, pages.commit, list(_pages(wal, header, pages))


def _reader(wal: bytes) -> ReadAt:
    return lambda offset, size: wal[offset : offset + size]


def _pages(wal: bytes, header: WalHeader, which: CommittedWal) -> Iterator[tuple[int, bytes]]:
    for pgno, index in sorted(which.frames.items()):
        at = frame_offset(index, header.page_size) + FRAME_HEADER_SIZE
        yield pgno, wal[at : at + header.page_size]


def _index(directory: Path) -> WalIndexHeader | None:
    try:
        return read_header((directory / FileKind.SHM.value).read_bytes()[:96])
    except FileNotFoundError:
        return None


def _read(directory: Path) -> tuple[WalHeader, bytes] | None:
    try:
        wal = (directory / FileKind.WAL.value).read_bytes()
        return WalHeader.parse(wal[:32]), wal
    except (FileNotFoundError, SqliteFormatError):
        return None
