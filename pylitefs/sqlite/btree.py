"""A page of a b-tree, and its cells: what a table or an index keeps in one page.

    header      type | first freeblock | cell count | content start | fragmented bytes | right child
    pointers    where each cell lies, u16, in the order of the keys
    cells       interior table: left child, rowid              leaf table: payload size, rowid, payload
                interior index: left child, size, payload      leaf index: payload size, payload

What does not fit of a payload goes on in overflow pages: u32 next page, then bytes.
The rule: nothing is trusted. A cell that leaves its page is an error that names the page.
Format: https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

import struct
from dataclasses import dataclass

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE
from pylitefs.sqlite.records import signed, varint

INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE = 2, 5, 10, 13
INTERIOR = (INTERIOR_INDEX, INTERIOR_TABLE)
KINDS = (INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE)
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")


def local_size(payload: int, kind: int, usable: int) -> int:
    """How much of a payload lies in the page itself; `usable` is the page without reserved bytes."""
    most = usable - 35 if kind == LEAF_TABLE else (usable - 12) * 64 // 255 - 23
    if payload <= most:
        return payload
    least = (usable - 12) * 32 // 255 - 23
    wanted = least + (payload - least) % (usable - 4)
    return wanted if wanted <= most else least


@dataclass(frozen=True, slots=True)
class Payload:
    """A cell's payload: how long it is, what of it lies here, and where it goes on (0: nowhere)."""

    size: int
    local: memoryview
    overflow: int


class Node:
    """One page of a b-tree."""

    __slots__ = ("_page", "_pointers", "_usable", "count", "kind", "pgno", "right")

    def __init__(self, pgno: int, page: Buffer, usable: int) -> None:
        """Raises SqliteFormatError if it is no page of a b-tree."""
        start = DATABASE_HEADER_SIZE if pgno == 1 else 0
        self.pgno = pgno
        self._page = memoryview(page)
        self._usable = usable
        self.kind = page[start]
        self.count = _U16.unpack_from(page, start + 3)[0]
        self._pointers = start + (12 if self.is_interior else 8)
        self.right = _U32.unpack_from(page, start + 8)[0] if self.is_interior else 0
        if self.kind not in KINDS or self._pointers + 2 * self.count > usable:
            raise SqliteFormatError(f"page {pgno} is no page of a b-tree")

    @property
    def is_interior(self) -> bool:
        return self.kind in INTERIOR

    @property
    def is_table(self) -> bool:
        """Whether its keys are rowids."""
        return self.kind in (INTERIOR_TABLE, LEAF_TABLE)

    def child(self, number: int) -> int:
        """The page with what comes before cell `number`; after the last one it is the right child."""
        if number == self.count:
            return self.right
        return int(_U32.unpack_from(self._page, self._cell(number, 4))[0])

    def children(self) -> list[int]:
        """All pages below, in the order of the keys; [] of a leaf."""
        return [self.child(number) for number in range(self.count + 1)] if self.is_interior else []

    def rowid(self, number: int) -> int:
        """The rowid of a cell of a table."""
        at = self._cell(number, 2)
        if self.kind == INTERIOR_TABLE:
            return signed(self._varint(at + 4)[0])
        return signed(self._varint(self._varint(at)[1])[0])

    def payload(self, number: int) -> Payload:
        """The payload of a cell (an interior page of a table has none)."""
        size, at = self._varint(self._cell(number, 2) + (4 if self.is_interior else 0))
        if self.kind == LEAF_TABLE:
            at = self._varint(at)[1]
        local = local_size(size, self.kind, self._usable)
        end = at + local
        if end + (4 if local < size else 0) > self._usable:
            raise SqliteFormatError(f"cell {number} of page {self.pgno} leaves its page")
        overflow = _U32.unpack_from(self._page, end)[0] if local < size else 0
        return Payload(size, self._page[at:end], overflow)

    def _cell(self, number: int, least: int) -> int:
        at = int(_U16.unpack_from(self._page, self._pointers + 2 * number)[0])
        if at + least > self._usable:
            raise SqliteFormatError(f"cell {number} of page {self.pgno} lies outside of it")
        return at

    def _varint(self, at: int) -> tuple[int, int]:
        found = varint(self._page, at)
        if found is None:
            raise SqliteFormatError(f"page {self.pgno} ends within a cell")
        return found
