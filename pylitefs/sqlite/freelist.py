"""The free list of a database: the pages that no table or index uses.

    page 1, offset 32:  u32 first trunk page | u32 how many free pages
    a trunk page:       u32 next trunk page (0: none) | u32 n | n leaf pages, u32 each

The rule that makes leaves special: SQLite takes a leaf into use without journaling what was in it, since it
meant nothing. So a rollback leaves other bytes there than before, and nowhere else.
Format: https://www.sqlite.org/fileformat2.html#the_freelist
"""

import struct
from collections.abc import Callable, Iterator

from pylitefs.sqlite import Buffer

_LIST = struct.Struct(">II")
_LIST_OFFSET = 32


def free_leaves(read_page: Callable[[int], Buffer], page_count: int) -> set[int]:
    """The leaf pages of the free list; a list that is no list ends where it begins to be none."""
    leaves: set[int] = set()
    for _, page in trunks(read_page, page_count):
        leaves |= _leaves(page, page_count)
    return leaves


def changed_leaves(read_page: Callable[[int], Buffer], page_count: int, changed: set[int]) -> set[int]:
    """The leaves that the trunk pages among `changed` name: those that became free lately are among them."""
    leaves: set[int] = set()
    for trunk, page in trunks(read_page, page_count):
        if trunk in changed:
            leaves |= _leaves(page, page_count)
    return leaves


def trunks(read_page: Callable[[int], Buffer], page_count: int) -> Iterator[tuple[int, Buffer]]:
    """Number and bytes of each trunk page; a list that is no list ends where it begins to be none."""
    seen: set[int] = set()
    trunk, _ = _LIST.unpack_from(read_page(1), _LIST_OFFSET)
    while 1 < trunk <= page_count and trunk not in seen:
        seen.add(trunk)
        page = read_page(trunk)
        yield trunk, page
        trunk, count = _LIST.unpack_from(page)
        if count > len(page) // 4 - 2:
            break


def _leaves(page: Buffer, page_count: int) -> set[int]:
    _, count = _LIST.unpack_from(page)
    if count > len(page) // 4 - 2:
        return set()
    found = struct.unpack_from(f">{count}I", page, _LIST.size)
    return {pgno for pgno in found if 1 < pgno <= page_count}
