"""An overflow page that changed alone: whose row it is.

SQLite writes into an overflow page in place where a new value is as long as the old one, and a blob is
written to bit by bit. Then the page with the row itself does not change, and nothing in an overflow page says
whose it is. In a database with auto-vacuum the pointer map does; in all others the tables are read until it
is found.

The rule: what is found is proven by the chain that begins at the row. That tables had to be read is told.
"""

from collections.abc import Iterator

from pylitefs.errors import RestoreError, SqliteFormatError
from pylitefs.rows.side import Side
from pylitefs.sqlite.btree import INTERIOR_TABLE, KINDS, Node
from pylitefs.sqlite.freelist import trunks
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.sqlite.tree import nodes

_FIRST, _NEXT = 3, 4
"""What the pointer map says of overflow pages: the first of a chain, and the others."""
_ENTRY_SIZE = 5


def loose_pages(side: Side, changed: set[int], free: set[int]) -> set[int]:
    """The changed pages that may be overflow pages, and that no changed page of a b-tree leads to."""
    here = {pgno for pgno in changed if side.has(pgno) and not is_pointer_map(side, pgno)}
    trees = {pgno for pgno in here if side.kind(pgno) in KINDS}
    loose = here - trees - free
    if loose:
        loose -= {trunk for trunk, _ in trunks(side.pages.read, side.page_count)}
    for pgno in sorted(trees):
        if not loose:
            break
        try:
            loose.difference_update(_chains(side, side.node(pgno)))
        except (RestoreError, SqliteFormatError):
            continue  # An old page that nobody uses: it looks like one of a b-tree, and leads anywhere.
    return loose


def rows_of_loose(side: Side, loose: set[int]) -> tuple[dict[str, set[int]], bool]:
    """The pages with the rows that they belong to, by table; and whether tables were read for that."""
    found: dict[str, set[int]] = {}
    if side.is_auto_vacuum:
        for pgno in loose:
            leaf = _by_pointer_map(side, pgno)
            owner = side.owner(leaf) if leaf else None
            if owner is not None:
                found.setdefault(owner.name, set()).add(leaf)
        return found, False
    left = set(loose)
    for one in side.schema.tables.values():
        if not one.root:
            continue
        for node in nodes(side.pages, one.root):
            if not left:
                return found, True
            hit = left & set(_chains(side, node))
            if hit:
                found.setdefault(one.name, set()).add(node.pgno)
                left -= hit
    return found, True


def is_pointer_map(side: Side, pgno: int) -> bool:
    """Whether it is a page of the pointer map."""
    return side.is_auto_vacuum and _map_page(side, pgno) == pgno


def _map_page(side: Side, pgno: int) -> int:
    """The page of the pointer map that speaks of a page, or the page itself if it is one."""
    if pgno < 2:
        return 0
    group = side.pages.usable // _ENTRY_SIZE + 1
    found = (pgno - 2) // group * group + 2
    return found + (found == lock_pgno(side.header.page_size))


def _by_pointer_map(side: Side, pgno: int) -> int:
    """The page of a b-tree from which a chain of overflow pages leads to this one; 0 if there is none."""
    for _ in range(side.page_count):
        page = _map_page(side, pgno)
        at = _ENTRY_SIZE * (pgno - page - 1)
        kind, *rest = side.pages.read(page)[at : at + _ENTRY_SIZE]
        parent = int.from_bytes(bytes(rest), "big")
        if kind == _FIRST:
            return parent
        if kind != _NEXT or not side.has(parent):
            return 0
        pgno = parent
    return 0


def _chains(side: Side, node: Node) -> Iterator[int]:
    """All overflow pages of a page's cells."""
    if node.kind == INTERIOR_TABLE:
        return
    for number in range(node.count):
        if node.payload(number).overflow:
            yield from side.pages.overflow_pages(node, number)
