"""What the encoder writes, what it refuses, and what it costs."""

import random
import time

import lz4.frame
import pytest

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, crc64, lock_pgno
from pylitefs.ltx.encoder import BLOCK_SIZE, Encoder, encode
from pylitefs.ltx.header import Header
from tests.ltx.samples import PAGE, checksum_of, make_header, make_page, make_snapshot, read_all

POST = CHECKSUM_FLAG | 0x99


def test_the_bytes_are_header_pages_zero_trailer() -> None:
    header = make_header()
    data = encode(header, [(1, make_page(1)), (3, make_page(3))], POST)
    block = b"\0\0\0\1" + make_page(1) + b"\0\0\0\3" + make_page(3) + bytes(4)
    post = POST.to_bytes(8, "big")
    crc = crc64(header.pack() + block + post) | CHECKSUM_FLAG
    assert data == header.pack() + block + post + crc.to_bytes(8, "big")


def test_lz4_is_one_frame_as_litefs_writes_it_and_the_checksum_covers_what_was_before() -> None:
    pages = [(1, make_page(1)), (3, make_page(3))]
    plain = encode(make_header(), pages, POST)
    packed = encode(make_header(compress=True), pages, POST)
    frame = packed[100:-16]
    assert frame.startswith(bytes.fromhex("04224d186440a7"))
    assert lz4.frame.decompress(frame) == plain[100:-16]
    crc = crc64(packed[:100] + plain[100:-8]) | CHECKSUM_FLAG
    assert packed[-8:] == crc.to_bytes(8, "big")


