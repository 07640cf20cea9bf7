"""An LTX file in, its pages out, every one of them doubted.

The rule: whoever has taken all pages and seen the trailer holds exactly what the encoder was given;
anything else ends in an LtxError. The checksum stands at the end, so a page must not be *used* before
the whole file has been read once (`verify`), and nothing here needs more memory than about a MiB.
Pages go through in batches, as many as are at hand: a large file costs little more than its bytes do.
Format: header.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import xor
from os import PathLike
from typing import Protocol

import lz4.frame

from pylitefs.errors import LtxChecksumError, LtxError, TornLtxError, UnsupportedLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.header import HEADER_SIZE, PAGE_HEADER_SIZE, TRAILER_SIZE, Header, Trailer
from pylitefs.ltx.order import check_post_apply, count_in_order, last_pgno, may_follow, why_not_follow

CHUNK_SIZE = 256 * 1024
"""What is asked of `read` at a time, and about what is held of the decompressed block."""
LZ4_FRAME_MAGIC = bytes.fromhex("04224d18")
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


class Decoder:
    """Reads one LTX file through `read(size)`, which may give fewer bytes and gives b"" at the end.

        decoder = Decoder(file.read)
        for pgno, page in decoder.pages(): ...
        decoder.trailer

    `verified` says that the very file was read to its end before: then its order is watched over again,
    but no checksum is computed, which is most of the work.

    Raises LtxError (torn, or a rule of the format broken), LtxChecksumError (its bytes do not add up) or
    UnsupportedLtxError, from the constructor for the header and from `pages()` for the rest.
    """

    def __init__(self, read: Callable[[int], bytes], *, verified: bool = False) -> None:
        self._verified = verified
        self._checksum = 0
        self._source = _Source(read)
        head = self._source.read(HEADER_SIZE)
        self.header = Header.unpack(head)
        self.header.validate()
        self._crc = crc64(head)
        self._trailer: Trailer | None = None
        self._started = False
        self._v3 = False

    @property
    def trailer(self) -> Trailer:
        """The trailer, once `pages()` has been taken to its end."""
        if self._trailer is None:
            raise LtxError(f"the trailer of {self.header.filename} follows its pages; take them all first")
        return self._trailer

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Page number and bytes of each page, ascending; at the end the whole file has been verified."""
        for batch in self.batches():
            for pgno, page in batch:
                yield pgno, bytes(page)

    def batches(self) -> Iterator[Batch]:
        """The same, as many pages together as are at hand."""
        if self._started:
            raise LtxError(f"the pages of {self.header.filename} were taken already; open the file again")
        self._started = True
        self._v3 = _looks_like_v3(self._source.peek(14), self.header)
        try:
            yield from self._batches()
        except LtxError as error:
            if not self._v3:
                raise
            raise UnsupportedLtxError(
                "an LTX file of format v3, as Litestream 0.5 writes it (each page is compressed by itself); "
                "pylitefs reads LiteFS 0.5's format v1. Use Litestream's own tools"
            ) from error

    def _batches(self) -> Iterator[Batch]:
        header, unit = self.header, PAGE_HEADER_SIZE + self.header.page_size
        block: _Bytes = _Lz4Block(self._source, self._verified) if header.is_compressed else self._source
        before = 0
        while True:
            data = block.take(unit)
            pgnos = [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), unit)]
            good = count_in_order(header, before, pgnos)
            if good < len(pgnos):
                block.put_back(data[good * unit :])
                pgnos, data = pgnos[:good], data[: good * unit]
            if not pgnos:
                break
            before = pgnos[-1]
            batch = Batch(pgnos, data, unit)
            if not self._verified:
                self._add(batch)
            yield batch
        self._take_end(block, before)
        if header.is_snapshot and before != last_pgno(header):
            raise LtxError(f"snapshot {header.filename} ends at page {before} of {header.commit}")
        block.finish()
        self._finish()

    def _add(self, batch: Batch) -> None:
        """Take pages into the file's checksum, and into that of a snapshot's pages."""
        self._crc = crc64(batch.data, self._crc)
        if self.header.is_snapshot:
            self._checksum = reduce(xor, batch.checksums(), self._checksum)

    def _take_end(self, block: "_Bytes", before: int) -> None:
        """What follows the last page that is as it should be: page number 0, or it is an error."""
        head = block.read(PAGE_HEADER_SIZE)
        if len(head) < PAGE_HEADER_SIZE:
            raise self._torn(f"after page {before}, where a page number should be")
        pgno = int.from_bytes(head, "big")
        if pgno and not may_follow(self.header, before, pgno):
            raise LtxError(why_not_follow(self.header, before, pgno))
        if pgno:
            raise self._torn(f"within page {pgno}")
        self._crc = crc64(head, self._crc)

    def _finish(self) -> None:
        header, raw = self.header, self._source.read(TRAILER_SIZE)
        if len(raw) < TRAILER_SIZE:
            raise self._torn(f"within the trailer, of whose {TRAILER_SIZE} bytes it has {len(raw)}")
        trailer = Trailer.unpack(raw)
        crc = crc64(raw[:8], self._crc) | CHECKSUM_FLAG
        if crc != trailer.file_checksum and not self._verified:
            raise LtxChecksumError(
                f"the bytes of {header.filename} add up to file checksum {crc:016x}, "
                f"and its trailer says {trailer.file_checksum:016x}: the file is damaged, fetch it again"
            )
        check_post_apply(header, trailer.post_apply_checksum)
        pages_checksum = self._checksum | CHECKSUM_FLAG
        if header.is_snapshot and pages_checksum != trailer.post_apply_checksum and not self._verified:
            raise LtxChecksumError(
                f"the pages of snapshot {header.filename} add up to {pages_checksum:016x}, "
                f"and its post-apply checksum is {trailer.post_apply_checksum:016x}"
            )
        if self._source.peek(1):
            raise LtxError(f"{header.filename} goes on after its trailer, from byte {self._source.offset}")
        self._trailer = trailer

    def _torn(self, where: str) -> LtxError:
        self._source.drain()
        return TornLtxError(f"{self.header.filename} is torn: it ends at byte {self._source.offset}, {where}")


