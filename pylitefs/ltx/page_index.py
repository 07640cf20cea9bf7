"""The index at the end of the newer LTX formats: where in the file each page's frame is.

    for each page: page number, offset of its frame, bytes of its frame       (varints)
    then one 0, then u64: bytes of all this without the u64

A varint has 7 bits a byte, the least significant first; a set bit 7 says that another byte follows.
The rule: the frames decide what the index must be, byte for byte. So a reader sums up what it has to be
while it reads the pages, in constant memory, and compares.
"""

from collections.abc import Iterator

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import crc64

SIZE_SIZE = 8


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
