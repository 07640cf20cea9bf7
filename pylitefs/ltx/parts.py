"""An LTX file taken apart: every byte with its place and its meaning, for people who want to look.

The rule: the parts come in file order and leave no byte out, also of a file that is damaged; what is
wrong with it is the decoder's to say.
Formats: header.py, and https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md for the LZ4 frame.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pylitefs.errors import LtxError
from pylitefs.ltx.blocks import CHUNK_SIZE
from pylitefs.ltx.formats import LZ4_FRAME_MAGIC, Format, longest_block, recognise
from pylitefs.ltx.header import (
    FLAG_LZ4,
    FLAG_NO_CHECKSUM,
    HEADER_SIZE,
    PAGE_HEADER_SIZE,
    TRAILER_SIZE,
    Header,
)
from pylitefs.sqlite.header import is_page_size

_LONGEST_BLOCK = longest_block(65536)


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of the file that belong together."""

    offset: int
    data: bytes
    name: str
    meaning: str = ""
    is_content: bool = False
    """Whether this is a page's or a block's content (shown in rows) rather than a field."""


def flags_text(flags: int) -> str:
    """The flags in hex, and their names."""
    names = {FLAG_LZ4: " (LZ4)", FLAG_NO_CHECKSUM: " (no database checksum)"}
    return f"0x{flags:x}{names.get(flags, '')}"


