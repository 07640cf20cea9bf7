"""Header, trailer and name of an LTX file."""

from dataclasses import replace

import pytest

from pylitefs.errors import LtxError, UnsupportedLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.header import Header, Trailer, format_filename, format_txid, parse_filename
from pylitefs.ltx.position import Pos
from tests.ltx.samples import make_header


def test_a_header_is_100_bytes_and_reads_back() -> None:
    header = make_header()
    packed = header.pack()
    assert len(packed) == 100
    assert packed[:4] == b"LTX1"
    assert packed[80:] == bytes(20)
    assert Header.unpack(packed) == header
    assert Header.unpack(memoryview(packed + b"more")) == header
    header.validate()


def test_only_a_file_that_begins_with_the_first_transaction_is_a_snapshot() -> None:
    assert make_header(txid=1).is_snapshot
    assert not make_header(txid=2).is_snapshot
    assert make_header(txid=2).pre_apply_pos == Pos(1, CHECKSUM_FLAG | 0x1234)
    assert make_header(txid=1).pre_apply_pos == Pos()


@pytest.mark.parametrize("page_size", [512 << i for i in range(8)])
def test_every_page_size_of_sqlite_is_valid(page_size: int) -> None:
    make_header(page_size=page_size).validate()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"page_size": 0}, "page size"),
        ({"page_size": 256}, "page size"),
        ({"page_size": 1000}, "page size"),
        ({"page_size": 131072}, "page size"),
        ({"min_txid": 0}, "min TXID"),
        ({"max_txid": 1}, "max TXID"),
        ({"pre_apply_checksum": 5}, "bit 63"),
        ({"min_txid": 1}, "snapshot"),
        ({"wal_size": -1}, "negative"),
        ({"wal_offset": -1}, "negative"),
        ({"wal_offset": 0}, "WAL offset"),
    ],
)
def test_a_field_that_cannot_be_is_named(change: dict[str, int], word: str) -> None:
    with pytest.raises(LtxError, match=word):
        replace(make_header(), **change).validate()


def test_something_else_is_not_an_ltx_header() -> None:
    packed = make_header().pack()
    with pytest.raises(LtxError, match="torn: 99 bytes"):
        Header.unpack(packed[:99])
    with pytest.raises(LtxError, match="begins b'SQLi'"):
        Header.unpack(b"SQLi" + packed[4:])
    with pytest.raises(LtxError, match="reserved"):
        Header.unpack(packed[:-1] + b"\1")


def test_flags_that_nobody_knows_are_refused() -> None:
    """0x2 is the newer formats'; 0x3 is neither theirs nor LiteFS's."""
    assert not Header.unpack(replace(make_header(), flags=2).pack()).has_checksums
    for flags in (3, 4, 8):
        with pytest.raises(UnsupportedLtxError, match=f"flags 0x{flags}"):
            Header.unpack(replace(make_header(), flags=flags).pack())


def test_without_checksums_there_is_none_before_and_no_salts_without_a_wal() -> None:
    bare = replace(make_header(), flags=2, pre_apply_checksum=0)
    bare.validate()
    with pytest.raises(LtxError, match="pre-apply"):
        replace(bare, pre_apply_checksum=CHECKSUM_FLAG).validate()
    with pytest.raises(LtxError, match="salts"):
        replace(bare, wal_offset=0, wal_size=0).validate()


def test_a_trailer_is_16_bytes_and_reads_back() -> None:
    trailer = Trailer(CHECKSUM_FLAG | 1, CHECKSUM_FLAG | 2)
    assert len(trailer.pack()) == 16
    assert Trailer.unpack(trailer.pack()) == trailer
    with pytest.raises(LtxError):
        Trailer.unpack(bytes(15))


def test_file_names() -> None:
    assert format_txid(255) == "00000000000000ff"
    name = format_filename(1, 255)
    assert name == "0000000000000001-00000000000000ff.ltx"
    assert name == replace(make_header(), min_txid=1, max_txid=255).filename
    assert parse_filename(name) == (1, 255)
    for other in ("", name + ".tmp", name.upper(), "1-2.ltx", name + "\n", "x" + name):
        assert parse_filename(other) is None
