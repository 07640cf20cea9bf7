"""A database file, or some pages of it, taken apart: the 100-byte header and the pages' b-trees.

The rule is that of every anatomy: all bytes, in order, whatever they are.
Format: https://www.sqlite.org/fileformat2.html#the_database_header
"""

from pylitefs.lecture.anatomy.btree import btree_parts
from pylitefs.lecture.anatomy.fields import Builder, Field, zeros
from pylitefs.lecture.model import Part
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DATABASE_MAGIC, is_page_size
from pylitefs.sqlite.locks import lock_pgno


def _magic(data: bytes) -> str:
    return "SQLite format 3" if data == DATABASE_MAGIC else "not a database's"


def _page_size(data: bytes) -> str:
    size = int.from_bytes(data, "big")
    return f"{65536 if size == 1 else size:,}"


def _mode(data: bytes) -> str:
    return {b"\1": "1: rollback journal", b"\2": "2: WAL"}.get(data, str(data[0]) if data else "")


def _encoding(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    return {1: "1: UTF-8", 2: "2: UTF-16le", 3: "3: UTF-16be"}.get(number, str(number))


def _version(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


HEADER = (
    Field(16, "magic", "Every SQLite database begins with these bytes.", "magic", _magic),
    Field(2, "page size", "Bytes in a page, a power of two; 1 stands for 65,536.", "size", _page_size),
    Field(1, "write version", "What a writer must know: the journal mode is WAL or another.", "flag", _mode),
    Field(1, "read version", "What a reader must know; 2 sends it to the WAL.", "flag", _mode),
    Field(1, "reserved bytes", "Kept free at the end of each page.", "size"),
    Field(1, "maximum payload fraction", "Always 64: how much of an index page one cell may take.", "field"),
    Field(1, "minimum payload fraction", "Always 32.", "field"),
    Field(1, "leaf payload fraction", "Always 32.", "field"),
    Field(
        4,
        "change counter",
        "One more for each transaction in a rollback mode: how other connections see "
        "that their cached pages are old.",
        "count",
    ),
    Field(4, "page count", "The database's size in pages; what LiteFS calls commit.", "size"),
    Field(4, "first freelist page", "Where the list of unused pages begins; 0 if there is none.", "page"),
    Field(4, "freelist pages", "How many pages are unused.", "count"),
    Field(
        4,
        "schema cookie",
        "One more for each change of the schema: statements are then prepared anew.",
        "count",
    ),
    Field(4, "schema format", "Which features the schema may use; 4 today.", "field"),
    Field(4, "default cache size", "A suggestion, no longer used.", "field"),
    Field(4, "largest root page", "Not 0 in auto-vacuum and incremental-vacuum modes.", "page"),
    Field(4, "text encoding", "How text is stored.", "flag", _encoding),
    Field(4, "user version", "The application's own, PRAGMA user_version.", "field"),
    Field(4, "incremental vacuum", "Not 0 in incremental-vacuum mode.", "flag"),
    Field(4, "application id", "The application's own, PRAGMA application_id.", "field"),
    Field(20, "reserved", "For later versions; zero.", "unused", zeros),
    Field(
        4,
        "version valid for",
        "The change counter when the page count was written: unless they agree, the file's size counts.",
        "count",
    ),
    Field(4, "SQLite version", "The library that wrote this.", "field", _version),
)


def page_size_of(data: bytes) -> int:
    """The page size that a database's first bytes give; 0 if they give none."""
    if len(data) < 18 or data[:16] != DATABASE_MAGIC:
        return 0
    size = int.from_bytes(data[16:18], "big")
    size = 65536 if size == 1 else size
    return size if is_page_size(size) else 0


def anatomy(data: bytes, base: int = 0, page_size: int = 0, reserved: int = 0) -> tuple[Part, ...]:
    """The parts of a database's bytes from offset `base` on; `page_size` is for those without a header."""
    build = Builder(data, base)
    if base == 0:
        page_size = page_size_of(data) or page_size
        reserved = data[20] if page_size_of(data) and len(data) > 20 else reserved
    if not is_page_size(page_size):
        build.rest("unknown", "Without the page size nobody knows where pages begin.", kind="content")
        return tuple(build.parts)
    while build.left:
        _page(build, page_size, reserved)
    return tuple(build.parts)


def _page(build: Builder, page_size: int, reserved: int) -> None:
    """What is left of the page that the builder is at."""
    place = build.base + build.at
    pgno, skipped = place // page_size + 1, place % page_size
    page = build.data[build.at : build.at + page_size - skipped]
    if pgno == lock_pgno(page_size):
        build.content(len(page), "lock page", "SQLite's lock bytes lie here; never written.", kind="lock")
    elif skipped or (len(page) < page_size and pgno > 1):
        where = f"from byte {skipped:,} of the page" if skipped else f"{len(page):,} of {page_size:,} bytes"
        build.content(len(page), f"page {pgno}", "A part of this page.", value=where)
    elif pgno > 1:
        build.add(btree_parts(page, place, 0, reserved))
    else:
        header = Builder(page[:DATABASE_HEADER_SIZE], place)
        header.fields(HEADER)
        build.add(header.parts)
        if len(page) == page_size:
            build.add(btree_parts(page, place, DATABASE_HEADER_SIZE, reserved))
        else:
            build.content(len(page) - DATABASE_HEADER_SIZE, "page 1", "The first of its b-tree: the schema.")
