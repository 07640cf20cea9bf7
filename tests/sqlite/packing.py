"""What only SQLite writes, made by the tests: a WAL's frame, a super-journal's name in a journal."""

import os
import struct

from pylitefs.sqlite import Buffer
from pylitefs.sqlite.journal import JOURNAL_MAGIC
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.sqlite.wal import FrameHeader, WalHeader, frame_checksum


def pack_frame(
    header: WalHeader, pgno: int, commit: int, page: Buffer, checksum: tuple[int, int]
) -> tuple[bytes, tuple[int, int]]:
    """A whole frame that follows the running `checksum`, and the checksum after it."""
    start = struct.pack(">II", pgno, commit)
    s1, s2 = frame_checksum(start, page, *checksum, big_endian=header.big_endian)
    return FrameHeader(pgno, commit, header.salt1, header.salt2, s1, s2).pack() + bytes(page), (s1, s2)


def pack_super_journal(name: str, page_size: int) -> bytes:
    """What SQLite appends to a journal (at a whole sector where it syncs) to name its super-journal."""
    raw = os.fsencode(name)
    signed = sum(byte - 256 if byte > 127 else byte for byte in raw) & 0xFFFFFFFF
    return (
        lock_pgno(page_size).to_bytes(4, "big") + raw + struct.pack(">II8s", len(raw), signed, JOURNAL_MAGIC)
    )
