"""What lies between an LTX file's bytes and its pages: chunks of the file, LZ4, batches of pages.

The rule: whatever the file's length, about CHUNK_SIZE bytes are held of it, and as many decompressed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pylitefs.errors import LtxChecksumError, LtxError, TornLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.formats import LZ4_FRAME_MAGIC
from pylitefs.ltx.header import PAGE_HEADER_SIZE
from pylitefs.ltx.libraries import lz4_frame

CHUNK_SIZE = 256 * 1024
"""What is asked of `read` at a time, and about what is held of the decompressed block."""
_FRAME_START = bytes.fromhex("04224d186440a7")
"""How the frame of LiteFS begins: independent blocks of 64 KiB, content checksum."""
_FRAME_START_UNCHECKED = bytes.fromhex("04224d18604082")
"""The same without content checksum, for a decompressor that is not to compute it."""
_CONTENT_CHECKSUM_SIZE = 4


@dataclass(slots=True)
class Batch:
    """Pages as they lie in the page block one after the other: each its number (u32), then its bytes."""

    pgnos: list[int]
    data: memoryview
    unit: int
    """Bytes of a number and a page."""
    _checksums: list[int] | None = None

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Page number and bytes of each page, not copied."""
        data, unit = self.data, self.unit
        for at, pgno in zip(range(PAGE_HEADER_SIZE, len(data), unit), self.pgnos, strict=True):
            yield pgno, data[at : at + unit - PAGE_HEADER_SIZE]

    def checksums(self) -> list[int]:
        """`page_checksum` of each page: number and bytes lie together, as it takes them."""
        if self._checksums is None:
            data, unit = self.data, self.unit
            self._checksums = [
                crc64(data[at : at + unit]) | CHECKSUM_FLAG for at in range(0, len(data), unit)
            ]
        return self._checksums


class PageBlock(Protocol):
    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer if there are no more."""

    def take(self, unit: int) -> memoryview:
        """As many times `unit` bytes as are at hand, once at least; nothing if there are no more so many."""

    def put_back(self, data: memoryview) -> None:
        """The last bytes of what was taken are to be read once more."""

    def finish(self) -> None:
        """The page block has been read: check that nothing of it is left."""


class Source:
    """The file's bytes, read in chunks, with the offset up to which they were used."""

    def __init__(self, read: Callable[[int], bytes], chunk_size: int = CHUNK_SIZE) -> None:
        self._read = read
        self.chunk_size = chunk_size
        self._buffer = b""
        self._used = 0
        self._at_end = False
        self._base = 0

    @property
    def offset(self) -> int:
        return self._base + self._used

    def read(self, size: int) -> bytes:
        start, end = self._used, self._used + size
        if end > len(self._buffer):
            self._fill(size)
            start, end = self._used, min(self._used + size, len(self._buffer))
        self._used = end
        return self._buffer[start:end]

    def take(self, unit: int) -> memoryview:
        if self._used + unit > len(self._buffer):
            self._fill(unit)
        start = self._used
        self._used += (len(self._buffer) - start) // unit * unit
        return memoryview(self._buffer)[start : self._used]

    def put_back(self, data: memoryview) -> None:
        self._used -= len(data)

    def read_some(self) -> bytes:
        """What is at hand, or the next chunk; b"" at the end."""
        if self._used == len(self._buffer):
            self._fill(1)
        return self.read(len(self._buffer) - self._used)

    def unread(self, data: bytes) -> None:
        """Put back the bytes that were read last."""
        self._base, self._buffer, self._used = self.offset - len(data), data + self._buffer[self._used :], 0

    def peek(self, size: int) -> bytes:
        if self._used + size > len(self._buffer):
            self._fill(size)
        return self._buffer[self._used : self._used + size]

    def skip(self, size: int) -> None:
        """Pass over bytes that were looked at."""
        self._used += size

    def drain(self) -> None:
        """Go to the end of what is at hand: where a torn file ends."""
        self._used = len(self._buffer)

    def finish(self) -> None:
        """A block that is not compressed ends with its last page number."""

    def _fill(self, size: int) -> None:
        """Have at least `size` unused bytes at hand, if the file has them."""
        pieces = [self._buffer[self._used :]]
        have = len(pieces[0])
        while have < size and not self._at_end:
            piece = self._read(self.chunk_size)
            self._at_end = not piece
            pieces.append(piece)
            have += len(piece)
        self._base, self._buffer, self._used = self._base + self._used, b"".join(pieces), 0


class Lz4Block:
    """The page block of a compressed file: one LZ4 frame, decompressed a piece at a time."""

    def __init__(self, source: Source, verified: bool) -> None:
        self._source = source
        self._lz4 = lz4_frame.LZ4FrameDecompressor()
        self._buffer = b""
        self._used = 0
        self._begun = False
        self._verified = verified
        self._unchecked = False

    def read(self, size: int) -> bytes:
        self._fill(size)
        data = self._buffer[self._used : self._used + size]
        self._used += len(data)
        return data

    def take(self, unit: int) -> memoryview:
        self._fill(unit)
        start = self._used
        self._used += (len(self._buffer) - start) // unit * unit
        return memoryview(self._buffer)[start : self._used]

    def put_back(self, data: memoryview) -> None:
        self._used -= len(data)

    def _fill(self, size: int) -> None:
        """Have at least `size` bytes at hand, if the frame has them."""
        if self._used + size <= len(self._buffer):
            return
        pieces = [self._buffer[self._used :]]
        have = len(pieces[0])
        while have < size:
            piece = self._more()
            if piece is None:
                break
            pieces.append(piece)
            have += len(piece)
        self._buffer, self._used = b"".join(pieces), 0

    def finish(self) -> None:
        if self._used < len(self._buffer) or self._more():
            raise LtxError("the LZ4 frame goes on after the last page")
        if not self._lz4.eof:
            self._source.drain()
            raise TornLtxError(f"torn: it ends at byte {self._source.offset}, within its LZ4 frame")

    def _more(self) -> bytes | None:
        """The next decompressed bytes (a few at least), or None where the frame or the file ends."""
        while not self._lz4.eof:
            data = b""
            if self._lz4.needs_input:
                data = self._source.read_some() if self._begun else self._begin()
                if not data:
                    return None
            try:
                piece = self._lz4.decompress(data, max_length=self._source.chunk_size)
            except RuntimeError as error:
                raise LtxChecksumError(
                    f"the LZ4 frame cannot be decompressed before byte {self._source.offset}: {error}"
                ) from error
            if self._lz4.eof:
                self._source.unread(self._lz4.unused_data or b"")
                if self._unchecked:
                    self._source.read(_CONTENT_CHECKSUM_SIZE)
            if piece:
                return piece
        return None

    def _begin(self) -> bytes:
        """The first bytes. LZ4's library would pass over other kinds of frames in silence."""
        self._begun = True
        start = self._source.peek(len(_FRAME_START))
        if start[:4] != LZ4_FRAME_MAGIC[: len(start)]:
            raise LtxError(f"no LZ4 frame follows the LTX header but {start[:4].hex()}")
        if self._verified and start == _FRAME_START:
            self._unchecked = True
            self._source.read(len(start))
            return _FRAME_START_UNCHECKED
        return self._source.read_some()
