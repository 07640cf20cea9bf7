"""The byte layouts on a page: each format as a table of offset, size, name and meaning, to print.

The rule: the tables are the anatomies' own fields, so what is printed is what the byte inspector shows.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pylitefs.lecture.anatomy import btree as anatomy_btree
from pylitefs.lecture.anatomy import database as anatomy_database
from pylitefs.lecture.anatomy import frame as anatomy_frame
from pylitefs.lecture.anatomy import journal as anatomy_journal
from pylitefs.lecture.anatomy import ltx as anatomy_ltx
from pylitefs.lecture.anatomy import position as anatomy_position
from pylitefs.lecture.anatomy import wal as anatomy_wal
from pylitefs.lecture.anatomy import wal_index as anatomy_wal_index
from pylitefs.lecture.anatomy.fields import Field
from pylitefs.lecture.history.sentences import lock_words
from pylitefs.sqlite.locks import LOCK_NAMES, SHARED_FIRST, SHARED_SIZE, WAL_DMS_LOCK


@dataclass(frozen=True, slots=True)
class Row:
    """One field. Offset and size are text, for some depend on others."""

    offset: str
    size: str
    name: str
    meaning: str
    kind: str = "field"
    """Its colour, as `Part.kind`."""


@dataclass(frozen=True, slots=True)
class Section:
    """One format."""

    title: str
    about: str
    rows: tuple[Row, ...]
    format: str = ""
    """The dumps that it explains, as `Dump.format`."""


def sections() -> tuple[Section, ...]:
    """Every format, in the order of a transaction's walk."""
    return (*_rollback(), *_wal(), *_ltx(), *_frames(), *_rest())


def _rollback() -> Iterable[Section]:
    journal = anatomy_journal
    yield Section(
        "Rollback journal: segment header",
        "28 bytes, padded to a sector. A transaction has a further segment after each sync while it goes on.",
        _rows((*journal.HEADER, journal.PADDING), sizes={"padding": "to the sector's end"}),
        "journal",
    )
    yield Section(
        "Rollback journal: record",
        "One for each page that the transaction changes, after the header's sector.",
        _rows(
            (
                journal.RECORD_PAGE,
                Field(0, "page", journal.CONTENT_MEANING, "content"),
                journal.RECORD_CHECKSUM,
            )
        ),
        "journal",
    )
    yield Section(
        "Rollback journal: super-journal's name",
        "At the very end, of a transaction over several databases.",
        _rows(journal.SUPER, sizes={"super-journal": "name length"}),
        "journal",
    )


def _wal() -> Iterable[Section]:
    page = Field(0, "page", anatomy_wal.CONTENT_MEANING, "content")
    yield Section("WAL: header", "The file's first 32 bytes.", _rows(anatomy_wal.HEADER), "wal")
    yield Section(
        "WAL: frame",
        "24 bytes and a page, one after the other from byte 32 on.",
        _rows((*anatomy_wal.FRAME, page)),
        "wal",
    )
    yield Section(
        "WAL index: header",
        "48 bytes, twice; little-endian but for the salts. Readers take it if both copies are equal.",
        _rows(anatomy_wal_index.HEADER),
        "wal-index",
    )
    yield Section(
        "WAL index: checkpoint and locks",
        "From byte 96 on; the hash tables begin at byte 136.",
        _rows(anatomy_wal_index.CHECKPOINT, start=96),
        "wal-index",
    )


_IN_FRAMES = {
    "LZ4 frame": "to its end mark",
    "LZ4 block": "compressed size",
    "frame offset": "varint",
    "frame size": "varint",
}
"""Sizes of fields that have no size of their own."""


