"""Pages in, an LTX file out.

The rule: what comes out is valid or an error was raised. Pages must ascend, a snapshot must have them
all, and the lock page is refused. The file checksum covers the page block before compression.

A commit on the mount waits for this, so a small transaction takes one CRC, at most one LZ4 call and one
write; a large one flows through a buffer of BLOCK_SIZE bytes, however long it is.
Format: header.py.
"""

import struct
from collections.abc import Callable, Iterable

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64, crc64_difference, lock_pgno
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.libraries import lz4_frame
from pylitefs.ltx.order import check_post_apply, count_in_order, last_pgno, may_follow, why_not_follow
from pylitefs.sqlite import Buffer

BLOCK_SIZE = 256 * 1024

_PGNO = struct.Struct(">I")
_END_OF_PAGES = bytes(4)


class Encoder:
    """Writes one LTX file through `write(bytes)`, which is called a few times with large pieces.

        encoder = Encoder(file.write, header)
        encoder.encode_page(1, page)
        trailer = encoder.finish(post_apply_checksum)

    After an error, and without `finish`, what was written is no LTX file.
    """

    __slots__ = (
        "_block", "_covered", "_crc", "_finished", "_head", "_header", "_lz4", "_page_size", "_pgno",
        "_write", "bytes_written",
    )  # fmt: skip

    def __init__(self, write: Callable[[bytes], object], header: Header) -> None:
        """Raises LtxError if the header cannot be. Nothing is written yet."""
        header.validate()
        self.bytes_written = 0
        self._write = write
        self._header = header
        self._page_size = header.page_size
        self._pgno = 0
        self._head = header.pack()
        self._crc = crc64(self._head)
        self._block = bytearray()
        self._covered = 0  # Bytes of pages that are in the CRC.
        self._lz4: lz4_frame.LZ4FrameCompressor | None = None
        self._finished = False

    @property
    def header(self) -> Header:
        return self._header

    def encode_page(self, pgno: int, data: Buffer) -> None:
        """Add a page. `data` is copied, so its buffer may be used again.

        Raises LtxError if the page is out of order, past `commit`, the lock page, of another size, or
        leaves a gap in a snapshot.
        """
        if self._finished or len(data) != self._page_size or not may_follow(self._header, self._pgno, pgno):
            raise LtxError(self._why_not(pgno, len(data)))
        self._pgno = pgno
        block = self._block
        block += _PGNO.pack(pgno)
        block += data
        if len(block) >= BLOCK_SIZE:
            self._flush(end=False)

    def encode_run(self, pgnos: list[int], data: memoryview) -> list[int]:
        """Add many pages, whose bytes lie one after the other; their checksums (`page_checksum`), in order.

        Raises LtxError as `encode_page` does.
        """
        size, count = self._page_size, len(pgnos)
        if self._finished or len(data) != count * size:
            raise LtxError(self._why_not(pgnos[0], len(data) // max(count, 1)))
        good = count_in_order(self._header, self._pgno, pgnos)
        if good < count:
            raise LtxError(why_not_follow(self._header, pgnos[good - 1] if good else self._pgno, pgnos[good]))
        parts: list[bytes | memoryview] = [b""] * (2 * count)
        parts[::2] = [_PGNO.pack(pgno) for pgno in pgnos]
        parts[1::2] = [data[at : at + size] for at in range(0, len(data), size)]
        block, unit = b"".join(parts), size + _PGNO.size
        self._pgno = pgnos[-1]
        self._block += block
        if len(self._block) >= BLOCK_SIZE:
            self._flush(end=False)
        view = memoryview(block)
        return [crc64(view[at : at + unit]) | CHECKSUM_FLAG for at in range(0, len(block), unit)]

    def replace_header(self, header: Header) -> bytes:
        """The file is to begin with another header, which is known only now: its bytes, to be written over
        the first ones. After the last page, before `finish`.

        Raises LtxError if it cannot be the header of these pages: another page size, commit or compression,
        or a snapshot's, and they are not all.
        """
        header.validate()
        old, pages = self._header, (self._covered + len(self._block)) // (self._page_size + _PGNO.size)
        same = (header.page_size, header.commit, header.flags) == (old.page_size, old.commit, old.flags)
        lock_pages = int(header.commit >= lock_pgno(header.page_size))
        if self._finished or not same or (header.is_snapshot and pages != header.commit - lock_pages):
            raise LtxError(f"{header.filename} cannot have the pages of {old.filename}")
        head = header.pack()
        self._crc ^= crc64_difference(crc64(old.pack()) ^ crc64(head), self._covered)
        self._header = header
        if not self.bytes_written:
            self._head = head + self._head[len(head) :]
        return head

    def finish(self, post_apply_checksum: int) -> Trailer:
        """End the page block and write the trailer, which is returned.

        Raises LtxError if a snapshot's last pages are missing or the checksum cannot be.
        """
        header = self._header
        if self._finished:
            raise LtxError(f"{header.filename} is finished already")
        if header.is_snapshot and self._pgno != last_pgno(header):
            raise LtxError(f"snapshot {header.filename} ends at page {self._pgno} of {header.commit}")
        check_post_apply(header, post_apply_checksum)
        self._finished = True
        self._block += _END_OF_PAGES
        self._flush(end=True)
        return self._write_trailer(post_apply_checksum)

    def _why_not(self, pgno: int, length: int) -> str:
        name = self._header.filename
        if self._finished:
            return f"{name} is finished, page {pgno} comes too late"
        if length != self._page_size:
            return f"page {pgno} of {name} has {length} bytes, not {self._page_size}"
        return why_not_follow(self._header, self._pgno, pgno)

    def _flush(self, *, end: bool) -> None:
        """Send the block on; at its end together with what comes after it (`_write_trailer`)."""
        block, self._block = self._block, bytearray()
        self._crc = crc64(block, self._crc)
        self._covered += len(block)
        if not self._header.flags & 1:
            self._head += block
        elif end and self._lz4 is None:
            # The usual case: all pages of the transaction at once.
            self._head += lz4_frame.compress(
                block,
                block_size=lz4_frame.BLOCKSIZE_MAX64KB,
                block_linked=False,
                content_checksum=True,
                store_size=False,
            )
        else:
            if self._lz4 is None:
                self._lz4 = lz4_frame.LZ4FrameCompressor(
                    block_size=lz4_frame.BLOCKSIZE_MAX64KB, block_linked=False, content_checksum=True
                )
                self._head += self._lz4.begin()
            self._head += self._lz4.compress(block)
            if end:
                self._head += self._lz4.flush()
        if not end:
            self._send(self._head)
            self._head = b""

    def _write_trailer(self, post_apply_checksum: int) -> Trailer:
        crc = crc64(post_apply_checksum.to_bytes(8, "big"), self._crc)
        trailer = Trailer(post_apply_checksum, crc | CHECKSUM_FLAG)
        self._send(self._head + trailer.pack())
        self._head = b""
        return trailer

    def _send(self, data: bytes) -> None:
        self.bytes_written += len(data)
        self._write(data)


def encode(header: Header, pages: Iterable[tuple[int, Buffer]], post_apply_checksum: int) -> bytes:
    """A whole LTX file in memory, for transactions known to be small. Raises LtxError as Encoder does."""
    out: list[bytes] = []
    encoder = Encoder(out.append, header)
    for pgno, data in pages:
        encoder.encode_page(pgno, data)
    encoder.finish(post_apply_checksum)
    return out[0] if len(out) == 1 else b"".join(out)
