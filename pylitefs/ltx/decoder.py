"""An LTX file in, its pages out, every one of them doubted.

The rule: whoever has taken all pages and seen the trailer holds exactly what the encoder was given;
anything else ends in an LtxError. The checksum stands at the end, so a page must not be *used* before
the whole file has been read once (`verify`), and nothing here needs more memory than about a MiB.
Pages go through in batches, as many as are at hand: a large file costs little more than its bytes do.
Formats: header.py, formats.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from operator import xor
from os import PathLike

from pylitefs.errors import LtxChecksumError, LtxError, TornLtxError, UnsupportedLtxError
from pylitefs.ltx.blocks import CHUNK_SIZE, Batch, Lz4Block, PageBlock, Source
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.formats import Format, looks_like, recognise
from pylitefs.ltx.header import (
    FLAG_NO_CHECKSUM,
    HEADER_SIZE,
    PAGE_HEADER_SIZE,
    TRAILER_SIZE,
    Header,
    Trailer,
)
from pylitefs.ltx.order import check_post_apply, count_in_order, last_pgno, may_follow, why_not_follow
from pylitefs.ltx.page_frames import PageFrames

_NOT_A_NODES = (
    "an LTX file of format {}, as Litestream 0.5 writes it, with each page compressed by itself; "
    "a node reads LiteFS 0.5's format v1 alone. `pylitefs ltx` reads it"
)


class Decoder:
    """Reads one LTX file through `read(size)`, which may give fewer bytes and gives b"" at the end.

        decoder = Decoder(file.read)
        for pgno, page in decoder.pages(): ...
        decoder.trailer

    `verified` says that the very file was read to its end before: then its order is watched over again,
    but no checksum is computed, which is most of the work.

    `any_format` says that the newer formats are read too (formats.py). A node does without: what it takes
    from others has a database checksum, and no bytes of a page can make a file of v1 be read as another.

    Raises LtxError (torn, or a rule of the format broken), LtxChecksumError (its bytes do not add up) or
    UnsupportedLtxError, from the constructor for the header and from `pages()` for the rest.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        verified: bool = False,
        any_format: bool = False,
        chunk_size: int = CHUNK_SIZE,
    ) -> None:
        self._verified = verified
        self._any_format = any_format
        self._checksum = 0
        self._source = Source(read, chunk_size)
        head = self._source.read(HEADER_SIZE)
        self.header = Header.unpack(head)
        if self.header.flags & FLAG_NO_CHECKSUM and not any_format:
            raise UnsupportedLtxError(_NOT_A_NODES.format("v3 (flag 0x2: no database checksum)"))
        self.header.validate()
        self.format = Format.V1
        """Known once the first page is."""
        self._crc = crc64(head)
        self._trailer: Trailer | None = None
        self._started = False

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
        if self._any_format:
            self.format = recognise(self.header, self._source.peek)
            yield from self._batches() if self.format is Format.V1 else self._framed_batches()
            return
        start = self._source.peek(10)
        try:
            yield from self._batches()
        except LtxError as error:
            looks = looks_like(self.header, start)  # Only believed once v1 has failed.
            if looks is Format.V1:
                raise
            raise UnsupportedLtxError(_NOT_A_NODES.format(looks.value)) from error

    def _framed_batches(self) -> Iterator[Batch]:
        self.header.validate_newer()
        frames = PageFrames(self._source, self.header, self.format, self._crc)
        for batch in frames.batches():
            if self.header.is_snapshot and self.header.has_checksums and not self._verified:
                self._checksum = reduce(xor, batch.checksums(), self._checksum)
            yield batch
        self._crc = frames.crc
        self._finish()

    def _batches(self) -> Iterator[Batch]:
        header, unit = self.header, PAGE_HEADER_SIZE + self.header.page_size
        block: PageBlock = Lz4Block(self._source, self._verified) if header.is_compressed else self._source
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

    def _take_end(self, block: PageBlock, before: int) -> None:
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
        is_summed = header.is_snapshot and header.has_checksums and not self._verified
        if is_summed and pages_checksum != trailer.post_apply_checksum:
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
def open_ltx(
    path: str | PathLike[str], *, any_format: bool = False, chunk_size: int = CHUNK_SIZE
) -> Iterator[Decoder]:
    """A Decoder over a file, closed at the end; an LtxError raised within gets the path before its text."""
    with open(path, "rb", buffering=0) as file:
        try:
            yield Decoder(file.read, any_format=any_format, chunk_size=chunk_size)
        except LtxError as error:
            raise type(error)(f"{path}: {error}") from error