def time_text(timestamp_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601, UTC; the bare number where no calendar has that date."""
    try:
        moment = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(timestamp_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{timestamp_ms % 1000:03d}Z"


def header_fields(header: Header) -> list[tuple[str, int, str]]:
    """Name, size in bytes and meaning of each field, in file order: 100 bytes in all."""
    kind = "snapshot" if header.is_snapshot else ""
    return [
        ("magic", 4, "LTX1"),
        ("flags", 4, flags_text(header.flags)),
        ("page size", 4, str(header.page_size)),
        ("commit", 4, f"{header.commit} pages" if header.commit else "0 pages: the database is dropped"),
        ("min TXID", 8, f"{header.min_txid:016x} {kind}".rstrip()),
        ("max TXID", 8, f"{header.max_txid:016x}"),
        ("timestamp", 8, time_text(header.timestamp_ms)),
        ("pre-apply checksum", 8, f"{header.pre_apply_checksum:016x}"),
        ("WAL offset", 8, str(header.wal_offset)),
        ("WAL size", 8, str(header.wal_size)),
        ("WAL salt 1", 4, f"{header.wal_salt1:08x}"),
        ("WAL salt 2", 4, f"{header.wal_salt2:08x}"),
        ("node id", 8, f"{header.node_id:016X}"),
        ("reserved", 20, ""),
    ]


def file_parts(read: Callable[[int], bytes]) -> Iterator[Part]:
    """The parts of the LTX file behind `read(size)`, as it stands on disk.

    Raises LtxError if it does not begin with an LTX header.
    """
    cursor = _Cursor(read)
    head = cursor.take(HEADER_SIZE)
    header = Header.unpack(head)
    at = 0
    for name, size, meaning in header_fields(header):
        yield Part(at, head[at : at + size], name, meaning)
        at += size
    form = recognise(header, cursor.peek) if is_page_size(header.page_size) else Format.V1
    if form is not Format.V1:
        yield from _frame_parts(cursor, form)
    elif header.is_compressed:
        yield from _lz4_parts(cursor)
    else:
        yield from _page_parts(cursor, header.page_size)
    trailer = cursor.offset
    for name in ("post-apply checksum", "file checksum"):
        yield from _field(cursor, 8, name, lambda data: data.hex())
    if cursor.offset > trailer + TRAILER_SIZE - 1:
        while data := cursor.take(CHUNK_SIZE):
            yield Part(cursor.offset - len(data), data, "after the end", is_content=True)


class _Cursor:
    """Reads exactly, and knows where it is."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._ahead = b""
        self.offset = 0

    def peek(self, size: int) -> bytes:
        """What `take` will give."""
        while len(self._ahead) < size and (piece := self._read(size - len(self._ahead))):
            self._ahead += piece
        return self._ahead[:size]

    def take(self, size: int) -> bytes:
        """The next `size` bytes; fewer only at the file's end."""
        data = self.peek(size)
        self._ahead = self._ahead[len(data) :]
        self.offset += len(data)
        return data


def _field(
    cursor: _Cursor, size: int, name: str, meaning: Callable[[bytes], str] = lambda _: ""
) -> Iterator[Part]:
    offset, data = cursor.offset, cursor.take(size)
    if data:
        torn = f"torn: {len(data)} of {size} bytes" if len(data) < size else meaning(data)
        yield Part(offset, data, name, torn)


def _page_parts(cursor: _Cursor, page_size: int) -> Iterator[Part]:
    if page_size <= 0 or page_size > 65536:
        raise LtxError(f"page size {page_size} in the LTX header is none of SQLite's")
    while True:
        offset, head = cursor.offset, cursor.take(PAGE_HEADER_SIZE)
        if not head:
            return
        pgno = int.from_bytes(head, "big")
        yield Part(offset, head, "page number", str(pgno) if pgno else "0: end of the pages")
        if pgno == 0 or len(head) < PAGE_HEADER_SIZE:
            return
        offset, page = cursor.offset, cursor.take(page_size)
        torn = f", torn: {len(page)} of {page_size} bytes" if len(page) < page_size else ""
        yield Part(offset, page, f"page {pgno}{torn}", is_content=True)


def _frame_parts(cursor: _Cursor, form: Format) -> Iterator[Part]:
    """Pages that are compressed one by one, and the index of them."""
    while True:
        pgno = int.from_bytes(cursor.peek(PAGE_HEADER_SIZE), "big")
        text = str(pgno) if pgno else "0: end of the pages"
        yield from _field(cursor, PAGE_HEADER_SIZE, "page number", lambda _, text=text: text)  # type: ignore[misc]
        flags = b""
        if form is not Format.V2:
            flags = cursor.peek(2)
            yield from _field(cursor, 2, "page flags", _page_flags_text)
        if not pgno:
            break
        if flags == b"\0\1":
            size = int.from_bytes(cursor.peek(4), "big")
            yield from _field(cursor, 4, "compressed size", lambda data: str(int.from_bytes(data, "big")))
            offset, data = cursor.offset, cursor.take(min(size, _LONGEST_BLOCK))
            torn = f", torn: {len(data)} of {size} bytes" if len(data) < size else ""
            yield Part(offset, data, f"page {pgno}, one LZ4 block{torn}", is_content=True)
        else:
            yield from _lz4_parts(cursor)
        if not cursor.peek(1):
            return
    yield from _index_parts(cursor)


def _index_parts(cursor: _Cursor) -> Iterator[Part]:
    for numbers in iter(lambda: _varints(cursor), None):
        offset, data = cursor.offset, cursor.take(numbers[0])
        if len(numbers) < 4:
            yield Part(offset, data, "end of the index")
            break
        yield Part(offset, data, "page index", f"page {numbers[1]}: {numbers[3]} bytes at {numbers[2]}")
    yield from _field(cursor, 8, "index size", lambda data: str(int.from_bytes(data, "big")))


def _varints(cursor: _Cursor) -> list[int] | None:
    """The length of the next entry of the index, and its three numbers; of its end the length and 0."""
    numbers, value, shift = [0], 0, 0
    for at, byte in enumerate(cursor.peek(30), 1):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        numbers.append(value)
        if len(numbers) == 4 or numbers == [0, 0]:
            return [at, *numbers[1:]]
        value = shift = 0
    return None


def _page_flags_text(data: bytes) -> str:
    return "0x1: a size and an LZ4 block follow" if data == b"\0\1" else f"0x{data.hex()}"


def _lz4_parts(cursor: _Cursor) -> Iterator[Part]:
    yield from _field(
        cursor, 4, "LZ4 magic", lambda data: "" if data == LZ4_FRAME_MAGIC else "not an LZ4 frame"
    )
    flags = b""
    for part in _field(cursor, 1, "LZ4 flags", _lz4_flags_text):
        flags = part.data
        yield part
    yield from _field(cursor, 1, "LZ4 block descriptor", _lz4_block_size_text)
    flag = flags[0] if flags else 0
    if flag & 0x08:
        yield from _field(cursor, 8, "LZ4 content size", lambda data: str(int.from_bytes(data, "little")))
    if flag & 0x01:
        yield from _field(cursor, 4, "LZ4 dictionary id")
    yield from _field(cursor, 1, "LZ4 header checksum")
    number = 0
    while True:
        number += 1
        offset, head = cursor.offset, cursor.take(4)
        if not head:
            return
        size = int.from_bytes(head, "little")
        if size == 0:
            yield Part(offset, head, "LZ4 end mark")
            break
        plain = bool(size & 0x80000000)
        size &= 0x7FFFFFFF
        yield Part(offset, head, "LZ4 block size", f"{size} bytes{', not compressed' if plain else ''}")
        offset, data = cursor.offset, cursor.take(min(size, 4 * 1024 * 1024))
        torn = f", torn: {len(data)} of {size} bytes" if len(data) < size else ""
        yield Part(offset, data, f"LZ4 block {number}{torn}", is_content=True)
        if flag & 0x10:
            yield from _field(cursor, 4, "LZ4 block checksum")
    if flag & 0x04:
        yield from _field(cursor, 4, "LZ4 content checksum")


def _lz4_flags_text(data: bytes) -> str:
    flags = data[0]
    words = [f"version {flags >> 6}", "independent blocks" if flags & 0x20 else "linked blocks"]
    words += [text for bit, text in ((0x10, "block checksums"), (0x04, "content checksum")) if flags & bit]
    return ", ".join(words)


def _lz4_block_size_text(data: bytes) -> str:
    sizes = {4: "64 KiB", 5: "256 KiB", 6: "1 MiB", 7: "4 MiB"}
    return f"blocks of up to {sizes.get(data[0] >> 4 & 7, '?')}"
