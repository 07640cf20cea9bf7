"""What events tell of a write: which page, record or frame its bytes belong to.

The rule: this is called only where someone listens (`tracer.active`), once the bytes are in the file. Only
`apply_pages` writes, page by page, so that one can stop in between. An event leaves out what cannot be made
out, and nothing here raises for what a file holds.
"""

import os
from itertools import islice

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE, JOURNAL_MAGIC, NREC_ALL, JournalHeader
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE
from pylitefs.store.checksums import Changes
from pylitefs.store.files import pwrite_all
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState

Payload = dict[str, object]

MOST_PGNOS = 4096
"""Page numbers that an event names; `count` says how many there are."""


def pages_payload(pgnos: "list[int] | dict[int, int] | Changes") -> Payload:
    """`pages`, the numbers of the pages, and `count`."""
    return {"pages": list(islice(pgnos, MOST_PGNOS)), "count": len(pgnos)}


def page_written(state: DatabaseState, fd: int, offset: int, length: int, *, checkpoint: bool) -> None:
    """Emit `page.write`: SQLite wrote bytes of the database file."""
    payload = _pages_at(offset, length, _page_size(state, fd))
    state.node.tracer.emit(
        "page.write",
        state.name,
        state.pos.txid,
        offset=offset,
        length=length,
        checkpoint=checkpoint,
        **payload,
    )


def apply_pages(state: DatabaseState, fd: int, data: "bytes | memoryview", offset: int) -> None:
    """Do a write of the applier's page by page, with `page.apply` after each: one can stop in between."""
    page_size = _page_size(state, fd, data if offset == 0 else b"") or max(1, len(data))
    txid = state.applying or state.pos.txid + 1
    for start in range(0, len(data), page_size):
        page = data[start : start + page_size]
        pwrite_all(fd, page, offset + start)
        state.node.tracer.emit(
            "page.apply",
            state.name,
            txid,
            pgno=(offset + start) // page_size + 1,
            offset=offset + start,
            length=len(page),
            applier=True,
        )


def journal_made(state: DatabaseState) -> None:
    """Emit `journal.open`, at the journal's first write: who is held in the call that makes a file keeps
    everyone from looking names up."""
    path = str(state.path(FileKind.JOURNAL))
    state.node.tracer.emit("journal.open", state.name, state.pos.txid, path=path)


def journal_written(state: DatabaseState, offset: int, data: "bytes | memoryview") -> None:
    """Emit `journal.write`: which part of the journal, and of which page's record."""
    payload = _journal_place(state, offset, len(data))
    if offset == 0 and len(data) == JOURNAL_HEADER_SIZE and not any(data):
        payload = {"parts": "header", "zeroed": True}
    state.node.tracer.emit(
        "journal.write", state.name, state.pos.txid, offset=offset, length=len(data), **payload
    )


def wal_written(state: DatabaseState, page_size: int, offset: int, length: int) -> None:
    """Emit `wal.frame`: which frame, of which page; `commit` is the page count a commit frame carries."""
    payload: Payload = {"parts": "header"}
    if offset >= WAL_HEADER_SIZE and page_size:
        frame_size = FRAME_HEADER_SIZE + page_size
        index, inside = divmod(offset - WAL_HEADER_SIZE, frame_size)
        head = _read(state, FileKind.WAL, WAL_HEADER_SIZE + index * frame_size, 8)
        parts = [] if inside >= FRAME_HEADER_SIZE else ["frame header"]
        if inside + length > FRAME_HEADER_SIZE:
            parts.append("page")
        payload = {"frame": index + 1, "parts": ", ".join(parts)}
        if len(head) == 8:
            payload["pgno"] = int.from_bytes(head[:4], "big")
            payload["commit"] = int.from_bytes(head[4:], "big")
    state.node.tracer.emit("wal.frame", state.name, state.pos.txid, offset=offset, length=length, **payload)


def _pages_at(offset: int, length: int, page_size: int) -> Payload:
    if page_size == 0:
        return {}
    first, last = offset // page_size + 1, (offset + length - 1) // page_size + 1
    return {"pgno": first} if first == last else {"pages": list(range(first, last + 1))}


def _page_size(state: DatabaseState, fd: int, head: "bytes | memoryview" = b"") -> int:
    """As page 1 (`head`, or the file's) says, if it is one: a transaction may bring another page size."""
    try:
        head = bytes(head[:DATABASE_HEADER_SIZE]) or os.pread(fd, DATABASE_HEADER_SIZE, 0)
        return DatabaseHeader.parse(head).page_size
    except (SqliteFormatError, OSError):
        return state.page_size


def _journal_place(state: DatabaseState, offset: int, length: int) -> Payload:
    """Walk the segments up to the one that holds `offset`."""
    start, first = 0, _read(state, FileKind.JOURNAL, 0, JOURNAL_HEADER_SIZE)
    while True:
        head = _read(state, FileKind.JOURNAL, start, JOURNAL_HEADER_SIZE)
        # Until the first sync the magic is zero; the rest of the header is there.
        if len(head) < JOURNAL_HEADER_SIZE or head[8:] == bytes(JOURNAL_HEADER_SIZE - 8):
            head = first
        try:
            header = JournalHeader.parse(JOURNAL_MAGIC + head[8:])
        except SqliteFormatError:
            return {}
        sector, page_size = header.sector_size, header.page_size
        if sector == 0 or page_size == 0 or offset < start + sector:
            return {"parts": "header"}
        record_size = page_size + 8
        if header.nrec in (0, NREC_ALL):
            break
        end = start + sector + header.nrec * record_size
        following = -(-end // sector) * sector
        if offset < end or following <= start:
            break
        if offset < following:
            return {}  # The super-journal's name.
        start = following
    record, inside = divmod(offset - start - sector, record_size)
    at = start + sector + record * record_size
    pgno = int.from_bytes(_read(state, FileKind.JOURNAL, at, 4), "big")
    parts = []
    if inside < 4:
        parts.append("page number")
    if inside < 4 + page_size and inside + length > 4:
        parts.append("page")
    if inside + length > 4 + page_size:
        parts.append("checksum")
    return {"pgno": pgno, "parts": ", ".join(parts)}


def _read(state: DatabaseState, kind: FileKind, offset: int, size: int) -> bytes:
    try:
        return os.pread(state.fd(kind), size, offset)
    except OSError:
        return b""
