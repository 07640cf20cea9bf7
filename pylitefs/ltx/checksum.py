"""LiteFS's checksums: CRC-64/GO-ISO of pages and files, XOR of pages for a database.

The checksum of a page covers its number and its bytes; that of a database is the XOR of its pages'.
So a transaction moves it by XORing out the old checksum of each page it changed and XORing in the new,
and its cost does not depend on the database's size. Bit 63 is set in every checksum, so that 0 can
mean "none". The lock page holds no data and has checksum 0.
"""

from pylitefs.ltx.libraries import crc64_go_iso as _go_iso
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.locks import lock_pgno

__all__ = [
    "CHECKSUM_FLAG",
    "EMPTY_CHECKSUM",
    "FileChecksum",
    "crc64",
    "crc64_difference",
    "lock_pgno",
    "page_checksum",
]

CHECKSUM_FLAG = 1 << 63
EMPTY_CHECKSUM = CHECKSUM_FLAG
"""The checksum of a database without pages."""

_POLYNOMIAL = 0xD800000000000000
"""x^64 + x^4 + x^3 + x + 1, lowest power first, without its highest."""
_ONE = 1 << 63
_X = 1 << 62


def crc64(data: Buffer, crc: int = 0) -> int:
    """CRC-64/GO-ISO of `data`, going on from `crc` (the CRC of the bytes before it)."""
    return _go_iso(data, crc)


def crc64_difference(difference: int, length: int) -> int:
    """How the CRCs of two texts differ that end in the same `length` bytes, where the CRCs of what comes
    before those differ by `difference`.

    A CRC is linear, so what is the same does not count: the difference is multiplied by x for each bit of it.
    """
    power, factor, bits = _ONE, _X, 8 * length
    while bits:
        if bits & 1:
            power = _product(power, factor)
        factor = _product(factor, factor)
        bits >>= 1
    return _product(power, difference)


def _product(one: int, other: int) -> int:
    """Of two polynomials over GF(2), modulo the CRC's."""
    result = 0
    while one:
        if one & _ONE:
            result ^= other
        one = one << 1 & (1 << 64) - 1
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return result


def page_checksum(pgno: int, data: Buffer) -> int:
    """The checksum of page `pgno` with the bytes `data`, bit 63 set. Not for the lock page: that has 0."""
    return _go_iso(data, _go_iso(pgno.to_bytes(4, "big"))) | CHECKSUM_FLAG


class FileChecksum:
    """A checksum over bytes that come in pieces."""

    __slots__ = ("_crc",)

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: Buffer) -> None:
        self._crc = _go_iso(data, self._crc)

    def value(self) -> int:
        """The checksum of everything so far, bit 63 set."""
        return self._crc | CHECKSUM_FLAG
