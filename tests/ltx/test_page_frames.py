"""Damage to the newer formats is found, or it means the very same."""

import io
import random
from pathlib import Path

import lz4.block
import pytest

from pylitefs.errors import LtxError, TornLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.formats import Format
from pylitefs.ltx.frame_encoder import encode_frames
from pylitefs.ltx.header import FLAG_NO_CHECKSUM, Header, Trailer
from pylitefs.ltx.page_index import entry
from tests.golden.recordings import FORMATS, recorded_formats
from tests.ltx.samples import PAGE, make_page

BARE = Header(FLAG_NO_CHECKSUM, PAGE, 3, 2, 2, 5)
WRITTEN = recorded_formats()
each = pytest.mark.parametrize("path", WRITTEN, ids=[path.stem for path in WRITTEN])


def read(data: bytes) -> tuple[Header, Format, list[tuple[int, bytes]], Trailer]:
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    pages = list(decoder.pages())
    return decoder.header, decoder.format, pages, decoder.trailer


@each
def test_a_flip_anywhere_is_found_or_means_the_same(path: Path) -> None:
    """70 random flips of each recorded file; LZ4 can say the same page in several ways, no more."""
    original = (FORMATS / path).read_bytes()
    expected, chance = read(original), random.Random(path.stem)
    same = flips(original, expected, chance, 70)
    assert same <= 7


@pytest.mark.full
def test_ten_thousand_flips_are_found() -> None:
    chance, same = random.Random(3), 0
    for path in WRITTEN:
        original = (FORMATS / path).read_bytes()
        same += flips(original, read(original), chance, 10_000 // len(WRITTEN) + 1)
    assert same < 500


def flips(original: bytes, expected: object, chance: random.Random, count: int) -> int:
    """How many of so many flipped bits changed nothing that is read; every other was an LtxError."""
    same = 0
    for _ in range(count):
        damaged = bytearray(original)
        damaged[chance.randrange(len(original))] ^= 1 << chance.randrange(8)
        try:
            assert read(bytes(damaged)) == expected
        except LtxError:
            continue
        same += 1
    return same


@each
def test_a_file_cut_at_any_length_is_torn(path: Path) -> None:
    """And says where it ends. A file with a checksum and no newer flag may then look like one of v1."""
    original = (FORMATS / path).read_bytes()
    for length in range(100, len(original), 3):
        with pytest.raises(LtxError) as caught:
            read(original[:length])
        if read(original)[0].flags:
            assert isinstance(caught.value, TornLtxError), (length, caught.value)
            assert f"ends at byte {length}" in str(caught.value)
    with pytest.raises(LtxError, match="after its trailer"):
        read(original + b"\0")


def sealed(body: bytes, summed: bytes, index: bytes, size: int | None = None, header: Header = BARE) -> bytes:
    """A file with a right checksum, whatever its parts are."""
    end = bytes(6) + index + (len(index) if size is None else size).to_bytes(8, "big") + bytes(8)
    crc = crc64(header.pack() + summed + end) | CHECKSUM_FLAG
    return header.pack() + body + end + crc.to_bytes(8, "big")


def frame(pgno: int, flags: int = 1, page: bytes | None = None) -> tuple[bytes, bytes]:
    """A frame, and what of it is summed."""
    page = make_page(pgno) if page is None else page
    packed = lz4.block.compress(page, store_size=False)
    head = pgno.to_bytes(4, "big") + flags.to_bytes(2, "big") + len(packed).to_bytes(4, "big")
    return head + packed, head + page


def test_the_index_must_say_just_where_the_pages_are() -> None:
    """Each file's checksum is right; its index is not that of its pages."""
    body, summed = frame(2)
    good = entry(2, 100, len(body)) + b"\0"
    assert read(sealed(body, summed, good))[2] == [(2, make_page(2))]
    for index in (
        b"\0",
        entry(3, 100, len(body)) + b"\0",
        entry(2, 99, len(body)) + b"\0",
        entry(2, 100, 6) + b"\0",
        entry(2, 100, len(body)) * 2 + b"\0",
        entry(2, 100, len(body)) + entry(3, 100 + len(body), 20) + b"\0",
    ):
        with pytest.raises(LtxError):
            read(sealed(body, summed, index))
    with pytest.raises(LtxError, match="page index"):
        read(sealed(body, summed, good, size=len(good) + 1))


def test_pages_out_of_order_past_the_end_or_with_unknown_flags_are_named() -> None:
    for frames, word in (
        ((frame(2), frame(1)), "ascend"),
        ((frame(4),), "past the database's end at 3"),
        ((frame(2, flags=3),), "flags 0x0003"),
        ((frame(2, flags=0x101),), "flags 0x0101"),
        ((frame(2, page=bytes(PAGE - 1)),), "holds 511 bytes"),
    ):
        body, summed = (b"".join(parts) for parts in zip(*frames, strict=True))
        with pytest.raises(LtxError, match=word):
            read(sealed(body, summed, b"\0"))
    long = (2).to_bytes(4, "big") + b"\0\1" + (PAGE * 2).to_bytes(4, "big") + bytes(PAGE * 2)
    with pytest.raises(LtxError, match="the most that a page can become"):
        read(sealed(long, long, b"\0"))


def test_the_trailer_and_header_follow_flag_2() -> None:
    data = bytearray(encode_frames(BARE, [(2, make_page(2))]))
    data[-16:-8] = (CHECKSUM_FLAG | 7).to_bytes(8, "big")
    with pytest.raises(LtxError):
        read(bytes(data))
    data[40:48] = (CHECKSUM_FLAG | 7).to_bytes(8, "big")
    with pytest.raises(LtxError, match="pre-apply"):
        read(bytes(data))


def test_a_file_may_mix_frames_with_a_size_and_without() -> None:
    """The flag is the page's own: v3a's frame after v3b's block."""
    old = (FORMATS / "v3a-bare-transaction.ltx").read_bytes()
    [(_, page_one), (_, page_three)] = read(old)[2]
    body, summed = frame(1, page=page_one)
    index = old[-24 - int.from_bytes(old[-24:-16], "big") : -24]
    assert index[-1] == 0 and index[0] == 1
    size = int.from_bytes(index[-3:-1], "little")
    size = (size & 0x7F) | (size >> 8) << 7
    old_frame = old[-24 - len(index) - 6 - size : -24 - len(index) - 6]
    assert old_frame[:6] == b"\0\0\0\3\0\0"
    mixed = entry(1, 100, len(body)) + entry(3, 100 + len(body), size) + b"\0"
    data = sealed(body + old_frame, summed + old_frame[:6] + page_three, mixed)
    assert read(data)[1:3] == (Format.V3B, [(1, page_one), (3, page_three)])
