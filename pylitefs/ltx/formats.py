"""Which of the LTX formats a file is in. Nothing on disk says it: the header is the same in all.

    v1   LiteFS 0.5               page number | page, the whole block plain or one LZ4 frame
    v2   August 2025              page number | one LZ4 frame, a page; then an index
    v3a  Litestream 0.5, at first page number, flags 0 | one LZ4 frame, a page; then an index
    v3b  Litestream 0.5 now       page number, flags 1, size | one bare LZ4 block, a page; then an index

The rule: the bytes decide, and the same bytes are always the same format. Flag 0x1 in the header is v1's
alone and flag 0x2 the newer ones'. With neither, a plain page of v1 may begin as a frame of v3 does: so its
first page must decompress, and another must follow, before a file is taken for one of the newer formats.
A file may hold frames of v3a and v3b: the flags are each page's own.
"""

import enum
from collections.abc import Callable

from pylitefs.errors import LtxChecksumError
from pylitefs.ltx.header import FLAG_LZ4, TRAILER_SIZE, Header
from pylitefs.ltx.libraries import lz4_block, lz4_frame

LZ4_FRAME_MAGIC = bytes.fromhex("04224d18")
FRAME_HAS_SIZE = 0x1
"""Flag of a page in v3: its size follows, and a bare LZ4 block."""
SIZE_SIZE = 4
_LZ4_FRAME_EXTRA = 64
"""Bytes of an LZ4 frame beyond its block: its header, end mark and checksums."""


class CutFrameError(LtxChecksumError):
    """The bytes at hand end within an LZ4 frame."""


class Format(enum.Enum):
    """The value is its name; it says how many bytes a page's header has."""

    V1 = "v1"
    V2 = "v2"
    V3A = "v3a"
    V3B = "v3b"

    @property
    def page_header_size(self) -> int:
        """The page number, and in v3 two bytes of flags."""
        return 6 if self in (Format.V3A, Format.V3B) else 4


WRITTEN_BY = {
    Format.V1: "LiteFS 0.5 (superfly/ltx 0.3), pylitefs",
    Format.V2: "superfly/ltx 0.4 (August 2025)",
    Format.V3A: "superfly/ltx 0.5.0 and 0.5.1 (2025): Litestream 0.5 at first",
    Format.V3B: "superfly/ltx 0.5.2 and later (2026): Litestream 0.5 now; `ltx compact --format v3b`",
}
"""The programs whose files are in each format."""


def longest_block(page_size: int) -> int:
    """The longest LZ4 block that a page can become: LZ4's bound, for bytes that it cannot compress."""
    return page_size + page_size // 255 + 16


def longest_frame(page_size: int) -> int:
    """The longest LZ4 frame around one page."""
    return longest_block(page_size) + _LZ4_FRAME_EXTRA


def looks_like(header: Header, start: bytes) -> Format:
    """The format by the first bytes after the header alone: V1 where none of the others begins so."""
    if header.flags & FLAG_LZ4:
        return Format.V1
    flags, size = start[4:6], int.from_bytes(start[6:10], "big")
    if flags == b"\0\1" and 0 < size <= longest_block(header.page_size):
        return Format.V3B
    if flags == b"\0\0" and start[6:10] == LZ4_FRAME_MAGIC:
        return Format.V3A
    if start[4:] and LZ4_FRAME_MAGIC.startswith(start[4:8]):  # Also where the file is cut within it.
        return Format.V2
    return Format.V1


def recognise(header: Header, peek: Callable[[int], bytes]) -> Format:
    """The file's format; `peek(size)` gives what follows its header, fewer bytes at its end alone."""
    start = peek(10)
    if start[:4] == bytes(4):
        return _without_pages(header, peek)
    found = looks_like(header, start)
    if not header.has_checksums:
        return Format.V3B if found is Format.V1 else found  # Damaged; the reading will say where.
    if found is not Format.V1 and not _is_framed(header, found, peek):
        return Format.V1
    return found


def _without_pages(header: Header, peek: Callable[[int], bytes]) -> Format:
    """There is no page to tell by; but the index of none is a zero and its size, 1."""
    if header.flags & FLAG_LZ4:
        return Format.V1
    index = b"\0" + (1).to_bytes(8, "big")
    for one in (Format.V2, Format.V3B):
        whole = one.page_header_size + len(index) + TRAILER_SIZE
        rest = peek(whole + 1)
        if len(rest) == whole and rest[one.page_header_size :].startswith(index):
            return one
    return Format.V1 if header.has_checksums else Format.V3B


def _is_framed(header: Header, found: Format, peek: Callable[[int], bytes]) -> bool:
    """Whether the first page decompresses, and a page number that may come next follows it."""
    head = found.page_header_size
    page_size = header.page_size
    data = peek(head + SIZE_SIZE + longest_frame(page_size) + 6)
    try:
        if found is Format.V3B:
            end = head + SIZE_SIZE + int.from_bytes(data[head : head + SIZE_SIZE], "big")
            unpack_block(data[head + SIZE_SIZE : end], page_size)
        else:
            end = head + unpack_frame(data[head:], page_size)[1]
    except LtxChecksumError:
        return False
    pgno, after = int.from_bytes(data[:4], "big"), int.from_bytes(data[end : end + 4], "big")
    is_known_flag = head == 4 or data[end + 4 : end + 6] in (b"\0\0", b"\0\1")
    return is_known_flag and (after == 0 or pgno < after <= header.commit)


def unpack_block(data: bytes, page_size: int) -> bytes:
    """The page in a bare LZ4 block; LtxChecksumError if it is not exactly one."""
    try:
        page = lz4_block.decompress(data, uncompressed_size=page_size)
    except (lz4_block.LZ4BlockError, ValueError, MemoryError) as error:
        raise LtxChecksumError(f"its LZ4 block cannot be decompressed ({error})") from error
    if len(page) != page_size:
        raise LtxChecksumError(f"its LZ4 block holds {len(page)} bytes, not {page_size}")
    return page


def unpack_frame(data: bytes, page_size: int) -> tuple[bytes, int]:
    """The page in the LZ4 frame that `data` begins with, and the frame's length.

    LtxChecksumError if it holds not exactly one page. `data` has the whole frame if it has `longest_frame`
    bytes; fewer are the file's end.
    """
    if data[:4] != LZ4_FRAME_MAGIC[: len(data)]:
        raise LtxChecksumError(f"no LZ4 frame follows but {data[:4].hex()}")
    lz4 = lz4_frame.LZ4FrameDecompressor()
    try:
        page = lz4.decompress(data, max_length=page_size + 1)
    except RuntimeError as error:
        raise LtxChecksumError(f"its LZ4 frame cannot be decompressed ({error})") from error
    if not lz4.eof and len(page) <= page_size:
        raise CutFrameError("its LZ4 frame has no end")
    if len(page) != page_size:
        raise LtxChecksumError(f"its LZ4 frame does not hold one page of {page_size} bytes")
    return page, len(data) - len(lz4.unused_data or b"")
