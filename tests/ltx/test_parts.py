"""An LTX file taken apart leaves no byte out."""

import io
from pathlib import Path

import pytest

from pylitefs.ltx.parts import file_parts, flags_text, time_text
from tests.golden.recordings import FORMATS, recorded_formats
from tests.ltx.samples import make_file


@pytest.mark.parametrize("compress", [False, True])
def test_the_parts_are_the_file_whole_or_cut_at_any_length(compress: bool) -> None:
    original = make_file(compress=compress)
    for data in (*(original[:length] for length in range(100, len(original))), original, original + b"more"):
        parts = list(file_parts(io.BytesIO(data).read))
        assert b"".join(part.data for part in parts) == data
        at = 0
        for part in parts:
            assert part.offset == at
            at += len(part.data)


def test_the_parts_of_a_plain_file_are_named() -> None:
    names = [part.name for part in file_parts(io.BytesIO(make_file()).read)]
    assert names == [
        "magic", "flags", "page size", "commit", "min TXID", "max TXID", "timestamp", "pre-apply checksum",
        "WAL offset", "WAL size", "WAL salt 1", "WAL salt 2", "node id", "reserved",
        "page number", "page 1", "page number", "page 3", "page number",
        "post-apply checksum", "file checksum",
    ]  # fmt: skip


def test_the_parts_of_an_lz4_frame_are_named() -> None:
    parts = {part.name: part for part in file_parts(io.BytesIO(make_file(compress=True)).read)}
    assert parts["LZ4 flags"].meaning == "version 1, independent blocks, content checksum"
    assert parts["LZ4 block descriptor"].meaning == "blocks of up to 64 KiB"
    assert parts["LZ4 block size"].meaning == f"{len(parts['LZ4 block 1'].data)} bytes"
    assert {"LZ4 magic", "LZ4 header checksum", "LZ4 end mark", "LZ4 content checksum"} <= parts.keys()


def test_texts_for_people() -> None:
    assert (flags_text(0), flags_text(1)) == ("0x0", "0x1 (LZ4)")
    assert time_text(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    assert time_text(2**62) == str(2**62)


@pytest.mark.parametrize("name", recorded_formats(), ids=str)
def test_the_newer_formats_are_taken_apart_to_the_last_byte(name: Path) -> None:
    """Pages, index and trailer, whole and cut anywhere."""
    data = (FORMATS / name).read_bytes()
    parts = list(file_parts(io.BytesIO(data).read))
    assert b"".join(part.data for part in parts) == data
    assert [part.name for part in parts][-4:] == [
        "end of the index", "index size", "post-apply checksum", "file checksum",
    ]  # fmt: skip
    pages = [part.meaning for part in parts if part.name == "page index"]
    assert [text.split(":")[0] for text in pages][-1] == "page 3"
    assert [part.meaning for part in parts if part.name == "page number"][-1] == "0: end of the pages"
    for length in range(100, len(data), 7):
        cut = list(file_parts(io.BytesIO(data[:length]).read))
        assert b"".join(part.data for part in cut) == data[:length]
