"""Pages in, an LTX file of format v3b out, as Litestream 0.5 writes and reads it.

The rule is the encoder's: what comes out is valid, or an error was raised. A file for a Litestream replica
must carry flag 0x2 (no database checksum): Litestream refuses others when it compacts or restores.
Formats: formats.py, page_frames.py, page_index.py.
"""

from collections.abc import Callable, Iterable

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.formats import FRAME_HAS_SIZE, Format
from pylitefs.ltx.header import FLAG_LZ4, Header, Trailer
from pylitefs.ltx.libraries import lz4_block
from pylitefs.ltx.order import check_post_apply, last_pgno, may_follow, why_not_follow
from pylitefs.ltx.page_index import SIZE_SIZE as INDEX_SIZE_SIZE
from pylitefs.ltx.page_index import entry
from pylitefs.sqlite import Buffer

_WRITE_SIZE = 256 * 1024
_FLAGS = FRAME_HAS_SIZE.to_bytes(2, "big")


class FrameEncoder:
    """Writes one file through `write(bytes)`; used as `encoder.Encoder` is.

    Only the index grows with the pages, by about eight bytes each.
    """

    def __init__(self, write: Callable[[bytes], object], header: Header) -> None:
        """Raises LtxError if the header cannot be. Nothing is written yet."""
        header.validate()
        header.validate_newer()
        if header.flags & FLAG_LZ4:
            raise LtxError("flag 0x1 (LZ4) is format v1's; in v3b every page is compressed by itself")
        if not header.commit and not header.has_checksums:
            raise LtxError("a dropped database needs a checksum, and flag 0x2 says that there is none")
        self.header = header
        self.bytes_written = 0
        self._write = write
        self._pgno = 0
        self._buffer = bytearray(header.pack())
        self._crc = crc64(self._buffer)
        self._offset = len(self._buffer)
        self._index = bytearray()
        self._finished = False

    def encode_page(self, pgno: int, data: Buffer) -> None:
        """Add a page. Raises LtxError as `Encoder.encode_page` does."""
        header = self.header
        if self._finished:
            raise LtxError(f"{header.filename} is finished, page {pgno} comes too late")
        if len(data) != header.page_size:
            raise LtxError(f"page {pgno} of {header.filename} has {len(data)} bytes, not {header.page_size}")
        if not may_follow(header, self._pgno, pgno):
            raise LtxError(why_not_follow(header, self._pgno, pgno))
        self._pgno = pgno
        packed = lz4_block.compress(data, store_size=False)
        head = pgno.to_bytes(4, "big") + _FLAGS + len(packed).to_bytes(4, "big")
        self._crc = crc64(data, crc64(head, self._crc))
        size = len(head) + len(packed)
        self._index += entry(pgno, self._offset, size)
        self._offset += size
        self._buffer += head
        self._buffer += packed
        if len(self._buffer) >= _WRITE_SIZE:
            self._flush()

    def finish(self, post_apply_checksum: int = 0) -> Trailer:
        """Write the index and the trailer, which is returned.

        Raises LtxError if a snapshot's last pages are missing or the checksum cannot be.
        """
        header = self.header
        if self._finished:
            raise LtxError(f"{header.filename} is finished already")
        if header.is_snapshot and self._pgno != last_pgno(header):
            raise LtxError(f"snapshot {header.filename} ends at page {self._pgno} of {header.commit}")
        check_post_apply(header, post_apply_checksum)
        self._finished = True
        self._index += b"\0"
        end = bytes(Format.V3B.page_header_size) + self._index
        end += len(self._index).to_bytes(INDEX_SIZE_SIZE, "big")
        crc = crc64(post_apply_checksum.to_bytes(8, "big"), crc64(end, self._crc))
        trailer = Trailer(post_apply_checksum, crc | CHECKSUM_FLAG)
        self._buffer += end + trailer.pack()
        self._flush()
        return trailer

    def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        self.bytes_written += len(data)
        self._write(data)


def encode_frames(header: Header, pages: Iterable[tuple[int, Buffer]], post_apply_checksum: int = 0) -> bytes:
    """A whole file in memory, for transactions known to be small. Raises LtxError as FrameEncoder does."""
    out: list[bytes] = []
    encoder = FrameEncoder(out.append, header)
    for pgno, data in pages:
        encoder.encode_page(pgno, data)
    encoder.finish(post_apply_checksum)
    return b"".join(out)
