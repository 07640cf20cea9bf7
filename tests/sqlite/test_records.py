"""Records are decoded exactly, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.records import RawText, Value, are_same, decode, is_same, text, text_bytes


@given(st.binary(max_size=200), st.sampled_from(["utf-8", "utf-16-le"]))
def test_any_bytes_are_a_record_or_an_error(data: bytes, encoding: str) -> None:
    try:
        decode(data, encoding)
    except SqliteFormatError:
        pass


def test_values_differ_where_only_their_types_do() -> None:
    different: list[Value] = [0, 0.0, -0.0, 1, 1.0, "1", b"1", RawText(b"1"), "", b"", None]
    for at, one in enumerate(different):
        assert [is_same(one, other) for other in different].index(True) == at
        assert not are_same([one], [one, one]) and are_same([one], [one])


def test_text_keeps_its_bytes_also_where_they_are_none() -> None:
    for data in (b"abc", b"\xff\xfe", b"a\0b", "ß".encode()):
        assert text_bytes(text(data, "utf-8"), "utf-8") == data
    assert isinstance(text(b"\x00\xd8", "utf-16-le"), RawText)


@pytest.mark.parametrize("record", [b"", b"\x05\x01", b"\x02\x06\x00", b"\x02\x0a", b"\x00"])
def test_a_record_that_ends_early_is_refused(record: bytes) -> None:
    with pytest.raises(SqliteFormatError):
        decode(record, "utf-8")
