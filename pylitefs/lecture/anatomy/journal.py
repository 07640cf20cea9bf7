"""A rollback journal taken apart: headers, records, and what is left over from earlier ones.

The rule is that of every anatomy: all bytes, in order, whatever they are. What SQLite's playback would
believe is `sqlite.journal`'s to say; here a record's checksum is compared, and the reader told.
Format: https://www.sqlite.org/fileformat2.html#the_rollback_journal
"""

from pylitefs.lecture.anatomy.btree import page_summary
from pylitefs.lecture.anatomy.fields import Builder, Field, hexed
from pylitefs.lecture.model import Part
from pylitefs.sqlite.header import is_page_size
from pylitefs.sqlite.journal import (
    DEFAULT_SECTOR_SIZE,
    JOURNAL_HEADER_SIZE,
    JOURNAL_MAGIC,
    MAX_SECTOR_SIZE,
    NREC_ALL,
    JournalHeader,
    read_super_journal,
    record_checksum,
)

_SECTOR_SIZES = frozenset(1 << bits for bits in range(5, MAX_SECTOR_SIZE.bit_length()))


def _magic(data: bytes) -> str:
    if data == JOURNAL_MAGIC:
        return "valid: this journal can roll back"
    return "zero: nothing to roll back" if not any(data) else "not a journal's"


def _count(data: bytes) -> str:
    count = int.from_bytes(data, "big")
    return "all that the file holds (ffffffff)" if count == NREC_ALL else f"{count:,}"


HEADER = (
    Field(
        8,
        "magic",
        "Zero until the journal's first sync; with it, a crash from here on is rolled back.",
        "magic",
        _magic,
    ),
    Field(
        4,
        "record count",
        "How many records of this segment are synced, and so are to be played back.",
        "count",
        _count,
    ),
    Field(
        4,
        "nonce",
        "A random number that each record's checksum starts from, so that records of an older "
        "journal do not fit.",
        "salt",
        hexed,
    ),
    Field(
        4,
        "initial pages",
        "The database's page count before the transaction; a rollback cuts it to that.",
        "size",
    ),
    Field(4, "sector size", "The header is padded to this, so that a torn sector harms no record.", "size"),
    Field(4, "page size", "Bytes in a page, and in each record's copy of one.", "size"),
)
PADDING = Field(0, "padding", "Fills the header's sector; never read.", "unused", lambda _: "")
RECORD_PAGE = Field(4, "page number", "The page that this record brings back.", "page")
RECORD_CHECKSUM = Field(
    4,
    "record checksum",
    "The nonce plus every 200th byte of the page, counted from its end.",
    "checksum",
    hexed,
)
CONTENT_MEANING = "The page as it was before the transaction."
SUPER = (
    Field(4, "lock page number", "Marks that no page follows but the super-journal's name.", "page"),
    Field(
        0,
        "super-journal",
        "The file whose unlinking commits all databases of this transaction at once.",
        "content",
        lambda data: data.decode("utf-8", "replace"),
    ),
    Field(4, "name length", "Bytes of the super-journal's name.", "size"),
    Field(4, "name checksum", "The sum of the name's bytes.", "checksum"),
    Field(8, "magic", "The journal's magic once more: the name is whole.", "magic", hexed),
)


def anatomy(data: bytes, page_size: int = 0) -> tuple[Part, ...]:
    """The parts of a whole journal. `page_size` is the database's, for a header that does not say."""
    tail = _super_size(data)
    build = Builder(data[: len(data) - tail])
    while build.left:
        before = build.at
        _segment(build, page_size)
        if build.at == before:
            build.rest("unknown", "Nothing that a journal holds.")
    if tail:
        last = Builder(data[len(data) - tail :], len(data) - tail)
        last.field(SUPER[0])
        last.field(SUPER[1], size=tail - 20)
        last.fields(SUPER[2:])
        build.add(last.parts)
    return tuple(build.parts)


def _super_size(data: bytes) -> int:
    """Bytes at the end that name a super-journal."""
    if read_super_journal(lambda offset, size: data[offset : offset + size], len(data)) is None:
        return 0
    size = 20 + int.from_bytes(data[-16:-12], "big")
    return size if size <= len(data) else 0


def _may_be_header(head: bytes) -> bool:
    """Whether a further segment begins here: its magic and record count are zero until it is synced."""
    if len(head) < JOURNAL_HEADER_SIZE or head[:8] not in (JOURNAL_MAGIC, bytes(8)):
        return False
    header = JournalHeader.parse(JOURNAL_MAGIC + head[8:])
    return is_page_size(header.page_size) and header.sector_size in _SECTOR_SIZES


def _segment(build: Builder, known_page_size: int) -> None:
    start = build.at
    head = build.data[start : start + JOURNAL_HEADER_SIZE]
    if start and not _may_be_header(head):
        build.rest("left over", "Bytes of an earlier, longer journal, which nobody reads.")
        return
    build.fields(HEADER)
    if len(head) < JOURNAL_HEADER_SIZE:
        return
    # Read as a header also where the magic is not written yet: the other fields are.
    header = JournalHeader.parse(JOURNAL_MAGIC + head[8:])
    sector = header.sector_size
    if sector not in _SECTOR_SIZES:
        sector = DEFAULT_SECTOR_SIZE
    build.field(PADDING, size=min(max(sector - JOURNAL_HEADER_SIZE, 0), build.left))
    page_size = header.page_size if is_page_size(header.page_size) else known_page_size
    if not is_page_size(page_size):
        build.rest("left over", "The header gives no page size, so these are no records.")
        return
    count = header.nrec if 0 < header.nrec < NREC_ALL else build.left
    for _ in range(count):
        if not build.left:
            return
        _record(build, header.nonce, page_size)
    end = -(-build.at // sector) * sector
    if build.left:
        build.field(PADDING, size=min(end - build.at, build.left))


def _record(build: Builder, nonce: int, page_size: int) -> None:
    pgno = int.from_bytes(build.field(RECORD_PAGE), "big")
    if not build.left:
        return
    page = build.data[build.at : build.at + page_size]
    summary = page_summary(page, pgno) if len(page) == page_size else ""
    build.content(page_size, f"page {pgno}", CONTENT_MEANING, value=summary)
    stands = build.data[build.at : build.at + 4]
    fits = int.from_bytes(stands, "big") == record_checksum(nonce, page)
    verdict = "holds" if fits else "does not hold: never synced, or left from an earlier journal"
    if stands:
        build.field(RECORD_CHECKSUM, value=f"{stands.hex()}, {verdict}")
