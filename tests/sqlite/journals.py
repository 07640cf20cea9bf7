"""Journals made up for the tests, and the playback that a journal's reader is for."""

from pathlib import Path

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.journal import JournalHeader, read_journal, record_checksum
from tests.sqlite.samples import read_at

PAGE = 1024


def make_segment(pgnos: list[int], header: JournalHeader, contents: dict[int, bytes] | None = None) -> bytes:
    """A segment with a record for each page, which holds its number unless `contents` says otherwise."""
    page_size = header.page_size or PAGE
    out = header.pack().ljust(header.sector_size, b"\0")
    for pgno in pgnos:
        page = (contents or {}).get(pgno, bytes([pgno & 0xFF]) * page_size)
        out += pgno.to_bytes(4, "big") + page + record_checksum(header.nonce, page).to_bytes(4, "big")
    return out


def make_journal(
    segments: list[list[int]],
    *,
    sector_size: int = 512,
    page_size: int = PAGE,
    initial_pages: int = 9,
    contents: dict[int, bytes] | None = None,
) -> bytes:
    """A synced journal of several segments, the last one not padded."""
    out = b""
    for number, pgnos in enumerate(segments):
        header = JournalHeader(len(pgnos), 1000 + number, initial_pages, sector_size, page_size)
        out = out.ljust(-(-len(out) // sector_size) * sector_size, b"\0") + make_segment(
            pgnos, header, contents
        )
    return out


def roll_back(path: Path) -> bytes:
    """What a database's bytes are once its journal is played back with our reader."""
    database, journal_bytes = bytearray(path.read_bytes()), Path(f"{path}-journal").read_bytes()
    page_size = DatabaseHeader.parse(database).page_size
    try:
        journal = read_journal(read_at(journal_bytes), len(journal_bytes), database_page_size=page_size)
    except SqliteFormatError:
        return bytes(database)
    if journal.super_journal is not None and not Path(journal.super_journal).exists():
        return bytes(database)
    size = journal.initial_pages * journal.page_size
    if len(database) > size or len(database) + journal.page_size <= size:
        database = database[:size].ljust(size, b"\0")
    for pgno, page in journal.records:
        start = (pgno - 1) * journal.page_size
        database = database.ljust(start, b"\0")
        database[start : start + journal.page_size] = page
    return bytes(database)