class _Bytes(Protocol):
    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or fewer if there are no more."""

    def take(self, unit: int) -> memoryview:
        """As many times `unit` bytes as are at hand, once at least; nothing if there are no more so many."""

    def put_back(self, data: memoryview) -> None:
        """The last bytes of what was taken are to be read once more."""

    def finish(self) -> None:
        """The page block has been read: check that nothing of it is left."""


class _Source:
    """The file's bytes, read in chunks, with the offset up to which they were used."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
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
            piece = self._read(CHUNK_SIZE)
            self._at_end = not piece
            pieces.append(piece)
            have += len(piece)
        self._base, self._buffer, self._used = self._base + self._used, b"".join(pieces), 0


class _Lz4Block:
    """The page block of a compressed file: one LZ4 frame, decompressed a piece at a time."""

    def __init__(self, source: _Source, verified: bool) -> None:
        self._source = source
        self._lz4 = lz4.frame.LZ4FrameDecompressor()
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
                piece = self._lz4.decompress(data, max_length=CHUNK_SIZE)
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


def _looks_like_v3(start: bytes, header: Header) -> bool:
    """Whether the page block begins as v3 does: after the page number two bytes of flags, then an LZ4
    frame, or (flags 1) a size below a page's and a bare LZ4 block. Only believed once v1 has failed."""
    if header.is_compressed or len(start) < 14:
        return False
    flags, size = int.from_bytes(start[4:6], "big"), int.from_bytes(start[6:10], "big")
    if flags == 0:
        return start[6:10] == LZ4_FRAME_MAGIC
    longest = header.page_size + header.page_size // 255 + 16  # of LZ4 over bytes it cannot compress
    return flags == 1 and 0 < size <= longest


def verify(
    read: Callable[[int], bytes], on_page: Callable[[int, bytes], None] | None = None
) -> tuple[Header, Trailer]:
    """Read a whole LTX file and check everything that it says of itself.

    `on_page(pgno, page)` sees every page on the way, before it is known that the file is whole.
    """
    decoder = Decoder(read)
    for pgno, page in decoder.pages():
        if on_page is not None:
            on_page(pgno, page)
    return decoder.header, decoder.trailer


def verify_file(
    path: str | PathLike[str], on_page: Callable[[int, bytes], None] | None = None
) -> tuple[Header, Trailer]:
    """`verify` of a file; the error's text begins with its path. OSError if it cannot be read."""
    with open_ltx(path) as decoder:
        for pgno, page in decoder.pages():
            if on_page is not None:
                on_page(pgno, page)
        return decoder.header, decoder.trailer


@contextmanager
def open_ltx(path: str | PathLike[str]) -> Iterator[Decoder]:
    """A Decoder over a file, closed at the end; an LtxError raised within gets the path before its text."""
    with open(path, "rb", buffering=0) as file:
        try:
            yield Decoder(file.read)
        except LtxError as error:
            raise type(error)(f"{path}: {error}") from error
