"""LTX files taken apart: real LiteFS's own, and any bytes."""

from pathlib import Path

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy.ltx import anatomy
from tests.golden.recordings import recorded_files
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.ltx.samples import make_file

SAMPLES = (make_file(), make_file(compress=True))
SMALL = [(path, entry) for path, entry in recorded_files() if path.stat().st_size < 200_000]


@pytest.mark.parametrize("path", [path for path, _ in SMALL[::7]], ids=str)
def test_ltx_files_of_real_litefs_are_named_to_the_last_byte(path: Path) -> None:
    data = path.read_bytes()
    parts = anatomy(data)
    assert_covers(parts, data)
    found = values(parts)
    assert found["magic"] == "LTX1"
    assert found["file checksum"].endswith("holds")
    assert all(part.meaning for part in parts)


def test_the_fields_are_read() -> None:
    found = values(anatomy(SAMPLES[0]))
    assert found["min TXID"] == "2 (0000000000000002)"
    assert found["timestamp"] == "2023-11-14T22:13:20.123Z"
    assert found["commit"] == "3 pages"
    assert found["node id"] == "FEDCBA9876543210"
    assert found["page 1"] == "no b-tree page"
    assert found["reserved"] == "zero"


def test_a_flipped_bit_is_named() -> None:
    data = bytearray(SAMPLES[0])
    data[200] ^= 1
    assert "does not hold" in values(anatomy(bytes(data)))["file checksum"]


def test_a_file_cut_short_says_where() -> None:
    data = SAMPLES[0][:300]
    parts = anatomy(data)
    assert_covers(parts, data)
    assert parts[-1].value == "torn: 196 of 512 bytes"


def test_what_is_no_ltx_file_still_has_the_headers_fields() -> None:
    data = b"LTX2" + SAMPLES[0][4:]
    parts = anatomy(data)
    assert_covers(parts, data)
    assert values(parts)["magic"] == "not an LTX file's"
    assert "not an LTX file" in values(parts)["not read"]


@given(damaged(*SAMPLES))
def test_any_bytes_of_an_ltx_file_are_covered(data: bytes) -> None:
    assert_covers(anatomy(data), data)
