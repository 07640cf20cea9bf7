"""The frames of a stream: bytes in, values out, and back."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import ReplicationError
from pylitefs.ltx.position import Pos
from pylitefs.replication.frames import (
    MAX_CHUNK,
    Decoder,
    DropDb,
    End,
    Frame,
    Handoff,
    Heartbeat,
    HighWaterMark,
    LtxBegin,
    LtxChunk,
    LtxEnd,
    Ready,
    decode_positions,
    encode_positions,
    pack_ltx_body,
)
from tests.golden.recordings import DATA, FLAVOURS

BODIES = sorted(path for flavour in FLAVOURS for path in (DATA / flavour).glob("stream-*.body"))
REQUESTS = sorted(path for flavour in FLAVOURS for path in (DATA / flavour).glob("stream-*.request"))

names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=50).filter(
    lambda name: name not in (".", "..")
)
u64 = st.integers(0, 2**64 - 1)
frames = st.one_of(
    st.just(Ready()),
    st.just(End()),
    st.builds(DropDb, names),
    st.builds(Handoff, st.text(st.characters(codec="utf-8"), max_size=40)),
    st.builds(HighWaterMark, u64, names),
    st.builds(Heartbeat, st.integers(-(2**63), 2**63 - 1)),
)
chunks = st.lists(st.binary(min_size=1, max_size=300), max_size=5)
ltx = st.tuples(st.builds(LtxBegin, names, u64), chunks).map(
    lambda one: [one[0], *(LtxChunk(data) for data in one[1]), LtxEnd()]
)
parts = st.lists(st.one_of(frames.map(lambda one: [one]), ltx), max_size=8)
streams: st.SearchStrategy[list[Frame]] = parts.map(lambda parts: [frame for part in parts for frame in part])


def merged(stream: list[Frame]) -> list[Frame]:
    """The frames with neighbouring chunks joined, for where they were cut does not matter."""
    result: list[Frame] = []
    for frame in stream:
        last = result[-1] if result else None
        if isinstance(frame, LtxChunk) and isinstance(last, LtxChunk):
            result[-1] = LtxChunk(last.data + frame.data)
        else:
            result.append(frame)
    return result


@pytest.mark.parametrize("path", BODIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_stream_decodes_and_encodes_to_the_same_bytes(path: Path) -> None:
    """What real LiteFS sent, byte for byte."""
    decoder = Decoder()
    body = path.read_bytes()
    assert b"".join(frame.pack() for frame in decoder.feed(body)) == body
    decoder.finish()


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_recorded_request_decodes_and_encodes_to_the_same_bytes(path: Path) -> None:
    """What was posted to real LiteFS."""
    assert encode_positions(decode_positions(path.read_bytes())) == path.read_bytes()


def test_ready_is_followed_at_once_by_a_heartbeat_in_every_recording() -> None:
    """The rule that primary.py keeps."""
    for path in BODIES:
        for frame, following in pairwise(Decoder().feed(path.read_bytes())):
            if frame == Ready():
                assert isinstance(following, Heartbeat)


@given(streams, st.integers(1, 40))
def test_frames_come_out_as_they_went_in_wherever_the_bytes_are_cut(stream: list[Frame], size: int) -> None:
    """The decoder is fed pieces of any size."""
    data = b"".join(frame.pack() for frame in stream)
    decoder = Decoder()
    found = [
        frame for start in range(0, len(data), size) for frame in decoder.feed(data[start : start + size])
    ]
    assert merged(found) == merged(stream)
    decoder.finish()


@given(st.binary(max_size=200))
def test_whatever_comes_it_is_frames_or_a_replication_error(data: bytes) -> None:
    """No other exception, whoever is at the other end."""
    decoder = Decoder()
    try:
        list(decoder.feed(data))
        decoder.finish()
    except ReplicationError:
        pass


def test_a_long_ltx_file_is_never_held_in_memory() -> None:
    """The decoder keeps no more than what it was fed last."""
    decoder = Decoder()
    list(decoder.feed(LtxBegin("a.db").pack()))
    block = pack_ltx_body(bytes(200_000))
    total = 0
    for start in range(0, len(block), 1000):
        for frame in decoder.feed(block[start : start + 1000]):
            assert isinstance(frame, LtxChunk)
            assert len(frame.data) <= 1000
            total += len(frame.data)
        assert len(decoder._buffer) < 2
    assert total == 200_000


@pytest.mark.parametrize("size", [0, 1, MAX_CHUNK, MAX_CHUNK + 1, 3 * MAX_CHUNK])
def test_a_body_is_cut_into_chunks_that_a_u16_can_count(size: int) -> None:
    """Also at the edges; an empty piece must not look like the end."""
    data = bytes(size)
    sent = LtxBegin("a.db").pack() + pack_ltx_body(data) + LtxEnd().pack()
    begin, *chunks, end = Decoder().feed(sent)
    assert (begin, end) == (LtxBegin("a.db"), LtxEnd())
    assert b"".join(chunk.data for chunk in chunks if isinstance(chunk, LtxChunk)) == data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\0\0\0\0", "frame type 0"),
        (b"\0\0\0\x08", "frame type 8"),
        (b"HTTP/1.1 400 Bad Request", "frame type 1213486160"),
        (b"\0\0\0\x04\xff\xff\xff\xff", "longer than 255"),
        (b"\0\0\0\x05\0\0\x08\0", "longer than 1024"),
        (b"\0\0\0\x04\0\0\0\0", "database name"),
        (DropDb("../etc/passwd").pack(), "without '/'"),
        (LtxBegin("..").pack(), "without '/'"),
        (HighWaterMark(1, "a\0b").pack(), "without '/'"),
    ],
)
def test_garbage_is_a_replication_error(data: bytes, text: str) -> None:
    """Found at the first byte that cannot be; a name never leaves the data directory."""
    with pytest.raises(ReplicationError, match=text):
        list(Decoder().feed(data))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (Ready().pack()[:2], "middle of a frame"),
        (LtxBegin("a.db").pack() + LtxChunk(b"abc").pack(), "middle of an LTX file"),
    ],
)
def test_a_stream_that_ends_inside_a_frame_is_noticed(data: bytes, text: str) -> None:
    """A torn connection is not a clean end."""
    decoder = Decoder()
    list(decoder.feed(data))
    with pytest.raises(ReplicationError, match=text):
        decoder.finish()


@given(st.dictionaries(names, st.builds(Pos, u64, u64), max_size=5))
def test_a_position_map_comes_out_as_it_went_in(positions: dict[str, Pos]) -> None:
    """Any names, any positions."""
    assert decode_positions(encode_positions(positions)) == positions


GOOD = encode_positions({"a.db": Pos(1, 2)})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "ends early"),
        (GOOD[:-1], "ends early"),
        (GOOD + b"x", "1 bytes follow"),
        (b"\0\0\0\x02" + GOOD[4:] * 2, "comes twice"),
        (b"\xff\xff\xff\xff", "more than 65536"),
        (b"\0\0\0\x01\0\0\x01\0" + bytes(300), "longer than 255"),
        (GOOD.replace(b"a.db", b"a/db"), "without '/'"),
    ],
)
def test_a_position_map_is_whole_or_an_error(data: bytes, text: str) -> None:
    """The server answers 400 with this text."""
    with pytest.raises(ReplicationError, match=text):
        decode_positions(data)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_position_map_or_a_replication_error(data: bytes) -> None:
    """No other exception."""
    try:
        decode_positions(data)
    except ReplicationError:
        pass
