"""What the encoder of format v3b writes, and what it refuses."""

import io

import lz4.block
import pytest

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, crc64
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.formats import Format
from pylitefs.ltx.frame_encoder import FrameEncoder, encode_frames
from pylitefs.ltx.header import FLAG_LZ4, FLAG_NO_CHECKSUM, Header
from tests.ltx.samples import PAGE, checksum_of, make_page

BARE = Header(FLAG_NO_CHECKSUM, PAGE, 3, 2, 2, 5)


def test_the_bytes_are_header_frames_zeros_index_trailer() -> None:
    data = encode_frames(BARE, [(1, make_page(1)), (3, make_page(3))])
    body, summed, index, offset = b"", b"", b"", 100
    for pgno in (1, 3):
        packed = lz4.block.compress(make_page(pgno), store_size=False)
        head = pgno.to_bytes(4, "big") + b"\0\1" + len(packed).to_bytes(4, "big")
        body, summed = body + head + packed, summed + head + make_page(pgno)
        size = len(head) + len(packed)
        for number in (pgno, offset, size):
            index += bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])
        offset += size
    end = bytes(6) + index + b"\0" + (len(index) + 1).to_bytes(8, "big") + bytes(8)
    crc = crc64(BARE.pack() + summed + end) | CHECKSUM_FLAG
    assert data == BARE.pack() + body + end + crc.to_bytes(8, "big")


def test_a_page_that_lz4_cannot_make_smaller_is_a_longer_block() -> None:
    """There is no form for plain bytes."""
    noise = make_page(1)[: PAGE // 2] + make_page(2)[: PAGE // 2]
    data = encode_frames(BARE, [(1, noise)])
    assert int.from_bytes(data[106:110], "big") > PAGE
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    assert list(decoder.pages()) == [(1, noise)]


def test_a_large_file_is_written_in_pieces() -> None:
    writes: list[bytes] = []
    encoder = FrameEncoder(writes.append, Header(FLAG_NO_CHECKSUM, PAGE, 4000, 2, 2, 0))
    for pgno in range(1, 4001):
        encoder.encode_page(pgno, make_page(pgno % 50))
    encoder.finish()
    assert 3 <= len(writes) <= 8
    data = b"".join(writes)
    assert encoder.bytes_written == len(data)
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    assert sum(1 for _ in decoder.pages()) == 4000
    assert decoder.format is Format.V3B


def test_with_checksums_a_snapshot_s_is_that_of_its_pages() -> None:
    pages = {pgno: make_page(pgno) for pgno in (1, 2, 3)}
    header = Header(0, PAGE, 3, 1, 1, 5)
    data = encode_frames(header, pages.items(), checksum_of(pages))
    assert dict(Decoder(io.BytesIO(data).read, any_format=True).pages()) == pages
    wrong = encode_frames(header, pages.items(), CHECKSUM_FLAG | 1)
    with pytest.raises(LtxError, match="pages of snapshot"):
        list(Decoder(io.BytesIO(wrong).read, any_format=True).pages())


@pytest.mark.parametrize(
    ("header", "pgnos", "post", "word"),
    [
        (Header(FLAG_LZ4, PAGE, 3, 2, 2, 0, CHECKSUM_FLAG), (), CHECKSUM_FLAG, "flag 0x1"),
        (Header(FLAG_NO_CHECKSUM, PAGE, 0, 2, 2, 0), (), 0, "dropped database"),
        (Header(FLAG_NO_CHECKSUM, PAGE, 3, 2, 2, 0, CHECKSUM_FLAG), (), 0, "pre-apply"),
        (BARE, (1,), CHECKSUM_FLAG, "post-apply"),
        (Header(0, PAGE, 3, 2, 2, 0, CHECKSUM_FLAG), (1,), 0, "bit 63"),
        (BARE, (2, 1), 0, "ascend"),
        (BARE, (4,), 0, "past the database's end"),
        (Header(FLAG_NO_CHECKSUM, PAGE, 3, 1, 2, 0), (1, 3), 0, "no page 2"),
        (Header(FLAG_NO_CHECKSUM, PAGE, 3, 1, 2, 0), (1, 2), 0, "ends at page 2"),
        (Header(FLAG_NO_CHECKSUM, PAGE, 3, 2, 2, 0, wal_salt1=1), (), 0, "salts"),
    ],
)  # fmt: skip
def test_what_must_not_be_written_is_refused(
    header: Header, pgnos: tuple[int, ...], post: int, word: str
) -> None:
    with pytest.raises(LtxError, match=word):
        encode_frames(header, [(pgno, make_page(pgno)) for pgno in pgnos], post)


def test_after_the_end_nothing_more_is_taken_and_a_page_has_its_size() -> None:
    encoder = FrameEncoder(lambda _: None, BARE)
    with pytest.raises(LtxError, match="511 bytes"):
        encoder.encode_page(1, bytes(511))
    encoder.finish()
    with pytest.raises(LtxError, match="too late"):
        encoder.encode_page(1, make_page(1))
    with pytest.raises(LtxError, match="finished"):
        encoder.finish()
    encode_frames(Header(0, PAGE, 0, 2, 2, 0, CHECKSUM_FLAG), [], EMPTY_CHECKSUM)
