"""Every file of a real Litestream's replica directory is read, and written again."""

import io
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import Decoder, open_ltx
from pylitefs.ltx.formats import Format
from pylitefs.ltx.frame_encoder import encode_frames
from pylitefs.ltx.header import HEADER_SIZE, Header, parse_filename
from pylitefs.ltx.libraries import lz4_block
from pylitefs.ltx.page_index import read_entries
from tests.golden.recordings import FORMATS, REPLICA, recorded_formats

FILES = sorted(REPLICA.rglob("*.ltx"))
V3B = [FORMATS / name for name in recorded_formats() if name.stem.startswith("v3b-bare")]


def blocks(data: bytes) -> list[bytes]:
    """The LZ4 block of each page, found by the index."""
    size = int.from_bytes(data[-24:-16], "big")
    return [
        data[offset + 10 : offset + length]
        for _, offset, length in read_entries(data[-24 - size : -24])
    ]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=["/".join(path.parts[-2:]) for path in FILES])
def test_it_decodes_and_says_what_its_name_does(path: Path) -> None:
    with open_ltx(path, any_format=True) as decoder:
        pgnos = [pgno for pgno, _ in decoder.pages()]
    header = decoder.header
    assert (header.min_txid, header.max_txid) == parse_filename(path.name)
    assert decoder.format is Format.V3B and not header.has_checksums
    assert len(pgnos) == len(blocks(path.read_bytes()))
    if header.is_snapshot:
        assert pgnos == list(range(1, header.commit + 1))


@pytest.mark.parametrize("path", [*FILES, *V3B], ids=["/".join(p.parts[-2:]) for p in [*FILES, *V3B]])
def test_it_encodes_to_the_same_bytes_apart_from_lz4_s_freedom(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the recorded LZ4 block of each page; with our own the pages are the same."""
    data = path.read_bytes()
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    pages = list(decoder.pages())
    again = Decoder(io.BytesIO(encode_frames(decoder.header, pages)).read, any_format=True)
    assert (again.header, list(again.pages())) == (Header.unpack(data[:HEADER_SIZE]), pages)
    recorded = iter(blocks(data))
    monkeypatch.setattr(lz4_block, "compress", lambda page, store_size: next(recorded))
    assert encode_frames(decoder.header, pages) == data
