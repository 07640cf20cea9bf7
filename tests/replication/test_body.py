"""An LTX file on its way in: its chunks and nothing else, read to its end whatever the store does."""

from collections.abc import Iterator

import pytest

from pylitefs.errors import ReplicationError
from pylitefs.replication.body import Body
from pylitefs.replication.frames import Frame, Heartbeat, LtxChunk, LtxEnd
from tests.ltx.samples import make_file, make_header

FILE = make_file()


def frames(*sizes: int) -> Iterator[Frame]:
    """The file in chunks of these sizes and the rest; then the next frame of the stream."""
    at = 0
    for size in (*sizes, len(FILE)):
        yield LtxChunk(FILE[at : at + size])
        at += size
    yield LtxEnd()
    yield Heartbeat(1)


def test_a_body_is_the_file_up_to_its_end_and_no_further() -> None:
    stream = frames(10, 300)
    body = Body(stream)
    assert b"".join(body) == FILE
    assert list(body) == [] and next(stream) == Heartbeat(1)


def test_what_the_store_leaves_is_read_all_the_same() -> None:
    """The next frame comes after it."""
    stream = frames(10, 300)
    body = Body(stream)
    next(iter(body))
    body.drain()
    assert next(stream) == Heartbeat(1)


@pytest.mark.parametrize("sizes", [(), (1, 2, 3, 90), (99,)])
def test_the_txid_is_known_once_the_header_has_come_in_whatever_pieces(sizes: tuple[int, ...]) -> None:
    body = Body(frames(*sizes))
    assert body.txid() == 0
    body.drain()
    assert body.txid() == make_header().max_txid == 2


def test_a_header_that_is_none_has_no_txid() -> None:
    body = Body(iter([LtxChunk(b"x" * 200), LtxEnd()]))
    body.drain()
    assert body.txid() == 0


@pytest.mark.parametrize("other", [[Heartbeat(1)], []])
def test_anything_else_in_the_middle_is_an_error(other: list[Frame]) -> None:
    """Also the end of the stream."""
    with pytest.raises(ReplicationError, match="in the middle of an LTX file"):
        Body(iter([LtxChunk(FILE[:50]), *other])).drain()


def test_a_short_one_comes_as_a_whole_and_a_long_one_up_to_where_it_is_too_long() -> None:
    stream = frames(10, 300)
    parts, whole = Body(stream).short(len(FILE))
    assert whole and b"".join(parts) == FILE and next(stream) == Heartbeat(1)
    stream = frames(10, 300)
    body = Body(stream)
    parts, whole = body.short(309)
    assert not whole and b"".join(parts) == FILE[:310]
    assert b"".join(body) == FILE[310:] and next(stream) == Heartbeat(1)
