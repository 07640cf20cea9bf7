"""A file's format is told from its bytes."""

import io
from pathlib import Path

import lz4.block
import pytest

from pylitefs.errors import LtxError, UnsupportedLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, EMPTY_CHECKSUM
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.formats import Format, longest_block, unpack_block, unpack_frame
from pylitefs.ltx.frame_encoder import encode_frames
from pylitefs.ltx.header import FLAG_NO_CHECKSUM, Header
from tests.golden.recordings import FORMATS, recorded_formats
from tests.ltx.samples import PAGE, make_file, make_header, make_page

WRITTEN = recorded_formats()


def read_any(data: bytes) -> tuple[Format, list[tuple[int, bytes]]]:
    decoder = Decoder(io.BytesIO(data).read, any_format=True)
    pages = list(decoder.pages())
    return decoder.format, pages


@pytest.mark.parametrize("path", WRITTEN, ids=[path.stem for path in WRITTEN])
def test_what_the_real_library_wrote_is_told_apart_and_holds_the_same_pages(path: Path) -> None:
    """superfly/ltx v0.4.0, v0.5.1 and v0.5.3, with a database checksum and without: one set of pages."""
    data = (FORMATS / path).read_bytes()
    name, kind = path.stem.split("-")[0], path.stem.split("-")[2]
    found, pages = read_any(data)
    assert found.value == name
    same = read_any((FORMATS / f"v3b-bare-{kind}.ltx").read_bytes())[1]
    assert pages == same
    assert [pgno for pgno, _ in pages] == ([1, 2, 3] if kind == "snapshot" else [1, 3])


@pytest.mark.parametrize("path", WRITTEN, ids=[path.stem for path in WRITTEN])
def test_a_node_reads_none_of_them(path: Path) -> None:
    """Without `any_format` only v1 is read; the error names the format and who reads it."""
    with pytest.raises(UnsupportedLtxError, match="`pylitefs ltx` reads it"):
        list(Decoder(io.BytesIO((FORMATS / path).read_bytes()).read).pages())


@pytest.mark.parametrize("compress", [False, True])
def test_v1_stays_v1(compress: bool) -> None:
    assert read_any(make_file(compress=compress))[0] is Format.V1
    empty = encode(make_header(commit=0, compress=compress), [], EMPTY_CHECKSUM)
    assert read_any(empty) == (Format.V1, [])


def test_a_file_without_pages_is_told_by_its_index() -> None:
    header = Header(FLAG_NO_CHECKSUM, PAGE, 3, 2, 2, 0)
    assert read_any(encode_frames(header, [])) == (Format.V3B, [])
    summed = Header(0, PAGE, 3, 2, 2, 0, CHECKSUM_FLAG)
    assert read_any(encode_frames(summed, [], CHECKSUM_FLAG)) == (Format.V3B, [])


def test_a_plain_page_that_begins_as_a_frame_does_is_v1_unless_all_of_it_is_one() -> None:
    """A page's own bytes can look like flags, size and LZ4; they do not decompress to a page."""
    block = lz4.block.compress(bytes(PAGE), store_size=False)
    for start in (
        bytes(2) + bytes.fromhex("04224d18"),
        bytes.fromhex("04224d18"),
        b"\0\1" + len(block).to_bytes(4, "big"),
        b"\0\1" + len(block).to_bytes(4, "big") + block,
    ):
        data = encode(make_header(), [(2, start.ljust(PAGE, b"\7"))], CHECKSUM_FLAG)
        assert read_any(data)[0] is Format.V1


def test_what_is_no_page_does_not_unpack() -> None:
    with pytest.raises(LtxError, match="holds 511 bytes"):
        unpack_block(lz4.block.compress(bytes(511), store_size=False), PAGE)
    with pytest.raises(LtxError, match="cannot be decompressed"):
        unpack_block(lz4.block.compress(bytes(513), store_size=False), PAGE)
    with pytest.raises(LtxError, match="no LZ4 frame"):
        unpack_frame(bytes(100), PAGE)
    assert longest_block(65536) >= len(lz4.block.compress(make_page(1, 65536), store_size=False))
