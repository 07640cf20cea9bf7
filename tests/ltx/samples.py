"""LTX files made up for the tests."""

import io
import random

from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import FLAG_LZ4, Header, Trailer

PAGE = 512


def make_header(*, commit: int = 3, txid: int = 2, compress: bool = False, page_size: int = PAGE) -> Header:
    """A header whose every field has a value of its own."""
    return Header(
        flags=FLAG_LZ4 if compress else 0,
        page_size=page_size,
        commit=commit,
        min_txid=txid,
        max_txid=txid,
        timestamp_ms=1_700_000_000_123,
        pre_apply_checksum=0 if txid == 1 else CHECKSUM_FLAG | 0x1234,
        wal_offset=32,
        wal_size=2 * (24 + page_size),
        wal_salt1=0xAABBCCDD,
        wal_salt2=0x11223344,
        node_id=0xFEDCBA9876543210,
    )


def make_page(pgno: int, page_size: int = PAGE, seed: int = 0) -> bytes:
    """A page that half compresses, different for each number and seed."""
    half = random.Random(pgno * 1000 + seed).randbytes(page_size // 2)
    return half + bytes(page_size - len(half))


def checksum_of(pages: dict[int, bytes]) -> int:
    """The database checksum of a whole database."""
    checksum = EMPTY_CHECKSUM
    for pgno, page in pages.items():
        checksum ^= page_checksum(pgno, page)
    return checksum | CHECKSUM_FLAG


def make_file(*, compress: bool = False, commit: int = 3, pgnos: tuple[int, ...] = (1, 3)) -> bytes:
    """A small LTX file."""
    header = make_header(commit=commit, compress=compress)
    return encode(header, ((pgno, make_page(pgno)) for pgno in pgnos), CHECKSUM_FLAG | 0x5678)


def make_snapshot(pages: dict[int, bytes], *, max_txid: int = 1, page_size: int = PAGE) -> bytes:
    """A snapshot of a database that is just these pages."""
    header = Header(0, page_size, len(pages), 1, max_txid, 1_700_000_000_000)
    return encode(header, pages.items(), checksum_of(pages))


def read_all(data: bytes) -> tuple[Header, list[tuple[int, bytes]], Trailer]:
    """Everything in an LTX file, verified."""
    decoder = Decoder(io.BytesIO(data).read)
    pages = list(decoder.pages())
    return decoder.header, pages, decoder.trailer


class ChainBuilder:
    """A database that changes transaction by transaction, and the LTX file of each."""

    def __init__(self, page_size: int = PAGE) -> None:
        self.page_size = page_size
        self.pages: dict[int, bytes] = {}
        self.txid = 0
        self.files: list[bytes] = []

    def transaction(self, changed: dict[int, bytes], commit: int, *, compress: bool = False) -> bytes:
        """Change these pages, leave `commit` of them."""
        before = checksum_of(self.pages) if self.txid else 0
        self.pages.update(changed)
        self.pages = {pgno: page for pgno, page in sorted(self.pages.items()) if pgno <= commit}
        self.txid += 1
        header = Header(
            flags=FLAG_LZ4 if compress else 0,
            page_size=self.page_size,
            commit=commit,
            min_txid=self.txid,
            max_txid=self.txid,
            timestamp_ms=1_700_000_000_000 + self.txid,
            pre_apply_checksum=before,
            node_id=7,
        )
        data = encode(header, sorted(changed.items()), checksum_of(self.pages))
        self.files.append(data)
        return data

    @property
    def database(self) -> bytes:
        """The database file as it is now."""
        return b"".join(page for _, page in sorted(self.pages.items()))
