"""The decoder gives back what went in, or an LtxError: nothing else."""

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitefs.errors import LtxChecksumError, LtxError, UnsupportedLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, crc64
from pylitefs.ltx.decoder import Decoder, open_ltx, verify, verify_file
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from tests.ltx.samples import PAGE, checksum_of, make_file, make_header, make_page, make_snapshot, read_all

U63 = st.integers(0, 2**63 - 1)


@st.composite
def transactions(draw: st.DrawFn) -> tuple[Header, dict[int, bytes], int]:
    """Any transaction: header, pages, post-apply checksum."""
    page_size = draw(st.sampled_from([512 << i for i in range(8)]))
    min_txid = draw(st.integers(1, 5))
    commit = draw(st.integers(0, 6))
    chosen = range(1, commit + 1) if min_txid == 1 else sorted(draw(st.sets(st.integers(1, max(1, commit)))))
    seed = draw(st.integers(0, 3))
    pages = {pgno: make_page(pgno, page_size, seed) for pgno in chosen if pgno <= commit}
    header = Header(
        flags=draw(st.integers(0, 1)),
        page_size=page_size,
        commit=commit,
        min_txid=min_txid,
        max_txid=min_txid + draw(st.integers(0, 3)),
        timestamp_ms=draw(st.integers(-(2**63), 2**63 - 1)),
        pre_apply_checksum=0 if min_txid == 1 else CHECKSUM_FLAG | draw(U63),
        wal_offset=draw(st.integers(1, 2**63 - 1)),
        wal_size=draw(U63),
        wal_salt1=draw(st.integers(0, 2**32 - 1)),
        wal_salt2=draw(st.integers(0, 2**32 - 1)),
        node_id=draw(st.integers(0, 2**64 - 1)),
    )
    post = checksum_of(pages) if min_txid == 1 or commit == 0 else CHECKSUM_FLAG | draw(U63)
    return header, pages, post


def reader_of_pieces(data: bytes, seed: int) -> Callable[[int], bytes]:
    """A `read` that gives as little as it likes."""
    file, chance = io.BytesIO(data), random.Random(seed)
    return lambda size: file.read(chance.randint(1, size))


@settings(deadline=None)
@given(transactions(), st.integers(0, 100))
def test_what_was_encoded_is_decoded(made: tuple[Header, dict[int, bytes], int], seed: int) -> None:
    """Whatever the transaction, and in whatever pieces the bytes come."""
    header, pages, post = made
    data = encode(header, pages.items(), post)
    decoder = Decoder(reader_of_pieces(data, seed))
    assert decoder.header == header
    assert dict(decoder.pages()) == pages
    assert decoder.trailer.post_apply_checksum == post
    assert verify(io.BytesIO(data).read) == (header, decoder.trailer)


def test_a_flipped_byte_anywhere_is_found() -> None:
    """Every bit of every byte of a plain file."""
    original = make_file()
    for index in range(len(original)):
        for bit in range(8):
            damaged = bytearray(original)
            damaged[index] ^= 1 << bit
            with pytest.raises(LtxError):
                read_all(bytes(damaged))


def test_a_flipped_byte_in_a_compressed_file_is_found_or_means_the_same() -> None:
    """LZ4 can say the same bytes in several ways; what is accepted decodes to the very same."""
    original = make_file(compress=True)
    expected, accepted = read_all(original), []
    for index in range(len(original)):
        for flip in (0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFF):
            damaged = bytearray(original)
            damaged[index] ^= flip
            try:
                assert read_all(bytes(damaged)) == expected
            except LtxError:
                continue
            accepted.append(index)
    assert all(111 <= index < len(original) - 24 for index in accepted), "only within an LZ4 block"
    assert len(accepted) < len(original) / 10


@pytest.mark.parametrize("compress", [False, True])
def test_a_file_cut_at_any_length_is_an_error_that_says_where_it_ends(compress: bool) -> None:
    original = make_file(compress=compress)
    for length in range(len(original)):
        with pytest.raises(LtxError) as caught:
            read_all(original[:length])
        if length >= 100:
            assert "torn" in str(caught.value), length
            assert f"ends at byte {length}" in str(caught.value)


@pytest.mark.parametrize("compress", [False, True])
def test_bytes_after_the_trailer_are_an_error(compress: bool) -> None:
    original = make_file(compress=compress)
    with pytest.raises(LtxError, match=f"after its trailer, from byte {len(original)}"):
        read_all(original + b"\0")


