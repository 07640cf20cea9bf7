"""The write-ahead log: pages as a transaction left them, in the order they were written.

    header, 32 bytes:  magic | version | page size | checkpoint number | salt 1 | salt 2 | checksum 1 | 2
    frame:             page number | commit | salt 1 | salt 2 | checksum 1 | checksum 2 | the page

All integers are big-endian; `commit` is the database's size in pages on the frame that completes a
transaction and 0 on every other. The rule: a frame counts if its salts are the header's and its
checksum, which runs on from the header over every frame before it, holds; the first that does not
ends the log, for what follows is left from an earlier round.

The checksum reads its input as 32-bit words w (little-endian for magic ...82, big-endian for ...83),
two at a time: s1 += w + s2, then s2 += next w + s1. Written as one row of numbers s1, s2, s1', s2', ...
every number is the sum of the two before it and a word: Fibonacci's rule. So a word that came k places
ago has grown by the Fibonacci number F(k+1), and the checksum of a whole page is a dot product with
those numbers modulo 2**32, which numpy does much faster than a loop (docs/compare.md).
Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer, ReadAt
from pylitefs.sqlite.header import is_page_size

if TYPE_CHECKING:
    from pylitefs.numeric import np

WAL_MAGIC_LE = 0x377F0682
WAL_MAGIC_BE = 0x377F0683
WAL_VERSION = 3007000
WAL_HEADER_SIZE = 32
FRAME_HEADER_SIZE = 24
SHORT = 48
"""Bytes up to which a loop is quicker than NumPy: the headers of the WAL and of its index."""

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MASK = 0xFFFFFFFF


def wal_checksum(data: Buffer, s1: int, s2: int, big_endian: bool) -> tuple[int, int]:
    """The WAL checksum of `data` (a multiple of 8 bytes), running on from (s1, s2); (0, 0) at first."""
    if len(data) % 8:
        raise ValueError(f"a WAL checksum takes whole pairs of 32-bit words, not {len(data)} bytes")
    if len(data) > SHORT:
        return _page_checksum(data, s1, s2, big_endian)
    for first, second in struct.iter_unpack(">II" if big_endian else "<II", data):
        s1 = (s1 + first + s2) & _MASK
        s2 = (s2 + second + s1) & _MASK
    return s1, s2


def _page_checksum(data: Buffer, s1: int, s2: int, big_endian: bool) -> tuple[int, int]:
    numpy, little, big = _numpy()
    words = numpy.frombuffer(data, big if big_endian else little)
    weights, f0, f1, f2 = _fibonacci(len(words))
    if big_endian:
        words = words.astype(numpy.uint32)
    sum1, sum2 = weights.dot(words).tolist()
    return (sum1 + s1 * f0 + s2 * f1) & _MASK, (sum2 + s1 * f1 + s2 * f2) & _MASK


@cache
def _numpy() -> tuple[ModuleType, "np.dtype[np.uint32]", "np.dtype[np.uint32]"]:
    """It, and its words of both orders. Loaded for the first page: an applier sums up headers alone."""
    from pylitefs.numeric import np

    return np, np.dtype("<u4"), np.dtype(">u4")


@cache
def _fibonacci(count: int) -> tuple["np.typing.NDArray[np.uint32]", int, int, int]:
    """The weight of each of `count` words in s1 (row 0) and s2 (row 1); F(count-1), F(count), F(count+1)."""
    numpy, *_ = _numpy()
    row = [1, 0]  # F(-1), F(0)
    for _ in range(count + 1):
        row.append((row[-1] + row[-2]) & _MASK)
    numbers = row[1:]  # F(0) ... F(count + 1)
    weights = numpy.array([numbers[:count][::-1], numbers[1 : count + 1][::-1]], dtype=numpy.uint32)
    return weights, row[count], row[count + 1], row[count + 2]


@dataclass(frozen=True, slots=True)
class WalHeader:
    """The WAL's first 32 bytes."""

    page_size: int
    checkpoint_seq: int
    salt1: int
    salt2: int
    checksum1: int = 0
    checksum2: int = 0
    big_endian: bool = False
    """Whether the checksums read their input as big-endian words."""

    @classmethod
    def parse(cls, data: Buffer) -> "WalHeader":
        """Read and verify the header.

        Raises SqliteFormatError if the bytes are too few, or magic, version, page size or checksum are
        not SQLite's: such a WAL holds no frames.
        """
        if len(data) < WAL_HEADER_SIZE:
            raise SqliteFormatError(f"not a WAL: {len(data)} bytes, and its header takes {WAL_HEADER_SIZE}")
        magic, version, page_size, seq, salt1, salt2, sum1, sum2 = _HEADER.unpack_from(data)
        if magic not in (WAL_MAGIC_LE, WAL_MAGIC_BE):
            raise SqliteFormatError(f"not a WAL: it begins {magic:08x}, not 377f0682 or 377f0683")
        if not is_page_size(page_size):
            raise SqliteFormatError(f"not a WAL: its header gives a page size of {page_size}")
        header = cls(page_size, seq, salt1, salt2, sum1, sum2, magic == WAL_MAGIC_BE)
        if wal_checksum(data[:24], 0, 0, header.big_endian) != (sum1, sum2):
            raise SqliteFormatError("the WAL header's checksum does not hold")
        if version != WAL_VERSION:
            raise SqliteFormatError(f"a WAL of version {version}; SQLite knows {WAL_VERSION} alone")
        return header

    def pack(self) -> bytes:
        """The 32 bytes, with the checksum computed anew from the other fields."""
        magic = WAL_MAGIC_BE if self.big_endian else WAL_MAGIC_LE
        start = struct.pack(
            ">6I", magic, WAL_VERSION, self.page_size, self.checkpoint_seq, self.salt1, self.salt2
        )
        return start + struct.pack(">II", *wal_checksum(start, 0, 0, self.big_endian))

    @property
    def frame_size(self) -> int:
        """A frame's bytes: its header and a page."""
        return FRAME_HEADER_SIZE + self.page_size


