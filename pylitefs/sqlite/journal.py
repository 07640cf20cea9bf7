"""The rollback journal: what the pages were before a transaction changed them.

    segment:  header, padded with anything to one sector
              record: u32 page number | the page as it was | u32 checksum     (nRec of them)
              ...
    next segment at the next whole sector, written after each sync while the transaction goes on
    perhaps, at the very end: the name of the super-journal, for a commit over several databases

The rule: this reader believes exactly what SQLite's playback believes and no byte more, for it decides
what a database looked like. So a record whose checksum does not fit ends the journal, quietly: it was
never synced, and its page was therefore never written to the database.
Format: https://www.sqlite.org/fileformat2.html#the_rollback_journal
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer, ReadAt
from pylitefs.sqlite.header import is_page_size
from pylitefs.sqlite.locks import lock_pgno

JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
JOURNAL_HEADER_SIZE = 28
NREC_ALL = 0xFFFFFFFF
"""nRec of a journal that is never synced (synchronous=OFF): as many records as the file holds."""
DEFAULT_SECTOR_SIZE = 512
MAX_SECTOR_SIZE = 65536
MAX_SUPER_JOURNAL_NAME = 512
"""SQLite's longest path name; a longer super-journal name is none."""

_HEADER = struct.Struct(">8sIIIII")
_SUPER_TAIL = struct.Struct(">II8s")


def is_journal_header_valid(first: Buffer) -> bool:
    """Whether the first 28 bytes of a journal are a header.

    SQLite leaves the magic zero until the journal's first sync (unless it never syncs), and writes no
    page of the database before that: a journal that ends without a valid header changed nothing.
    """
    return len(first) >= JOURNAL_HEADER_SIZE and bytes(first[:8]) == JOURNAL_MAGIC


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """One segment's header: 28 bytes, padded to a sector."""

    nrec: int
    """Records in this segment; 0 before its first sync, 0xffffffff for as many as the file holds."""
    nonce: int
    """Where the checksum of each record starts, so that records of an older journal do not fit."""
    initial_pages: int
    """Pages in the database before the transaction."""
    sector_size: int
    page_size: int

    @classmethod
    def parse(cls, data: Buffer) -> "JournalHeader":
        """Read a header from its 28 bytes; SqliteFormatError if they are too few or the magic is another."""
        if not is_journal_header_valid(data):
            raise SqliteFormatError("not a rollback journal: no journal header where one should be")
        _, nrec, nonce, initial_pages, sector_size, page_size = _HEADER.unpack_from(data)
        return cls(nrec, nonce, initial_pages, sector_size, page_size)

    def pack(self) -> bytes:
        """The 28 bytes, without the padding to a sector."""
        return _HEADER.pack(
            JOURNAL_MAGIC, self.nrec, self.nonce, self.initial_pages, self.sector_size, self.page_size
        )


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal as SQLite's playback sees it."""

    initial_pages: int
    page_size: int
    sector_size: int
    super_journal: str | None
    """The path of the super-journal it names: if that file is gone, the transaction was committed."""
    hot: bool
    _read_at: ReadAt = field(repr=False)
    _size: int = field(repr=False)

    @property
    def records(self) -> Iterator[tuple[int, bytes]]:
        """Page number and original page, of each record that SQLite would play back, in file order.

        Pages past the database's initial end are left out: rolling back cuts them off.
        """
        return _playback(self)


def read_journal(read_at: ReadAt, size: int, *, hot: bool = True, database_page_size: int = 0) -> Journal:
    """Read the journal of `size` bytes behind `read_at(offset, size)`.

    `hot` is how SQLite reads a journal that another process left: a segment with nRec 0 was never
    synced and holds nothing. With `hot=False` it is the journal of a transaction still open, whose last
    segment holds what the file's length allows. `database_page_size` is for journals of SQLite before
    3.5.8, which do not say their own. Raises SqliteFormatError if SQLite would find no header to play
    back from: then there is nothing to roll back.
    """
    header = None
    if size >= DEFAULT_SECTOR_SIZE:
        header = JournalHeader.parse(read_at(0, JOURNAL_HEADER_SIZE))
    if header is None:
        raise SqliteFormatError(f"not a rollback journal: {size} bytes, fewer than a sector")
    page_size = header.page_size or database_page_size
    if not is_page_size(page_size):
        raise SqliteFormatError(f"not a rollback journal: its header gives a page size of {page_size}")
    sector = header.sector_size
    if not (32 <= sector <= MAX_SECTOR_SIZE) or sector & (sector - 1):
        raise SqliteFormatError(f"not a rollback journal: its header gives a sector size of {sector}")
    return Journal(
        initial_pages=header.initial_pages,
        page_size=page_size,
        sector_size=sector,
        super_journal=read_super_journal(read_at, size),
        hot=hot,
        _read_at=read_at,
        _size=size,
    )


def record_checksum(nonce: int, page: Buffer) -> int:
    """The checksum of a record: the nonce plus every 200th byte, counted from the end."""
    return (nonce + sum(page[len(page) - 200 : 0 : -200])) & 0xFFFFFFFF


def read_super_journal(read_at: ReadAt, size: int) -> str | None:
    """The super-journal's path at a journal's end, or None. At the end stand, after the name itself:
    its length, the sum of its bytes, and the journal magic again, 16 bytes in all."""
    if size < _SUPER_TAIL.size:
        return None
    tail = read_at(size - _SUPER_TAIL.size, _SUPER_TAIL.size)
    if len(tail) < _SUPER_TAIL.size:
        return None
    length, checksum, magic = _SUPER_TAIL.unpack(tail)
    if magic != JOURNAL_MAGIC or not 0 < length <= min(MAX_SUPER_JOURNAL_NAME, size - _SUPER_TAIL.size):
        return None
    name = read_at(size - _SUPER_TAIL.size - length, length)
    # SQLite adds C chars, which are signed on some machines and not on others.
    signed = sum(byte - 256 if byte > 127 else byte for byte in name) & 0xFFFFFFFF
    if checksum not in (sum(name), signed):
        return None
    return os.fsdecode(name.split(b"\0")[0]) or None


def _playback(journal: Journal) -> Iterator[tuple[int, bytes]]:
    """The walk over all segments. Comments name the case in SQLite's own playback."""
    page_size, sector = journal.page_size, journal.sector_size
    record_size = page_size + 8
    offset = 0
    while offset + sector <= journal._size:
        raw = journal._read_at(offset, JOURNAL_HEADER_SIZE)
        if not is_journal_header_valid(raw):
            return
        header = JournalHeader.parse(raw)
        start = offset + sector
        nrec = header.nrec
        if nrec == NREC_ALL:
            # Never synced: this one segment is the whole journal, whichever header says so.
            nrec = (journal._size - sector) // record_size
        elif nrec == 0 and not journal.hot:
            nrec = (journal._size - start) // record_size
        end = start
        for _ in range(nrec):
            record = journal._read_at(end, record_size)
            end += record_size
            if len(record) < page_size + 4:
                return  # The journal was cut short.
            pgno = int.from_bytes(record[:4], "big")
            if pgno in (0, lock_pgno(page_size)):
                return  # Nothing, or the super-journal's name, which stands under the lock page's number.
            if pgno > journal.initial_pages:
                continue  # Cut off by the rollback anyhow; SQLite looks at no checksum here either.
            if len(record) < record_size:
                return
            page = record[4:-4]
            if int.from_bytes(record[-4:], "big") != record_checksum(header.nonce, page):
                return  # Never synced, so never followed by a write to the database.
            yield pgno, page
        offset = -(-end // sector) * sector  # Up to the next whole sector.
