"""LTX files and stream frames taken apart: real LiteFS's own, and any bytes."""

from pathlib import Path

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy import frame, position
from pylitefs.lecture.anatomy.ltx import anatomy
from pylitefs.ltx.position import Pos
from pylitefs.replication.frames import (
    DropDb,
    End,
    Handoff,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxEnd,
    Ready,
    pack_ltx_body,
)
from tests.golden.recordings import DATA, FLAVOURS, recorded_files
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


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", ["stream-resume", "stream-uptodate"])
def test_streams_of_real_litefs_are_named_to_the_last_byte(flavour: str, name: str) -> None:
    data = (DATA / flavour / f"{name}.body").read_bytes()
    parts = frame.anatomy(data)
    assert_covers(parts, data)
    assert not [part for part in parts if part.name in ("unknown", "not read")]


def test_every_frame_is_named_and_an_ltx_file_in_it_down_to_its_fields() -> None:
    body = LtxBegin("a.db").pack() + pack_ltx_body(SAMPLES[0]) + LtxEnd().pack()
    data = b"".join(
        [
            body,
            HighWaterMark(0, "a.db").pack(),
            Ready().pack(),
            Heartbeat(1_700_000_000_123).pack(),
            DropDb("b.db").pack(),
            Handoff("lease").pack(),
            End().pack(),
        ]
    )
    parts = frame.anatomy(data)
    assert_covers(parts, data)
    kinds = [part.value.partition(": ")[2] for part in parts if part.name == "frame type"]
    assert kinds == ["LTX", "high-water mark", "Ready", "Heartbeat", "DropDB", "Handoff", "End"]
    found = values(parts)
    assert found["database"] == "a.db"
    assert found["min TXID"] == "2 (0000000000000002)"
    assert found["time"] == "2023-11-14T22:13:20.123Z"
    assert found["lease id"] == "lease"


def test_a_field_on_the_border_of_two_chunks_is_shown_in_two_pieces() -> None:
    file = SAMPLES[0]
    begin = LtxBegin("a.db").pack()
    data = begin + pack_ltx_body(file[:6]) + pack_ltx_body(file[6:]) + LtxEnd().pack()
    parts = frame.anatomy(data)
    assert_covers(parts, data)
    assert [part.length for part in parts if part.name == "flags"] == [2, 2]


def test_a_position_is_read() -> None:
    data = f"{Pos(17, 1 << 63)}\n".encode()
    parts = position.anatomy(data)
    assert_covers(parts, data)
    assert values(parts) == {"TXID": "17", "separator": "/", "checksum": "8000000000000000", "end": "newline"}


@given(damaged(*SAMPLES))
def test_any_bytes_of_an_ltx_file_are_covered(data: bytes) -> None:
    assert_covers(anatomy(data), data)


@given(damaged(LtxBegin("a.db").pack() + pack_ltx_body(SAMPLES[0]) + LtxEnd().pack() + Ready().pack()))
def test_any_bytes_of_a_stream_are_covered(data: bytes) -> None:
    assert_covers(frame.anatomy(data), data)
    assert_covers(position.anatomy(data), data)
