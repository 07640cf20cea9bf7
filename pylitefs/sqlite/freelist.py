"""The free list of a database: the pages that no table or index uses.

    page 1, offset 32:  u32 first trunk page | u32 how many free pages
    a trunk page:       u32 next trunk page (0: none) | u32 n | n leaf pages, u32 each

The rule that makes leaves special: SQLite takes a leaf into use without journaling what was in it, since it
meant nothing. So a rollback leaves other bytes there than before, and nowhere else.
Format: https://www.sqlite.org/fileformat2.html#the_freelist
"""

import struct
from collections.abc import Callable

from pylitefs.sqlite import Buffer

_LIST = struct.Struct(">II")
_LIST_OFFSET = 32


def free_leaves(read_page: Callable[[int], Buffer], page_count: int) -> set[int]:
    """The leaf pages of the free list; a list that is no list ends where it begins to be none."""
    leaves: set[int] = set()
    trunks: set[int] = set()
    trunk, _ = _LIST.unpack_from(read_page(1), _LIST_OFFSET)
    while 1 < trunk <= page_count and trunk not in trunks:
        trunks.add(trunk)
        page = read_page(trunk)
        trunk, count = _LIST.unpack_from(page)
        if count > len(page) // 4 - 2:
            break
        found = struct.unpack_from(f">{count}I", page, _LIST.size)
        leaves.update(pgno for pgno in found if 1 < pgno <= page_count)
    return leaves
