"""The WAL index (`-shm`): SQLite's map of the WAL in shared memory, and how it tells readers of a change.

The 48-byte header stands twice at the start. A reader takes it only if both copies are equal and the
checksum holds, and reads the database anew when it differs from the one it saw before; so who changes
a database from outside writes the pages first and the header last. All integers are native-endian;
this module writes little-endian, as every machine that runs it does.
Format: https://www.sqlite.org/walformat.html#the_wal_index_file_format
"""

import struct
from dataclasses import dataclass

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.wal import WAL_VERSION, wal_checksum

WAL_INDEX_SIZE = 32768
"""The first (and, without frames, only) block of a `-shm`."""
INDEX_HEADER_SIZE = 48
SECOND_HEADER_OFFSET = 48
CHECKPOINT_INFO_OFFSET = 96
"""u32 nBackfill, then the five read marks."""
READ_MARKS_OFFSET = 100
LOCK_BYTES_OFFSET = 120
BACKFILL_ATTEMPTED_OFFSET = 128
INDEX_PREFIX_SIZE = 136
"""Both headers and the checkpoint info; the hash tables follow."""
READ_MARK_UNUSED = 0xFFFFFFFF

_FIELDS = struct.Struct("<IIIBBHII4I")
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WalIndexHeader:
    """One copy of the header."""

    page_size: int
    max_frame: int
    """mxFrame: the last frame that readers may use; commits are published by raising it."""
    page_count: int
    change: int
    """iChange: raised by every transaction."""
    frame_checksum1: int = 0
    frame_checksum2: int = 0
    """The running WAL checksum after mxFrame."""
    salt1: int = 0
    salt2: int = 0
    """As in the WAL header."""
    is_init: bool = True
    big_endian_checksum: bool = False
    version: int = WAL_VERSION

    @classmethod
    def parse(cls, data: Buffer) -> "WalIndexHeader":
        """Read and verify a header from its 48 bytes.

        Raises SqliteFormatError if they are too few, not initialised, or their checksum does not hold
        (which is also what a reader sees while SQLite is just writing them).
        """
        if len(data) < INDEX_HEADER_SIZE:
            raise SqliteFormatError(f"not a WAL index header: {len(data)} of {INDEX_HEADER_SIZE} bytes")
        (version, _, change, is_init, big_endian, page_size, max_frame, page_count, sum1, sum2) = (
            _FIELDS.unpack_from(data)[:10]
        )
        # The salts are copied from the WAL byte for byte, so they are big-endian here too.
        salt1, salt2 = struct.unpack_from(">II", data, 32)
        if wal_checksum(data[:40], 0, 0, False) != struct.unpack_from("<II", data, 40):
            raise SqliteFormatError("the WAL index header's checksum does not hold")
        if not is_init:
            raise SqliteFormatError("the WAL index header is not initialised")
        return cls(
            page_size=(page_size & 0xFF00) | ((page_size & 1) << 16),
            max_frame=max_frame,
            page_count=page_count,
            change=change,
            frame_checksum1=sum1,
            frame_checksum2=sum2,
            salt1=salt1,
            salt2=salt2,
            is_init=bool(is_init),
            big_endian_checksum=bool(big_endian),
            version=version,
        )

    def pack(self) -> bytes:
        """The 48 bytes, with the checksum computed anew."""
        start = struct.pack(
            "<IIIBBHIIII",
            self.version,
            0,
            self.change & _MASK,
            self.is_init,
            self.big_endian_checksum,
            (self.page_size & 0xFF00) | (self.page_size >> 16),
            self.max_frame,
            self.page_count,
            self.frame_checksum1,
            self.frame_checksum2,
        ) + struct.pack(">II", self.salt1, self.salt2)
        return start + struct.pack("<II", *wal_checksum(start, 0, 0, False))


def read_header(data: Buffer) -> WalIndexHeader | None:
    """The header of a `-shm` as a reader would take it: both copies equal and valid; else None."""
    if len(data) < CHECKPOINT_INFO_OFFSET or bytes(data[:48]) != bytes(data[48:96]):
        return None
    try:
        return WalIndexHeader.parse(data[:48])
    except SqliteFormatError:
        return None


def empty_prefix(page_size: int, page_count: int, change: int) -> bytes:
    """The 136 bytes before the hash tables of an index over an empty WAL: all of it that is not zero."""
    header = WalIndexHeader(page_size, 0, page_count, change).pack()
    marks = struct.pack("<6I", 0, 0, *[READ_MARK_UNUSED] * 4)
    return (header + header + marks).ljust(INDEX_PREFIX_SIZE, b"\0")


def empty_index(page_size: int, page_count: int, change: int) -> bytes:
    """A whole 32,768-byte `-shm` over an empty WAL, for a database of `page_count` pages.

    `change` is written as it is (modulo 2**32); a caller that announces a change adds one to the old.
    """
    return empty_prefix(page_size, page_count, change).ljust(WAL_INDEX_SIZE, b"\0")
