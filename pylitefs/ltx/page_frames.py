"""The pages of the newer LTX formats: each compressed by itself, an index of them at the end.

    page header    page number, in v3 two bytes of flags      (u32, u16; formats.py)
    v3b            size, one bare LZ4 block                   (u32)
    v3a, v2        one LZ4 frame
    ...
    end            a page header of zeros
    index          page_index.py

The rule: the file's checksum covers the page headers, the sizes, the pages as they are decompressed and the
index. So what LZ4 made of a page does not count, and all else does.
"""

from collections.abc import Iterator

from pylitefs.errors import LtxChecksumError, LtxError, TornLtxError
from pylitefs.ltx.blocks import Batch, Source
from pylitefs.ltx.checksum import crc64
from pylitefs.ltx.formats import (
    FRAME_HAS_SIZE,
    SIZE_SIZE,
    CutFrameError,
    Format,
    longest_block,
    longest_frame,
    unpack_block,
    unpack_frame,
)
from pylitefs.ltx.header import PAGE_HEADER_SIZE, Header
from pylitefs.ltx.order import last_pgno, may_follow, why_not_follow
from pylitefs.ltx.page_index import SIZE_SIZE as INDEX_SIZE_SIZE
from pylitefs.ltx.page_index import ExpectedIndex


class PageFrames:
    """Reads all between header and trailer from `source`; `crc` goes on from the header's."""

    def __init__(self, source: Source, header: Header, form: Format, crc: int) -> None:
        self._source = source
        self._header = header
        self._head_size = form.page_header_size
        self.crc = crc
        self._index = ExpectedIndex()

    def batches(self) -> Iterator[Batch]:
        """The pages, as many together as a chunk of the file has bytes; then the index has been compared."""
        unit = PAGE_HEADER_SIZE + self._header.page_size
        most = max(1, self._source.chunk_size // unit)
        pgnos: list[int] = []
        parts: list[bytes] = []
        for head, page in self._pages():
            parts += (head, page)
            pgnos.append(int.from_bytes(head, "big"))
            if len(pgnos) == most:
                yield Batch(pgnos, memoryview(b"".join(parts)), unit)
                pgnos, parts = [], []
        if pgnos:
            yield Batch(pgnos, memoryview(b"".join(parts)), unit)
        self._take_index()

    def _pages(self) -> Iterator[tuple[bytes, bytes]]:
        """The page number's four bytes and the page, of each."""
        source, header, head_size, index = self._source, self._header, self._head_size, self._index
        before, offset = 0, source.offset
        while True:
            head = source.read(head_size)
            if len(head) < head_size:
                raise self._torn(f"after page {before}, where a page number should be")
            pgno, flags = int.from_bytes(head[:4], "big"), head[4:]
            self.crc = crc64(head, self.crc)
            if not pgno and not any(flags):
                break
            if not may_follow(header, before, pgno):
                raise LtxError(why_not_follow(header, before, pgno))
            if flags and (flags[0] or flags[1] & ~FRAME_HAS_SIZE):
                raise LtxError(
                    f"page {pgno} of {header.filename} has flags 0x{flags.hex()}; 0x1 alone is known"
                )
            page = self._block(pgno) if flags and flags[1] else self._frame(pgno)
            self.crc = crc64(page, self.crc)
            before, start, offset = pgno, offset, source.offset
            index.add(pgno, start, offset - start)
            yield head[:4], page
        if header.is_snapshot and before != last_pgno(header):
            raise LtxError(f"snapshot {header.filename} ends at page {before} of {header.commit}")

    def _block(self, pgno: int) -> bytes:
        raw = self._source.read(SIZE_SIZE)
        size = int.from_bytes(raw, "big")
        if len(raw) == SIZE_SIZE and not 0 < size <= longest_block(self._header.page_size):
            raise LtxError(
                f"page {pgno} of {self._header.filename} has {size} bytes compressed, and "
                f"{longest_block(self._header.page_size)} is the most that a page can become"
            )
        data = self._source.read(size) if len(raw) == SIZE_SIZE else b""
        if len(raw) < SIZE_SIZE or len(data) < size:
            raise self._torn(f"within page {pgno}")
        self.crc = crc64(raw, self.crc)
        try:
            return unpack_block(data, self._header.page_size)
        except LtxChecksumError as error:
            raise LtxChecksumError(f"page {pgno} of {self._header.filename}: {error}") from error

    def _frame(self, pgno: int) -> bytes:
        most = longest_frame(self._header.page_size)
        data = self._source.peek(most)
        try:
            page, size = unpack_frame(data, self._header.page_size)
        except LtxChecksumError as error:
            if isinstance(error, CutFrameError) and len(data) < most:
                raise self._torn(f"within page {pgno}") from error
            raise LtxChecksumError(f"page {pgno} of {self._header.filename}: {error}") from error
        self._source.skip(size)
        return page

    def _take_index(self) -> None:
        """Compare the index with the frames that were read."""
        index, source = self._index, self._source
        index.end()
        left, crc = index.length, 0
        while left:
            piece = source.read(min(left, source.chunk_size))
            if not piece:
                raise self._torn("within the page index")
            left -= len(piece)
            crc, self.crc = crc64(piece, crc), crc64(piece, self.crc)
        raw = source.read(INDEX_SIZE_SIZE)
        if len(raw) < INDEX_SIZE_SIZE:
            raise self._torn("within the page index")
        self.crc = crc64(raw, self.crc)
        if crc != index.crc or int.from_bytes(raw, "big") != index.length:
            raise LtxError(
                f"the page index of {self._header.filename} does not say where its pages are: "
                "the file is damaged, fetch it again"
            )

    def _torn(self, where: str) -> LtxError:
        self._source.drain()
        return TornLtxError(
            f"{self._header.filename} is torn: it ends at byte {self._source.offset}, {where}"
        )
