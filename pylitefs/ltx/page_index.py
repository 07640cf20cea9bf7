"""The index at the end of the newer LTX formats: where in the file each page's frame is.

    for each page: page number, offset of its frame, bytes of its frame       (varints)
    then one 0, then u64: bytes of all this without the u64

A varint has 7 bits a byte, the least significant first; a set bit 7 says that another byte follows.
The rule: the frames decide what the index must be, byte for byte. So a reader sums up what it has to be
while it reads the pages, in constant memory, and compares.
"""

from collections.abc import Iterator
from typing import NamedTuple

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import crc64
from pylitefs.sqlite import ReadAt

SIZE_SIZE = 8
_LONGEST = 3 * 10
"""The most bytes that an entry can have."""
_SCAN = 2048
"""Bytes of an index that are read at once, rather than halved."""


class Entry(NamedTuple):
    """Where a page's frame is."""

    pgno: int
    offset: int
    size: int


def varint(number: int) -> bytes:
    """As Go's `binary.AppendUvarint`."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def entry(pgno: int, offset: int, size: int) -> bytes:
    """A page's part of the index."""
    return varint(pgno) + varint(offset) + varint(size)


def read_entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Page number, offset and size of each page in an index (without its u64); LtxError if it is none."""
    numbers: list[int] = []
    value = shift = 0
    for at, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        if not numbers and value == 0:
            if at != len(data) - 1:
                raise LtxError(f"the page index goes on after its end, at byte {at} of {len(data)}")
            return
        numbers.append(value)
        value = shift = 0
        if len(numbers) == 3:
            yield numbers[0], numbers[1], numbers[2]
            numbers = []
    raise LtxError("the page index has no end")


def find_entry(read: ReadAt, start: int, end: int, pgno: int) -> Entry | None:
    """A page's entry in the index that lies from `start` to `end` in a file; None if it has none.

    The index is halved again and again. Where an entry begins is seen from the one after it: each frame lies
    just behind the one before. Raises LtxError where it is no index.
    """
    low, high = start, end
    while high - low > _SCAN:
        middle = (low + high) // 2
        found = _first_entry(read(middle, 4 * _LONGEST))
        if found is None:
            raise LtxError(f"the page index has no entry near byte {middle}: the file is damaged")
        skipped, entry = found
        if entry.pgno <= pgno:
            low = middle + skipped
        else:
            high = middle
    window = read(low, min(end, high + _LONGEST) - low)
    at = 0
    while (found_here := _entry(window, at)) is not None:
        entry, at = found_here
        if entry.pgno >= pgno:
            return entry if entry.pgno == pgno else None
    return None


def _first_entry(window: bytes) -> tuple[int, Entry] | None:
    """Where the first whole entry begins in bytes from the middle of an index, and it."""
    begins = [at + 1 for at, byte in enumerate(window[:_LONGEST]) if byte < 0x80]
    for at in begins:
        one = _entry(window, at)
        other = _entry(window, one[1]) if one is not None else None
        if one is None or other is None:
            continue
        if other[0].offset == one[0].offset + one[0].size and other[0].pgno > one[0].pgno:
            return at, one[0]
    return None


def _entry(data: bytes, at: int) -> tuple[Entry, int] | None:
    """The entry that begins at `at`, and where the next one does; None at the end of data or index."""
    numbers: list[int] = []
    value = shift = 0
    for place in range(at, len(data)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte & 0x80:
            continue
        if not numbers and value == 0:
            return None
        numbers.append(value)
        value = shift = 0
        if len(numbers) == 3:
            return Entry(*numbers), place + 1
    return None


class ExpectedIndex:
    """What the index has to be, by the frames so far: its length and its CRC."""

    __slots__ = ("crc", "length")

    def __init__(self) -> None:
        self.length = 0
        self.crc = 0

    def add(self, pgno: int, offset: int, size: int) -> None:
        """A frame, in the order of the file."""
        data = entry(pgno, offset, size)
        self.length += len(data)
        self.crc = crc64(data, self.crc)

    def end(self) -> None:
        """All pages have been seen: the 0 at its end belongs to it."""
        self.length += 1
        self.crc = crc64(b"\0", self.crc)
