"""What every anatomy is made with: fields that read themselves, and a builder that leaves no byte out."""

import pytest

from pylitefs.lecture.anatomy import fields
from pylitefs.lecture.anatomy.fields import Builder, Field, clip
from pylitefs.lecture.model import Part
from tests.lecture.anatomies import assert_covers

SIZE = Field(2, "size", "How many.", "size")
NAME = Field(0, "name", "What it is called.", "content", fields.text)


@pytest.mark.parametrize(
    ("read", "data", "said"),
    [
        (fields.number, b"\x00\x01\x00\x00", "65,536"),
        (fields.version, b"\x00\x2d\xe2\x18", "3007000"),
        (fields.little, b"\x00\x10\x00\x00", "4,096"),
        (fields.hexed, b"\x0a\xff", "0aff"),
        (fields.txid, bytes(7) + b"\x1f", "31 (000000000000001f)"),
        (fields.zeros, bytes(9), "zero"),
        (fields.zeros, b"\0a\0b", "2 bytes are not zero"),
        (fields.text, "aé\n\x00".encode() + b"\xff", "aé··\ufffd"),
    ],
)
def test_bytes_are_read_as_what_they_are(read: object, data: bytes, said: str) -> None:
    assert callable(read) and read(data) == said


def test_fields_follow_each_other_and_a_size_may_come_from_the_data() -> None:
    data = b"\x00\x03abc" + b"rest"
    build = Builder(data, base=100)
    (size,) = build.fields([SIZE])
    assert build.field(NAME, size=int.from_bytes(size, "big"), more="Of three.") == b"abc"
    assert build.left == 4
    build.rest("tail", "All that is left.")
    assert_covers(build.parts, data, 100)
    assert build.parts == [
        Part(100, 2, "size", "3", "How many.", "size"),
        Part(102, 3, "name", "abc", "What it is called. Of three.", "content"),
        Part(105, 4, "tail", "", "All that is left.", "unused"),
    ]


def test_what_the_data_cuts_short_says_so_and_what_is_past_it_is_no_part() -> None:
    build = Builder(b"\x01")
    build.field(SIZE, value="a value that is not there")
    build.field(SIZE)
    build.rest("tail", "Nothing.")
    assert build.parts == [Part(0, 1, "size", "torn: 1 of 2 bytes", "How many.", "size")]
    build = Builder(b"abc")
    build.content(5, "page", "Its bytes.")
    assert build.parts[0].value == "torn: 3 of 5 bytes"


def test_a_value_that_is_given_takes_the_place_of_what_is_read() -> None:
    build = Builder(b"\0\1")
    build.field(SIZE, value="holds")
    assert build.parts[0].value == "holds"


def test_parts_of_another_anatomy_are_gone_on_from() -> None:
    build = Builder(b"abcdef")
    build.add([Part(0, 1, "a"), Part(1, 3, "b")])
    build.rest("c", "")
    assert_covers(build.parts, b"abcdef")
    assert build.parts[-1].offset == 4


def test_a_clip_shortens_what_only_begins_or_ends_in_it() -> None:
    parts = [Part(0, 4, "a"), Part(4, 2, "b"), Part(6, 4, "c")]
    assert clip(parts, 2, 7) == (Part(2, 2, "a"), Part(4, 2, "b"), Part(6, 1, "c"))
    assert clip(parts, 4, 6) == (Part(4, 2, "b"),)
    assert clip(parts, 5, 5) == () == clip(parts, 10, 20)
