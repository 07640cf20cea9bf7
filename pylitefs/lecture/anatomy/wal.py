"""A WAL taken apart: its header, and each frame with its page.

The rule is that of every anatomy: all bytes, in order, whatever they are. Salts and checksums are compared
as SQLite does, so that the reader sees where the log ends and an earlier round's frames begin.
Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from pylitefs.lecture.anatomy.btree import page_summary
from pylitefs.lecture.anatomy.fields import Builder, Field, hexed, version
from pylitefs.lecture.model import Part
from pylitefs.sqlite.header import is_page_size
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    WAL_HEADER_SIZE,
    WAL_MAGIC_BE,
    WAL_MAGIC_LE,
    FrameHeader,
    WalHeader,
    frame_checksum,
    wal_checksum,
)


def _magic(data: bytes) -> str:
    words = {WAL_MAGIC_LE: "checksums of little-endian words", WAL_MAGIC_BE: "checksums of big-endian words"}
    return words.get(int.from_bytes(data, "big"), "not a WAL's")


def _commit(data: bytes) -> str:
    pages = int.from_bytes(data, "big")
    return f"{pages:,} pages: a commit frame" if pages else "0: its transaction goes on"


HEADER = (
    Field(4, "magic", "Says in which byte order the checksums read their words.", "magic", _magic),
    Field(4, "version", "The WAL format, 3007000 since SQLite 3.7.0.", read=version),
    Field(4, "page size", "Bytes in a page, and in each frame after its header.", "size"),
    Field(4, "checkpoint number", "How often the WAL was begun anew.", "count"),
    Field(
        4, "salt 1", "One more each time the WAL is begun anew: older frames no longer fit.", "salt", hexed
    ),
    Field(4, "salt 2", "A new random number each time.", "salt", hexed),
    Field(
        4,
        "header checksum 1",
        "Over the 24 bytes before; every frame's checksum goes on from it.",
        "checksum",
        hexed,
    ),
    Field(4, "header checksum 2", "The second half of it.", "checksum", hexed),
)
FRAME = (
    Field(4, "page number", "Which page this frame has a new version of.", "page"),
    Field(
        4,
        "commit",
        "The database's page count if this frame completes a transaction, else 0.",
        "size",
        _commit,
    ),
    Field(4, "salt 1", "The header's, or the frame is of an earlier round.", "salt", hexed),
    Field(4, "salt 2", "The header's, or the frame is of an earlier round.", "salt", hexed),
    Field(
        4,
        "checksum 1",
        "Over all frames up to and with this one: the first that does not hold ends the log.",
        "checksum",
        hexed,
    ),
    Field(4, "checksum 2", "The second half of it.", "checksum", hexed),
)
CONTENT_MEANING = "The page as this transaction leaves it."


def header_of(data: bytes) -> WalHeader | None:
    """The WAL header of a file's first bytes, as far as it can be read; None without a page size."""
    if len(data) < WAL_HEADER_SIZE:
        return None
    words = [int.from_bytes(data[at : at + 4], "big") for at in range(0, WAL_HEADER_SIZE, 4)]
    if not is_page_size(words[2]):
        return None
    page_size, sequence, salt1, salt2, sum1, sum2 = words[2:8]
    return WalHeader(page_size, sequence, salt1, salt2, sum1, sum2, words[0] == WAL_MAGIC_BE)


def anatomy(data: bytes, base: int = 0, header: WalHeader | None = None) -> tuple[Part, ...]:
    """The parts of a WAL's bytes from offset `base` on; past the file's beginning with its `header`."""
    build = Builder(data, base)
    running: tuple[int, int] | None = None
    if base < WAL_HEADER_SIZE:
        if base:
            build.content(WAL_HEADER_SIZE - base, "header", "The end of the WAL header.", kind="field")
        else:
            header = header_of(data)
            running = _header(build, header)
    if header is None:
        build.rest("unknown", "Without a header nobody knows where frames begin.", kind="content")
        return tuple(build.parts)
    skipped = (base + build.at - WAL_HEADER_SIZE) % header.frame_size
    if skipped:
        build.content(min(header.frame_size - skipped, build.left), "frame", "The end of a frame.")
    while build.left:
        running = _frame(build, header, running)
    return tuple(build.parts)


def _header(build: Builder, header: WalHeader | None) -> tuple[int, int] | None:
    """The 32 bytes; the running checksum after them, None if they do not add up."""
    start = build.data[:24]
    build.fields(HEADER[:6])
    holds = header is not None and wal_checksum(start, 0, 0, header.big_endian) == (
        header.checksum1,
        header.checksum2,
    )
    verdict = "holds" if holds else "does not hold: no frame counts"
    for field in HEADER[6:]:
        build.field(field, value=f"{build.data[build.at : build.at + 4].hex()}, {verdict}")
    return (header.checksum1, header.checksum2) if holds and header is not None else None


def _frame(build: Builder, header: WalHeader, running: tuple[int, int] | None) -> tuple[int, int] | None:
    """One frame; the running checksum after it, None where it is not known or does not hold."""
    raw = build.data[build.at : build.at + header.frame_size]
    number_of = (build.base + build.at - WAL_HEADER_SIZE) // header.frame_size + 1
    more = f"This is frame {number_of}."
    if len(raw) < FRAME_HEADER_SIZE:
        build.fields(FRAME)
        return None
    frame = FrameHeader.parse(raw)
    for field in FRAME[:2]:
        build.field(field, more=more)
    for field, ours, theirs in zip(
        FRAME[2:4], (header.salt1, header.salt2), (frame.salt1, frame.salt2), strict=True
    ):
        verdict = "as in the header" if ours == theirs else "of an earlier round"
        build.field(field, value=f"{theirs:08x}, {verdict}", more=more)
    after, words = None, ""
    if len(raw) == header.frame_size and (frame.salt1, frame.salt2) != (header.salt1, header.salt2):
        running, words = None, ", does not count"
    elif running is not None and len(raw) == header.frame_size:
        computed = frame_checksum(raw, raw[FRAME_HEADER_SIZE:], *running, big_endian=header.big_endian)
        holds = computed == (frame.checksum1, frame.checksum2)
        after, words = (computed, ", holds") if holds else (None, ", does not hold: the log ends here")
    for field, value in zip(FRAME[4:], (frame.checksum1, frame.checksum2), strict=True):
        build.field(field, value=f"{value:08x}{words}", more=more)
    page = raw[FRAME_HEADER_SIZE:]
    if page:
        summary = page_summary(page, frame.pgno) if len(page) == header.page_size else ""
        build.content(header.page_size, f"page {frame.pgno}", CONTENT_MEANING, value=summary)
    return after
