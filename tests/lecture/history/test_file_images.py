"""A file's bytes put together from what events brought, and what changed in them."""

from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.history import file_images
from pylitefs.lecture.history.file_images import MOST_BYTES, Image, differences


def test_an_image_is_put_together_from_pieces() -> None:
    image = Image()
    image.put(10, b"abc")
    image.put(13, b"def")
    image.put(8, b"xy")
    assert (image.base, image.data) == (8, b"xyabcdef")
    image.put(9, b"QRST")
    assert image.data == b"xQRSTdef"
    image.cut(12)
    assert image.data == b"xQRS"
    image.put(100, b"far")
    assert (image.base, image.data) == (100, b"far")


def test_few_equal_bytes_between_changes_are_marked_along() -> None:
    assert differences(b"abcdefgh", 0, b"aXcXefgZ", 0) == ((1, 7),)
    assert differences(b"abcdefgh", 0, b"Xbcdefghi", 0) == ((0, 1), (8, 1))
    assert differences(b"ab", 0, b"ab", 2) == ((2, 2),)


@given(st.binary(max_size=40), st.integers(0, 9), st.binary(max_size=40), st.integers(0, 9))
def test_what_is_not_marked_is_the_same(old: bytes, old_base: int, new: bytes, new_base: int) -> None:
    marked = {
        place
        for offset, length in differences(old, old_base, new, new_base)
        for place in range(offset, offset + length)
    }
    for place in range(new_base, new_base + len(new)):
        if place not in marked:
            assert old[place - old_base] == new[place - new_base]


def test_a_long_image_keeps_its_end() -> None:
    image = Image()
    image.put(0, bytes(MOST_BYTES))
    image.put(MOST_BYTES, b"end")
    assert len(image.data) == MOST_BYTES // 2 and image.data.endswith(b"end")
    assert image.end == MOST_BYTES + 3
    image.cut(image.base - 1)
    assert image.data == b""


def test_many_changes_are_marked_in_wider_runs() -> None:
    old = bytes(9000)
    new = bytearray(old)
    new[::20] = b"x" * 450
    found = differences(old, 0, bytes(new), 0)
    assert 1 <= len(found) <= file_images._MOST_RUNS
    few = bytearray(old)
    few[::100] = b"x" * 90
    assert len(differences(old, 0, bytes(few), 0)) == 90
