"""A WAL index (`-shm`) taken apart: both headers, the checkpoint's state, the lock bytes, the hash tables.

The rule is that of every anatomy: all bytes, in order, whatever they are. Integers are little-endian here,
as on every machine that runs this, except for the salts, which are copied from the WAL byte for byte.
Format: https://www.sqlite.org/walformat.html#the_wal_index_file_format
"""

from pylitefs.lecture.anatomy.fields import Builder, Field, hexed, little, version
from pylitefs.lecture.model import Part
from pylitefs.sqlite.wal import wal_checksum
from pylitefs.sqlite.wal_index import INDEX_HEADER_SIZE, INDEX_PREFIX_SIZE, READ_MARK_UNUSED, WAL_INDEX_SIZE

_HASH_SLOTS_SIZE = 16384
_MOST_PGNOS = 12


def _page_size(data: bytes) -> str:
    raw = int.from_bytes(data, "little")
    return f"{(raw & 0xFF00) | ((raw & 1) << 16):,}"


def _yes(data: bytes) -> str:
    return "yes" if any(data) else "no"


def _word_order(data: bytes) -> str:
    return "big-endian" if any(data) else "little-endian"


def _mark(data: bytes) -> str:
    mark = int.from_bytes(data, "little")
    return "not in use" if mark == READ_MARK_UNUSED else f"frame {mark:,}"


HEADER = (
    Field(4, "version", "The format, 3007000.", read=lambda data: version(data[::-1])),
    Field(4, "unused", "Zero.", "unused", little),
    Field(
        4,
        "change",
        "iChange, one more for each transaction: readers whose copy differs look anew.",
        "count",
        little,
    ),
    Field(1, "initialised", "isInit: whether the header is filled in.", "flag", _yes),
    Field(1, "checksum words", "In which byte order the WAL's checksums read.", "flag", _word_order),
    Field(2, "page size", "Bytes in a page; 1 stands for 65,536.", "size", _page_size),
    Field(
        4,
        "last frame",
        "mxFrame: the last frame that readers may use. Raising it publishes a commit.",
        "count",
        little,
    ),
    Field(4, "page count", "The database's size in pages after that frame.", "size", little),
    Field(
        4,
        "frame checksum 1",
        "The running checksum after that frame: where the next goes on.",
        "checksum",
        lambda data: data[::-1].hex(),
    ),
    Field(4, "frame checksum 2", "The second half of it.", "checksum", lambda data: data[::-1].hex()),
    Field(4, "salt 1", "The WAL header's.", "salt", hexed),
    Field(4, "salt 2", "The WAL header's.", "salt", hexed),
    Field(
        4,
        "header checksum 1",
        "Over the 40 bytes before: a header half written does not pass.",
        "checksum",
        lambda data: data[::-1].hex(),
    ),
    Field(4, "header checksum 2", "The second half of it.", "checksum", lambda data: data[::-1].hex()),
)
CHECKPOINT = (
    Field(
        4,
        "backfill",
        "nBackfill: how many frames a checkpoint has copied into the database.",
        "count",
        little,
    ),
    *(
        Field(
            4,
            f"read mark {n}",
            "Up to which frame readers with this mark's lock read"
            + ("; mark 0 reads the database file alone." if n == 0 else "."),
            "count",
            _mark,
        )
        for n in range(5)
    ),
    *(
        Field(1, f"lock byte {name}", "Locked, never written: see the locks of SQLite.", "lock", hexed)
        for name in ("WRITE", "CKPT", "RECOVER", "READ0", "READ1", "READ2", "READ3", "READ4")
    ),
    Field(
        4,
        "backfill attempted",
        "nBackfillAttempted: how far a checkpoint has begun to copy. Its first byte is the lock byte DMS.",
        "count",
        little,
    ),
    Field(4, "unused", "Zero.", "unused", little),
)


def anatomy(data: bytes) -> tuple[Part, ...]:
    """The parts of a WAL index from its first byte on."""
    build = Builder(data)
    same = data[:INDEX_HEADER_SIZE] == data[INDEX_HEADER_SIZE : 2 * INDEX_HEADER_SIZE]
    for copy, more in ((1, "First copy of the header."), (2, "Second copy of the header.")):
        raw = build.data[build.at : build.at + INDEX_HEADER_SIZE]
        for field in HEADER[:-2]:
            build.field(field, more=more)
        holds = _holds(raw)
        agree = "" if same or copy == 1 else "; the copies differ: readers wait or try again"
        verdict = ("holds" if holds else "does not hold") + agree
        for field in HEADER[-2:]:
            piece = build.data[build.at : build.at + 4]
            build.field(field, value=f"{piece[::-1].hex()}, {verdict}", more=more)
    build.fields(CHECKPOINT)
    if build.left:
        _tables(build, int.from_bytes(data[16:20], "little"))
    return tuple(build.parts)


def _holds(raw: bytes) -> bool:
    if len(raw) < INDEX_HEADER_SIZE:
        return False
    first, second = int.from_bytes(raw[40:44], "little"), int.from_bytes(raw[44:48], "little")
    return wal_checksum(raw[:40], 0, 0, False) == (first, second)


def _tables(build: Builder, last_frame: int) -> None:
    """Blocks of 32 KiB: page numbers of the frames, and a hash table over them."""
    first = 1
    while build.left:
        size = WAL_INDEX_SIZE - _HASH_SLOTS_SIZE - (INDEX_PREFIX_SIZE if first == 1 else 0)
        raw = build.data[build.at : build.at + min(size, 4 * max(last_frame - first + 1, 0))]
        shown = range(0, min(len(raw), 4 * _MOST_PGNOS), 4)
        pgnos = [int.from_bytes(raw[at : at + 4], "little") for at in shown]
        more = " …" if len(raw) > 4 * _MOST_PGNOS else ""
        build.content(
            min(size, build.left),
            f"pages of frames {first} to {first + size // 4 - 1}",
            "Which page each frame holds.",
            value=", ".join(map(str, pgnos)) + more,
        )
        build.content(min(_HASH_SLOTS_SIZE, build.left), "hash table", "Finds a page's newest frame quickly.")
        first += size // 4
