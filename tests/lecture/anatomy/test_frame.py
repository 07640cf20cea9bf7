"""Stream frames taken apart, down to the LTX file in them: real LiteFS's own, and any bytes."""

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy import frame
from pylitefs.replication.frames import (
    DropDb,
    End,
    FrameType,
    Handoff,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxEnd,
    Ready,
    pack_ltx_body,
)
from tests.golden.recordings import DATA, FLAVOURS
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.ltx.samples import make_file

SAMPLES = (make_file(),)


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


@given(damaged(LtxBegin("a.db").pack() + pack_ltx_body(SAMPLES[0]) + LtxEnd().pack() + Ready().pack()))
def test_any_bytes_of_a_stream_are_covered(data: bytes) -> None:
    assert_covers(frame.anatomy(data), data)


def test_what_begins_no_frame_is_said_to() -> None:
    data = Ready().pack() + (99).to_bytes(4, "big") + b"more"
    parts = frame.anatomy(data)
    assert_covers(parts, data)
    assert [part.value for part in parts] == ["2: Ready", "99: unknown", ""]
    assert parts[-1].name == "unknown"


def test_every_kind_of_frame_has_its_name() -> None:
    for kind in FrameType:
        name, _, meaning = frame.frame_name(kind).partition(": ")
        assert name and meaning and kind in frame.FRAMES
