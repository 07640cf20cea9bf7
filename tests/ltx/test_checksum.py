"""Checksums as LITEFS's format has them."""

import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.ltx.checksum import (
    CHECKSUM_FLAG,
    EMPTY_CHECKSUM,
    FileChecksum,
    crc64,
    crc64_difference,
    lock_pgno,
    page_checksum,
)


def slow_crc64_go_iso(data: bytes) -> int:
    """Bit by bit: reflected polynomial x^64 + x^4 + x^3 + x + 1, ones before and after."""
    crc = (1 << 64) - 1
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xD800000000000000 if crc & 1 else 0)
    return crc ^ ((1 << 64) - 1)


def test_the_published_check_value() -> None:
    assert crc64(b"123456789") == 0xB90956C775A41001


@given(st.binary(max_size=200), st.integers(0, 200))
def test_crc64_is_go_iso_and_goes_on_where_it_stopped(data: bytes, cut: int) -> None:
    assert crc64(data) == slow_crc64_go_iso(data) == crc64(data[cut:], crc64(data[:cut]))


def test_a_page_checksum_covers_number_and_bytes_and_has_bit_63() -> None:
    page = random.Random(1).randbytes(512)
    expected = slow_crc64_go_iso((7).to_bytes(4, "big") + page) | 1 << 63
    assert page_checksum(7, page) == page_checksum(7, memoryview(bytearray(page))) == expected
    assert page_checksum(8, page) != expected


def test_a_file_checksum_in_pieces_is_that_of_the_whole() -> None:
    checksum = FileChecksum()
    for piece in (b"123", b"", bytearray(b"456"), memoryview(b"789")):
        checksum.update(piece)
    assert checksum.value() == crc64(b"123456789") | CHECKSUM_FLAG


def test_an_empty_database_has_only_bit_63() -> None:
    assert f"{EMPTY_CHECKSUM:016x}" == "8000000000000000"


def test_the_lock_page_is_the_one_at_one_gibibyte() -> None:
    for page_size in (512 << i for i in range(8)):
        assert (lock_pgno(page_size) - 1) * page_size == 0x40000000


@pytest.mark.parametrize("length", [0, 1, 7, 100, 4096, 100_001])
def test_a_header_s_change_is_carried_over_what_follows_it(length: int) -> None:
    """The CRC of a long file with another header is known without its bytes."""
    one, other, rest = os.urandom(100), os.urandom(100), os.urandom(length)
    changed = crc64_difference(crc64(one) ^ crc64(other), length)
    assert crc64(one + rest) ^ changed == crc64(other + rest)