@pytest.mark.parametrize("compress", [False, True])
def test_a_small_transaction_is_one_write_and_a_large_one_a_few(compress: bool) -> None:
    for count, most in ((3, 1), (BLOCK_SIZE // PAGE * 4, 6)):
        writes: list[bytes] = []
        encoder = Encoder(writes.append, make_header(commit=count, compress=compress))
        for pgno in range(1, count + 1):
            encoder.encode_page(pgno, make_page(pgno))
        encoder.finish(POST)
        data = b"".join(writes)
        assert 1 <= len(writes) <= most
        assert encoder.bytes_written == len(data)
        assert len(read_all(data)[1]) == count


def test_a_page_is_copied_when_it_is_given() -> None:
    buffer = bytearray(make_page(1))
    out: list[bytes] = []
    encoder = Encoder(out.append, make_header())
    encoder.encode_page(1, memoryview(buffer))
    buffer[:] = bytes(PAGE)
    encoder.finish(POST)
    assert read_all(b"".join(out))[1] == [(1, make_page(1))]


@pytest.mark.parametrize(
    ("pgnos", "word"),
    [((0,), "ascend"), ((2, 2), "ascend"), ((2, 1), "ascend"), ((4,), "past the database's end at 3")],
)
def test_pages_out_of_order_are_refused(pgnos: tuple[int, ...], word: str) -> None:
    with pytest.raises(LtxError, match=word):
        encode(make_header(), ((pgno, make_page(pgno)) for pgno in pgnos), POST)


def test_the_lock_page_is_refused_and_a_snapshot_passes_over_it() -> None:
    lock = lock_pgno(65536)
    encoder = Encoder(lambda _: None, make_header(commit=lock + 1, page_size=65536))
    with pytest.raises(LtxError, match="lock page"):
        encoder.encode_page(lock, bytes(65536))
    snapshot = Encoder(lambda _: None, Header(0, 65536, lock + 1, 1, 1, 0))
    page = bytes(65536)
    for pgno in range(1, lock):
        snapshot.encode_page(pgno, page)
    snapshot.encode_page(lock + 1, page)
    snapshot.finish(POST)


def test_a_snapshot_without_one_of_its_pages_is_refused() -> None:
    header = Header(0, PAGE, 3, 1, 1, 0)
    with pytest.raises(LtxError, match="no page 1"):
        encode(header, [(2, make_page(2))], POST)
    with pytest.raises(LtxError, match="no page 2"):
        encode(header, [(1, make_page(1)), (3, make_page(3))], POST)
    with pytest.raises(LtxError, match="ends at page 2 of 3"):
        encode(header, [(1, make_page(1)), (2, make_page(2))], POST)


def test_a_page_of_another_size_and_a_header_that_cannot_be_are_refused() -> None:
    with pytest.raises(LtxError, match="511 bytes, not 512"):
        encode(make_header(), [(1, bytes(511))], POST)
    with pytest.raises(LtxError, match="page size"):
        encode(make_header(page_size=777), [], POST)


def test_a_post_apply_checksum_that_cannot_be_is_refused() -> None:
    with pytest.raises(LtxError, match="bit 63"):
        encode(make_header(), [], 5)
    with pytest.raises(LtxError, match="drops the database"):
        encode(make_header(commit=0), [], POST)
    read_all(encode(make_header(commit=0), [], EMPTY_CHECKSUM))


def test_after_the_end_nothing_more_is_taken() -> None:
    encoder = Encoder(lambda _: None, make_header())
    encoder.finish(POST)
    with pytest.raises(LtxError, match="finished"):
        encoder.finish(POST)
    with pytest.raises(LtxError, match="too late"):
        encoder.encode_page(1, make_page(1))


def test_a_snapshot_of_a_dropped_database_has_no_pages() -> None:
    header, pages, trailer = read_all(make_snapshot({}, max_txid=9))
    assert (header.commit, pages, trailer.post_apply_checksum) == (0, [], EMPTY_CHECKSUM)


@pytest.mark.parametrize("compress", [False, True])
def test_a_commit_of_two_pages_is_encoded_in_well_under_50_microseconds(compress: bool) -> None:
    """The best of many: what it costs when nobody else takes the processor. Measured: 4 and 10 µs."""
    header = make_header(page_size=4096, compress=compress)
    pages = [(pgno, random.Random(pgno).randbytes(300) + bytes(3796)) for pgno in (1, 2)]
    best = 1.0
    for _ in range(2000):
        before = time.perf_counter()
        encode(header, pages, POST)
        best = min(best, time.perf_counter() - before)
    assert best < 40e-6


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("count", [3, 300])
def test_a_header_that_is_known_last_makes_the_file_that_it_would_have_made_first(
    compress: bool, count: int
) -> None:
    """Byte for byte, whether its first bytes are written by then or not; a snapshot's, too."""
    pages = {pgno: make_page(pgno) for pgno in range(1, count + 1)}
    guess = Header(int(compress), 512, count, 2, 2, 5, EMPTY_CHECKSUM)
    for header in (
        Header(int(compress), 512, count, 9, 9, 7, 1 << 63 | 8, node_id=3),
        Header(int(compress), 512, count, 1, 1, 7),
    ):
        out = bytearray()
        encoder = Encoder(out.extend, guess)
        encoder.encode_run(list(pages), memoryview(b"".join(pages.values())))
        head = encoder.replace_header(header)
        encoder.finish(checksum_of(pages))
        out[: len(head)] = head
        assert bytes(out) == encode(header, sorted(pages.items()), checksum_of(pages))


def test_a_header_that_its_pages_do_not_fit_is_refused() -> None:
    """Another size, another count, another compression; and a snapshot's where a page is missing."""
    pages = {1: make_page(1), 3: make_page(3)}
    guess = Header(0, 512, 3, 2, 2, 5, EMPTY_CHECKSUM)
    encoder = Encoder(bytearray().extend, guess)
    for pgno, page in pages.items():
        encoder.encode_page(pgno, page)
    for header in (
        Header(0, 1024, 3, 2, 2, 5, EMPTY_CHECKSUM),
        Header(0, 512, 4, 2, 2, 5, EMPTY_CHECKSUM),
        Header(1, 512, 3, 2, 2, 5, EMPTY_CHECKSUM),
        Header(0, 512, 3, 1, 1, 5),
    ):
        with pytest.raises(LtxError, match="cannot have the pages"):
            encoder.replace_header(header)
