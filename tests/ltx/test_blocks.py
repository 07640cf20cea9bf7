"""The bytes of a file in chunks: what was read, looked at and put back."""

import io

from pylitefs.ltx.blocks import Source


def test_a_source_knows_where_it_is_whatever_the_chunks_are() -> None:
    """Reading, looking ahead, skipping and putting back, over the ends of chunks."""
    data = bytes(range(100))
    for chunk in (1, 7, 64, 1000):
        source = Source(io.BytesIO(data).read, chunk)
        assert (source.read(10), source.offset) == (data[:10], 10)
        assert (source.peek(50), source.offset) == (data[10:60], 10)
        source.skip(20)
        assert (source.read(5), source.offset) == (data[30:35], 35)
        some = source.read_some()
        assert some == data[35 : 35 + len(some)] and some
        source.unread(some)
        assert source.offset == 35
        taken = bytes(source.take(8))
        assert len(taken) % 8 == 0 and taken == data[35 : 35 + len(taken)] and taken
        rest = source.read(1000)
        assert rest == data[35 + len(taken) :] and source.offset == 100
        assert (source.peek(1), source.read(1), source.read_some()) == (b"", b"", b"")