def _ltx() -> Iterable[Section]:
    yield Section("LTX file: header", "100 bytes, big-endian.", _rows(anatomy_ltx.HEADER), "ltx")
    yield Section(
        "LTX file: page in v1",
        "In ascending order; a page number 0 ends them. With flag bit 0 all of it is one LZ4 frame.",
        _rows(anatomy_ltx.PAGE),
        "ltx",
    )
    ltx = anatomy_ltx
    about = "The newer formats compress each page by itself; page numbers ascend, and a 0 ends them."
    yield Section("LTX file: page in v2", about, _rows(ltx.FRAME_V2, sizes=_IN_FRAMES), "ltx")
    yield Section(
        "LTX file: page in v3a",
        "As v2, with flags. A file may hold pages of v3a and v3b: the flags are each page's own.",
        _rows(ltx.FRAME_V3A, sizes=_IN_FRAMES),
        "ltx",
    )
    yield Section(
        "LTX file: page in v3b",
        "As Litestream writes it now, with a size and a bare block.",
        _rows(ltx.FRAME_V3B, sizes=_IN_FRAMES),
        "ltx",
    )
    yield Section(
        "LTX file: page index",
        "After the pages of the newer formats. A varint has 7 bits a byte, the lowest first.",
        _rows(ltx.INDEX, sizes=_IN_FRAMES | {"page number": "varint"}),
        "ltx",
    )
    yield Section("LTX file: trailer", "The last 16 bytes.", _rows(anatomy_ltx.TRAILER), "ltx")
    yield Section("DB-pos", "34 bytes of text: the position.", _rows(anatomy_position.FIELDS), "position")


def _frames() -> Iterable[Section]:
    for kind, fields in anatomy_frame.FRAMES.items():
        name, _, about = anatomy_frame.frame_name(kind).partition(": ")
        sizes = {"database": "name length", "lease id": "lease id length"}
        rows = _rows(fields, sizes=sizes)
        if anatomy_frame.CHUNK in fields:
            meaning = "A piece of the LTX file. Then the next chunk's length."
            rows += (Row("", "chunk length", "LTX bytes", meaning, "content"),)
        yield Section(f"Stream frame {int(kind)}: {name}", f"{about[:1].upper()}{about[1:]}.", rows, "frame")


def _rest() -> Iterable[Section]:
    yield Section(
        "Database: header", "The first 100 bytes of page 1.", _rows(anatomy_database.HEADER), "database"
    )
    yield Section(
        "Database: b-tree page",
        "At the page's first byte, in page 1 after the database header; the cells lie at its end.",
        _rows((*anatomy_btree.HEADER, anatomy_btree.RIGHT_CHILD, anatomy_btree.POINTER)),
        "database",
    )
    database: list[Row] = []
    shm: list[Row] = []
    for first, name in sorted(LOCK_NAMES.items()):
        size = SHARED_SIZE if first == SHARED_FIRST else 1
        words = lock_words(name)
        row = Row(str(first), str(size), name, f"{words[:1].upper()}{words[1:]}.", "lock")
        (shm if first <= WAL_DMS_LOCK else database).append(row)
    exclusive = lock_words("EXCLUSIVE")
    database.append(
        Row(
            str(SHARED_FIRST),
            str(SHARED_SIZE),
            "EXCLUSIVE",
            f"The same range held for writing: {exclusive}.",
            "lock",
        )
    )
    yield Section("Lock bytes of the database", "At 1 GiB; locked, never written.", tuple(database))
    yield Section("Lock bytes of the WAL index", "Locked, never written.", tuple(shm))


def _rows(fields: Iterable[Field], *, start: int = 0, sizes: dict[str, str] | None = None) -> tuple[Row, ...]:
    """A table's rows. After a field without a size of its own the offsets are no numbers any more."""
    rows: list[Row] = []
    at: int | None = start
    for field in fields:
        size = str(field.size) if field.size else (sizes or {}).get(field.name, "page size")
        rows.append(Row("" if at is None else str(at), size, field.name, field.meaning, field.kind))
        at = at + field.size if at is not None and field.size else None
    return tuple(rows)
