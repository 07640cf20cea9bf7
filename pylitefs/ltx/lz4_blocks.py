"""The blocks of an LZ4 frame, for reading in its middle.

LiteFS and we make frames of independent blocks, 64 KiB each before compression but for the last. So byte N
lies in block N / 64 KiB, and only that one is decompressed.
The rule: a frame of another make is told (`IrregularError`) and never guessed at.
"""

from collections import OrderedDict

from pylitefs.errors import LtxChecksumError
from pylitefs.ltx.formats import LZ4_FRAME_MAGIC
from pylitefs.ltx.libraries import lz4_block
from pylitefs.sqlite import ReadAt

_START_SIZE = 7
_INDEPENDENT, _BLOCK_CHECKSUM, _SIZE_OR_DICTIONARY = 0x20, 0x10, 0x09
_PLAIN = 0x80000000
_MOST_KEPT = 8


class IrregularError(Exception):
    """The frame's blocks cannot be told apart without decompressing all before."""


class Lz4Blocks:
    """Reads the frame that begins at `start`; its bytes end before `end`."""

    def __init__(self, read: ReadAt, start: int, end: int) -> None:
        """Raises IrregularError, LtxChecksumError for a frame that is damaged."""
        head = read(start, _START_SIZE)
        if head[:4] != LZ4_FRAME_MAGIC or len(head) < _START_SIZE:
            raise IrregularError
        flags, kind = head[4], head[5] >> 4 & 7
        if not flags & _INDEPENDENT or flags & _SIZE_OR_DICTIONARY or not 4 <= kind <= 7:
            raise IrregularError
        self._read = read
        self._block_size = 1 << (8 + 2 * kind)
        self._places = self._find_blocks(start + _START_SIZE, end, 4 if flags & _BLOCK_CHECKSUM else 0)
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        last = len(self._places) - 1
        self.size = last * self._block_size + len(self._block(last)) if self._places else 0

    def read(self, offset: int, size: int) -> bytes:
        """Decompressed bytes; fewer only at the end."""
        parts: list[bytes] = []
        while size > 0:
            number, skipped = divmod(offset, self._block_size)
            if number >= len(self._places):
                break
            part = self._block(number)[skipped : skipped + size]
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def _find_blocks(self, at: int, end: int, extra: int) -> list[tuple[int, int, bool]]:
        """Offset and size of each block, and whether it is stored as it is."""
        places: list[tuple[int, int, bool]] = []
        while True:
            head = self._read(at, 4)
            number = int.from_bytes(head, "little")
            size = number & ~_PLAIN
            if len(head) < 4 or at + 4 + size > end:
                raise LtxChecksumError("its LZ4 frame has no end: the file is damaged or torn")
            if number == 0:
                return places
            places.append((at + 4, size, bool(number & _PLAIN)))
            at += 4 + size + extra

    def _block(self, number: int) -> bytes:
        found = self._kept.get(number)
        if found is not None:
            return found
        at, size, is_plain = self._places[number]
        data = self._read(at, size)
        if not is_plain:
            try:
                data = lz4_block.decompress(data, uncompressed_size=self._block_size)
            except (lz4_block.LZ4BlockError, ValueError, MemoryError) as error:
                raise LtxChecksumError(f"an LZ4 block of it cannot be decompressed ({error})") from error
        if len(data) != self._block_size and number < len(self._places) - 1:
            raise IrregularError
        self._kept[number] = data
        if len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return data