def test_a_rule_that_is_broken_is_named() -> None:
    """Files whose checksums hold, but whose pages are out of order, past the end, or missing."""
    page = make_page(1)
    with pytest.raises(LtxError, match="ascend"):
        read_all(_seal(make_header(), [(2, page), (1, page)]))
    with pytest.raises(LtxError, match="past the database's end"):
        read_all(_seal(make_header(), [(4, page)]))
    with pytest.raises(LtxError, match="lock page"):
        read_all(_seal(make_header(commit=3_000_000), [(2097153, page)]))
    snapshot = Header(0, PAGE, 3, 1, 1, 0)
    with pytest.raises(LtxError, match="no page 2"):
        read_all(_seal(snapshot, [(1, page), (3, page)]))
    with pytest.raises(LtxError, match="ends at page 1 of 3"):
        read_all(_seal(snapshot, [(1, page)]))
    with pytest.raises(LtxError, match="bit 63"):
        read_all(_seal(make_header(), [(1, page)], post=7))


def test_a_snapshot_whose_pages_do_not_add_up_to_its_checksum_is_refused() -> None:
    pages = {1: make_page(1), 2: make_page(2)}
    read_all(make_snapshot(pages))
    with pytest.raises(LtxChecksumError, match="pages of snapshot"):
        read_all(_seal(Header(0, PAGE, 2, 1, 1, 0), list(pages.items())))


def test_an_lz4_frame_must_hold_exactly_the_page_block() -> None:
    whole = make_file(compress=True)
    block = lz4.frame.decompress(whole[100:-16])
    for other, word in ((block + b"\0", "goes on after the last page"), (block[:-4], "torn")):
        frame = lz4.frame.compress(other, content_checksum=True)
        with pytest.raises(LtxError, match=word):
            read_all(whole[:100] + frame + whole[-16:])
    skippable = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    with pytest.raises(LtxError, match="no LZ4 frame"):
        read_all(whole[:100] + skippable + whole[100:])


def test_format_v3_is_recognised_by_its_pages_and_refused_by_name() -> None:
    """With flags 0 the header cannot tell; the pages, compressed one by one, can."""
    page, header = make_page(1), Header(0, PAGE, 1, 1, 1, 0).pack()
    framed = b"\0\0\0\1\0\0" + lz4.frame.compress(page)
    bare = lz4.frame.compress(page)[7:-4]
    sized = b"\0\0\0\1\0\1" + len(bare).to_bytes(4, "big") + bare
    for body in (framed, sized):
        with pytest.raises(UnsupportedLtxError, match="v3"):
            read_all(header + body + bytes(6) + bytes(32))


def test_a_page_that_only_looks_like_v3_is_read_as_what_it_is() -> None:
    page = (bytes(2) + bytes.fromhex("04224d18")).ljust(PAGE, b"\7")
    assert read_all(encode(make_header(), [(2, page)], CHECKSUM_FLAG))[1] == [(2, page)]


def test_the_trailer_comes_after_the_pages_and_they_are_taken_once() -> None:
    decoder = Decoder(io.BytesIO(make_file()).read)
    with pytest.raises(LtxError, match="follows its pages"):
        _ = decoder.trailer
    list(decoder.pages())
    with pytest.raises(LtxError, match="taken already"):
        list(decoder.pages())


def test_a_files_errors_begin_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "bad.ltx"
    path.write_bytes(make_file()[:-1])
    seen: list[int] = []
    with pytest.raises(LtxError, match=r"bad\.ltx: .*torn"):
        verify_file(path, lambda pgno, _: seen.append(pgno))
    assert seen == [1, 3]
    path.write_bytes(b"short")
    with pytest.raises(LtxError, match=r"bad\.ltx: "), open_ltx(path):
        pass


@given(st.binary(max_size=400))
def test_random_bytes_are_an_ltx_error(data: bytes) -> None:
    """As a file, and as the page block of a file."""
    for raw in (data, make_header().pack() + data, make_header(compress=True).pack() + data):
        with pytest.raises(LtxError):
            read_all(raw)


def _seal(header: Header, pages: list[tuple[int, bytes]], post: int = CHECKSUM_FLAG | 1) -> bytes:
    """An LTX file with a right file checksum, whatever its parts are."""
    body = header.pack() + b"".join(struct.pack(">I", pgno) + page for pgno, page in pages)
    body += bytes(4) + post.to_bytes(8, "big")
    return body + (crc64(body) | CHECKSUM_FLAG).to_bytes(8, "big")
