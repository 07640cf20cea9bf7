"""Pages in batches: as they lie in the file, and the second reading of a file that was verified."""

import io

import pytest

from pylitefs.errors import LtxChecksumError, LtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import Encoder, encode
from pylitefs.ltx.header import FLAG_LZ4, Header
from pylitefs.sqlite.locks import lock_pgno

PAGE_SIZE = 512
COUNT = 3000


def made(flags: int, pgnos: list[int], *, min_txid: int = 1) -> bytes:
    """An LTX file with these pages, each with bytes of its own."""
    sums = 0
    pages = [(pgno, pgno.to_bytes(4, "little") * (PAGE_SIZE // 4)) for pgno in pgnos]
    for pgno, page in pages:
        sums ^= page_checksum(pgno, page)
    before = 0 if min_txid == 1 else 1 << 63
    header = Header(flags, PAGE_SIZE, pgnos[-1], min_txid, min_txid, 0, before)
    return encode(header, pages, sums | 1 << 63)


class Pieces:
    """Reads no more than a few bytes at a time, as a wire does."""

    def __init__(self, content: bytes, size: int) -> None:
        self._file = io.BytesIO(content)
        self._size = size

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._size))


@pytest.mark.parametrize("flags", [0, FLAG_LZ4])
@pytest.mark.parametrize("size", [1 << 20, 4096, 7])
@pytest.mark.parametrize("verified", [False, True])
def test_batches_hold_what_pages_hold(flags: int, size: int, verified: bool) -> None:
    """Every page once, in order, with its checksum, however the bytes come and whether they are doubted."""
    pgnos = [*range(1, 2000), *range(2001, COUNT, 3)]
    content = made(flags, pgnos, min_txid=9)
    decoder = Decoder(Pieces(content, size).read, verified=verified)
    found = [(pgno, bytes(page)) for batch in decoder.batches() for pgno, page in batch]
    assert found == list(Decoder(io.BytesIO(content).read).pages())
    assert [pgno for pgno, _ in found] == pgnos
    assert decoder.trailer.post_apply_checksum >> 63
    decoder = Decoder(Pieces(content, size).read)
    checksums = [one for batch in decoder.batches() for one in batch.checksums()]
    assert checksums == [page_checksum(pgno, page) for pgno, page in found]


def test_many_pages_come_together() -> None:
    """A large file costs few batches."""
    decoder = Decoder(io.BytesIO(made(FLAG_LZ4, list(range(1, COUNT + 1)))).read)
    assert sum(1 for _ in decoder.batches()) < 20


@pytest.mark.parametrize("flags", [0, FLAG_LZ4])
def test_a_page_is_missing_in_the_middle_of_a_batch(flags: int) -> None:
    """The pages before the gap come, then the error that names it."""
    whole = made(0, list(range(1, 101)))
    unit = PAGE_SIZE + 4
    torn = whole[: 100 + 50 * unit] + whole[100 + 51 * unit :]
    if flags:
        import lz4.frame

        block = lz4.frame.compress(torn[100:-16], content_checksum=True)
        torn = made(flags, list(range(1, 101)))[:100] + block + torn[-16:]
    decoder = Decoder(io.BytesIO(torn).read)
    taken: list[tuple[int, bytes]] = []
    with pytest.raises(LtxError, match="has no page 51: page 52 comes after page 50"):
        taken.extend(decoder.pages())
    assert [pgno for pgno, _ in taken] == list(range(1, 51))


@pytest.mark.parametrize("flags", [0, FLAG_LZ4])
def test_every_flipped_byte_is_found(flags: int) -> None:
    """Invariant 5, also where the flipped byte is one of the checksums that only doubt (LZ4's own)."""
    content = made(flags, list(range(1, 9)))
    for at in range(len(content)):
        flipped = bytearray(content)
        flipped[at] ^= 0x10
        with pytest.raises(LtxError):
            list(Decoder(io.BytesIO(flipped).read).batches())


def test_what_was_verified_is_not_summed_again() -> None:
    """The second reading looks at the order alone: a changed byte is the first one's to find."""
    content = bytearray(made(0, list(range(1, 9))))
    content[300] ^= 1
    with pytest.raises(LtxChecksumError):
        list(Decoder(io.BytesIO(content).read).batches())
    assert sum(len(one.pgnos) for one in Decoder(io.BytesIO(content).read, verified=True).batches()) == 8
    with pytest.raises(LtxError, match="torn"):
        list(Decoder(io.BytesIO(content[:-1]).read, verified=True).batches())


def test_the_lock_page_is_in_no_batch() -> None:
    """Neighbours on both sides of the lock page are no error, the lock page itself is."""
    from pylitefs.ltx.order import count_in_order

    lock = lock_pgno(65536)
    header = Header(0, 65536, lock + 10, 2, 2, 0, 1 << 63)
    around = [lock - 2, lock - 1, lock + 1, lock + 2]
    assert count_in_order(header, lock - 3, around) == 4
    assert count_in_order(header, lock - 3, [lock - 2, lock - 1, lock, lock + 1]) == 2
    snapshot = Header(0, 65536, lock + 10, 1, 2, 0)
    assert count_in_order(snapshot, lock - 3, around) == 4
    assert count_in_order(snapshot, lock - 3, [lock - 2, lock]) == 1
    assert count_in_order(snapshot, 0, [1, 2, 4]) == 2
    assert count_in_order(snapshot, 0, [0]) == 0
    assert count_in_order(snapshot, lock + 9, [lock + 10, lock + 11]) == 1
    assert count_in_order(snapshot, 0, []) == 0


@pytest.mark.parametrize("flags", [0, FLAG_LZ4])
@pytest.mark.parametrize("length", [1, 7, 600])
def test_runs_encode_to_the_same_file_as_pages(flags: int, length: int) -> None:
    """However many pages are handed in together, it is the same file, with the same checksums."""
    pgnos = [*range(1, 2000), *range(2001, COUNT, 3)]
    content = made(flags, pgnos, min_txid=9)
    pages = dict(Decoder(io.BytesIO(content).read).pages())
    decoder = Decoder(io.BytesIO(content).read)
    list(decoder.batches())
    out: list[bytes] = []
    encoder = Encoder(out.append, decoder.header)
    found: list[int] = []
    for at in range(0, len(pgnos), length):
        run = pgnos[at : at + length]
        found += encoder.encode_run(run, memoryview(b"".join(pages[pgno] for pgno in run)))
    trailer = encoder.finish(decoder.trailer.post_apply_checksum)
    assert trailer == decoder.trailer
    assert found == [page_checksum(pgno, page) for pgno, page in pages.items()]
    again = Decoder(io.BytesIO(b"".join(out)).read)
    assert dict(again.pages()) == pages and again.trailer == trailer


def test_a_run_that_does_not_fit_is_refused() -> None:
    """Out of order, past the end, the wrong number of bytes, or after the end: the error names the page."""
    header = Header(0, PAGE_SIZE, 10, 2, 2, 0, 1 << 63)
    encoder = Encoder(lambda _: None, header)
    encoder.encode_run([3, 4], memoryview(bytes(2 * PAGE_SIZE)))
    for pgnos, words in (([4, 5], "page 4"), ([5, 5], "page 5"), ([9, 10, 11], "page 11")):
        with pytest.raises(LtxError, match=words):
            encoder.encode_run(pgnos, memoryview(bytes(len(pgnos) * PAGE_SIZE)))
    with pytest.raises(LtxError, match="not 512"):
        encoder.encode_run([5, 6], memoryview(bytes(3 * PAGE_SIZE)))
    encoder.finish(1 << 63 | 5)
    with pytest.raises(LtxError, match="finished"):
        encoder.encode_run([7], memoryview(bytes(PAGE_SIZE)))
