"""The page index: varints as Go writes them, and what it has to be by the frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import crc64
from pylitefs.ltx.page_index import ExpectedIndex, entry, read_entries, varint


def test_a_varint_has_seven_bits_a_byte_the_least_significant_first() -> None:
    """The examples of Go's documentation of its format, and its boundaries."""
    assert [varint(n).hex() for n in (0, 1, 127, 128, 300, 16384)] == [
        "00", "01", "7f", "8001", "ac02", "808001",
    ]  # fmt: skip


@given(st.lists(st.tuples(*[st.integers(1, 2**40)] * 3)))
def test_what_is_written_is_read_and_expected(frames: list[tuple[int, int, int]]) -> None:
    """The reader gives the entries back; the running sum is that of the same bytes."""
    data = b"".join(entry(*frame) for frame in frames) + b"\0"
    assert list(read_entries(data)) == frames
    expected = ExpectedIndex()
    for frame in frames:
        expected.add(*frame)
    expected.end()
    assert (expected.length, expected.crc) == (len(data), crc64(data))


@pytest.mark.parametrize("data", [b"", entry(1, 100, 20), entry(1, 100, 20)[:-1], b"\0\0", b"\x80\0"])
def test_an_index_without_its_end_or_with_more_behind_it_is_an_error(data: bytes) -> None:
    with pytest.raises(LtxError, match="page index"):
        list(read_entries(data + (b"\1" if data == b"\x80\0" else b"")))
