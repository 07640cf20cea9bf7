"""The fixed parts of an LTX file: its first 100 bytes, its last 16, and its name.

    header    magic "LTX1" | flags | page size | commit | min TXID | max TXID | timestamp
              | pre-apply checksum | WAL offset | WAL size | WAL salt 1 | WAL salt 2 | node id | 20 zeros
    pages     page number | page, in ascending order; then page number 0       (encoder.py, decoder.py)
    trailer   post-apply checksum | file checksum

All integers are big-endian. This is the format of LiteFS 0.5 ("v1"). The newer ones, which Litestream
writes, have the same magic, header and trailer, and other pages between them: formats.py.
"""

import re
import struct
from dataclasses import dataclass

from pylitefs.errors import LtxError, TornLtxError, UnsupportedLtxError
from pylitefs.ltx.checksum import CHECKSUM_FLAG
from pylitefs.ltx.position import Pos
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import is_page_size

LTX_MAGIC = b"LTX1"
HEADER_SIZE = 100
TRAILER_SIZE = 16
PAGE_HEADER_SIZE = 4
FLAG_LZ4 = 0x1
"""The page block is one LZ4 frame."""
FLAG_NO_CHECKSUM = 0x2
"""Only in the newer formats: the file tracks no database checksum."""

_HEADER = struct.Struct(">4sIIIQQqQqqIIQ20s")
_TRAILER = struct.Struct(">QQ")
_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})\.ltx", re.ASCII)


@dataclass(frozen=True, slots=True)
class Header:
    """What an LTX file says about itself before its pages."""

    flags: int
    page_size: int
    commit: int
    """The database's size in pages after the transaction; 0 after a drop."""
    min_txid: int
    max_txid: int
    """Both are the same unless several transactions were compacted into one file, or it is a snapshot."""
    timestamp_ms: int
    """Milliseconds since 1970, UTC."""
    pre_apply_checksum: int = 0
    """The database's checksum before the transaction; 0 in a snapshot."""
    wal_offset: int = 0
    """Where in the WAL the transaction's frames begin; 0 if it came from a rollback journal."""
    wal_size: int = 0
    wal_salt1: int = 0
    wal_salt2: int = 0
    node_id: int = 0
    """The node that made the transaction."""

    @property
    def is_snapshot(self) -> bool:
        """Whether the file holds the whole database: it begins with the first transaction."""
        return self.min_txid == 1

    @property
    def is_compressed(self) -> bool:
        return bool(self.flags & FLAG_LZ4)

    @property
    def has_checksums(self) -> bool:
        """Whether it says the database's checksum before and after."""
        return not self.flags & FLAG_NO_CHECKSUM

    @property
    def pre_apply_pos(self) -> Pos:
        """The position this file continues; Pos() for a snapshot."""
        return Pos(self.min_txid - 1, self.pre_apply_checksum)

    @property
    def filename(self) -> str:
        return format_filename(self.min_txid, self.max_txid)

    def pack(self) -> bytes:
        """The 100 bytes."""
        return _HEADER.pack(
            LTX_MAGIC,
            self.flags,
            self.page_size,
            self.commit,
            self.min_txid,
            self.max_txid,
            self.timestamp_ms,
            self.pre_apply_checksum,
            self.wal_offset,
            self.wal_size,
            self.wal_salt1,
            self.wal_salt2,
            self.node_id,
            bytes(20),
        )

    @classmethod
    def unpack(cls, data: Buffer) -> "Header":
        """Read the header from the first 100 bytes, as it stands; `validate` judges the fields.

        Raises LtxError for too few bytes, another magic, or reserved bytes that are not zero.
        """
        if len(data) < HEADER_SIZE:
            raise TornLtxError(f"torn: {len(data)} bytes, and an LTX header alone takes {HEADER_SIZE}")
        magic, *fields, reserved = _HEADER.unpack_from(data)
        if magic != LTX_MAGIC:
            raise LtxError(f"not an LTX file: it begins {magic!r}, not {LTX_MAGIC!r}")
        header = cls(*fields)
        if header.flags not in (0, FLAG_LZ4, FLAG_NO_CHECKSUM):
            raise UnsupportedLtxError(
                f"an LTX file with flags 0x{header.flags:x}; LiteFS 0.5 knows 0x1 (LZ4) alone, Litestream "
                "0.5 0x2 (no database checksum). Was it written by a newer version?"
            )
        if any(reserved):
            raise LtxError("the 20 reserved bytes at the end of the LTX header are not zero")
        return header

    def validate(self) -> None:
        """Raise LtxError for the first field that cannot be."""
        if not is_page_size(self.page_size):
            raise LtxError(f"page size {self.page_size} in the LTX header is none of SQLite's")
        if self.min_txid == 0:
            raise LtxError("min TXID 0 in the LTX header; the first transaction is 1")
        if self.max_txid < self.min_txid:
            raise LtxError(f"max TXID {self.max_txid} is before min TXID {self.min_txid} in the LTX header")
        if self.is_snapshot and self.pre_apply_checksum != 0:
            raise LtxError(f"a snapshot's pre-apply checksum is 0, not {self.pre_apply_checksum:016x}")
        if self.flags & FLAG_NO_CHECKSUM:
            self.validate_newer()
        elif not self.is_snapshot and not self.pre_apply_checksum & CHECKSUM_FLAG:
            raise LtxError(f"pre-apply checksum {self.pre_apply_checksum:016x} lacks bit 63")
        if self.wal_offset < 0 or self.wal_size < 0:
            raise LtxError(f"WAL offset {self.wal_offset} and size {self.wal_size} cannot be negative")
        if self.wal_offset == 0 and self.wal_size != 0:
            raise LtxError(f"WAL size {self.wal_size} without a WAL offset")

    def validate_newer(self) -> None:
        """What the newer formats ask for besides."""
        if not self.has_checksums and self.pre_apply_checksum != 0:
            raise LtxError(
                f"pre-apply checksum {self.pre_apply_checksum:016x} in a file whose flag 0x2 says it has none"
            )
        if self.wal_offset == 0 and (self.wal_salt1 or self.wal_salt2):
            raise LtxError("WAL salts without a WAL offset")


@dataclass(frozen=True, slots=True)
class Trailer:
    """An LTX file's last 16 bytes."""

    post_apply_checksum: int
    """The database's checksum after the transaction."""
    file_checksum: int
    """CRC over header, uncompressed page block and post-apply checksum."""

    def pack(self) -> bytes:
        return _TRAILER.pack(self.post_apply_checksum, self.file_checksum)

    @classmethod
    def unpack(cls, data: Buffer) -> "Trailer":
        """Read the trailer from its 16 bytes; LtxError if they are not 16."""
        if len(data) != TRAILER_SIZE:
            raise LtxError(f"{len(data)} bytes where an LTX trailer takes {TRAILER_SIZE}")
        return cls(*_TRAILER.unpack(data))


def format_txid(txid: int) -> str:
    """A TXID as LiteFS writes it: 16 lower-case hex digits."""
    return f"{txid:016x}"


def format_filename(min_txid: int, max_txid: int) -> str:
    return f"{min_txid:016x}-{max_txid:016x}.ltx"


def parse_filename(name: str) -> tuple[int, int] | None:
    """(min TXID, max TXID) of an LTX file's name, or None if it is not one."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return int(match[1], 16), int(match[2], 16)