class FrameHeader(NamedTuple):
    """The 24 bytes before each page in the WAL."""

    pgno: int
    commit: int
    salt1: int
    salt2: int
    checksum1: int
    checksum2: int

    @classmethod
    def parse(cls, data: Buffer) -> "FrameHeader":
        """Read the fields from the first 24 bytes; `scan` is what verifies them."""
        return cls._make(_FRAME.unpack_from(data))

    def pack(self) -> bytes:
        return _FRAME.pack(*self)


def frame_checksum(frame_header: Buffer, page: Buffer, s1: int, s2: int, big_endian: bool) -> tuple[int, int]:
    """The running checksum after a frame: over the first 8 bytes of its header, then over its page."""
    w1, w2 = struct.unpack_from(">II" if big_endian else "<II", frame_header)
    s1 = (s1 + w1 + s2) & _MASK
    s2 = (s2 + w2 + s1) & _MASK
    return wal_checksum(page, s1, s2, big_endian)


def frame_offset(index: int, page_size: int) -> int:
    """Where frame `index` begins in the WAL; frames count from 1, as in SQLite's WAL index."""
    return WAL_HEADER_SIZE + (index - 1) * (FRAME_HEADER_SIZE + page_size)


def frame_at(offset: int, page_size: int) -> int:
    """The index (from 1) of the frame that the byte at `offset` belongs to; 0 for the WAL header."""
    if offset < WAL_HEADER_SIZE:
        return 0
    return (offset - WAL_HEADER_SIZE) // (FRAME_HEADER_SIZE + page_size) + 1


@dataclass(frozen=True, slots=True)
class WalFrame:
    """A frame that `scan` found valid."""

    index: int
    """From 1."""
    pgno: int
    commit: int
    """The database's size in pages if this frame completes a transaction, else 0."""
    checksum1: int
    checksum2: int
    """The running checksum after this frame: where a later scan goes on from."""


def scan(
    read_at: ReadAt,
    size: int,
    header: WalHeader,
    *,
    first: int = 1,
    checksum: tuple[int, int] | None = None,
) -> Iterator[WalFrame]:
    """Every valid frame of a WAL of `size` bytes, in order, ending before the first that is not.

    To go on from a frame known to be valid, give `first` as the index after it and `checksum` as its
    (checksum1, checksum2). A partial last frame is not looked at.
    """
    s1, s2 = checksum if checksum is not None else (header.checksum1, header.checksum2)
    offset, index = frame_offset(first, header.page_size), first
    while offset + header.frame_size <= size:
        raw = read_at(offset, header.frame_size)
        if len(raw) < header.frame_size:
            return
        frame = FrameHeader.parse(raw)
        if frame.pgno == 0 or (frame.salt1, frame.salt2) != (header.salt1, header.salt2):
            return
        s1, s2 = frame_checksum(raw, memoryview(raw)[FRAME_HEADER_SIZE:], s1, s2, header.big_endian)
        if (s1, s2) != (frame.checksum1, frame.checksum2):
            return
        yield WalFrame(index, frame.pgno, frame.commit, s1, s2)
        offset += header.frame_size
        index += 1


def frames_up_to(read_at: ReadAt, last: int, header: WalHeader) -> Iterator[WalFrame]:
    """The frames up to this one, whatever their salts and checksums are: for who knows from elsewhere that
    they count. (SQLite 3.40 leaves zeros in some that its readers see.)"""
    for index in range(1, last + 1):
        raw = read_at(frame_offset(index, header.page_size), FRAME_HEADER_SIZE)
        if len(raw) < FRAME_HEADER_SIZE:
            return
        frame = FrameHeader.parse(raw)
        yield WalFrame(index, frame.pgno, frame.commit, frame.checksum1, frame.checksum2)


@dataclass(frozen=True, slots=True)
class CommittedWal:
    """What the committed transactions of a WAL amount to."""

    frames: dict[int, int]
    """The newest committed frame's index for each page number up to `commit`."""
    commit: int
    """The database's size in pages after the last commit; 0 if there is none."""
    last_index: int
    """The last commit frame's index; 0 if there is none."""
    checksum1: int
    checksum2: int
    """The running checksum after the last commit frame."""


def committed(frames: Iterable[WalFrame], header: WalHeader) -> CommittedWal:
    """Fold the frames of `scan` into the state after the last commit; frames past it are left out."""
    pages: dict[int, int] = {}
    open_pages: dict[int, int] = {}
    last = WalFrame(0, 0, 0, header.checksum1, header.checksum2)
    for frame in frames:
        open_pages[frame.pgno] = frame.index
        if frame.commit:
            pages.update(open_pages)
            open_pages.clear()
            last = frame
    kept = {pgno: index for pgno, index in pages.items() if pgno <= last.commit}
    return CommittedWal(kept, last.commit, last.index, last.checksum1, last.checksum2)
