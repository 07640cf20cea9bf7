"""LiteFS's checksums: CRC-64/GO-ISO of pages and files, XOR of pages for a database.

The checksum of a page covers its number and its bytes; that of a database is the XOR of its pages'.
So a transaction moves it by XORing out the old checksum of each page it changed and XORing in the new,
and its cost does not depend on the database's size. Bit 63 is set in every checksum, so that 0 can
mean "none". The lock page holds no data and has checksum 0.
"""

from fastcrc import crc64 as _crc64

from pylitefs.sqlite import Buffer
from pylitefs.sqlite.locks import lock_pgno

__all__ = [
    "CHECKSUM_FLAG",
    "EMPTY_CHECKSUM",
    "FileChecksum",
    "crc64",
    "lock_pgno",
    "page_checksum",
]

CHECKSUM_FLAG = 1 << 63
EMPTY_CHECKSUM = CHECKSUM_FLAG
"""The checksum of a database without pages."""

_go_iso = _crc64.go_iso


def crc64(data: Buffer, crc: int = 0) -> int:
    """CRC-64/GO-ISO of `data`, going on from `crc` (the CRC of the bytes before it)."""
    return _go_iso(data, crc)


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
