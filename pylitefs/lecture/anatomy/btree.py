"""A page of a database taken apart: its b-tree header, its cells, and the space between them.

Not every page belongs to a b-tree. Nothing in an overflow page, a page of the free list or of the pointer map
says which of these it is. So such a page is shown as "no b-tree page". The rule is that of every anatomy:
all bytes, in order.
Format: https://www.sqlite.org/fileformat2.html#b_tree_pages
"""

from pylitefs.lecture.anatomy.fields import Builder, Field
from pylitefs.lecture.anatomy.records import Cell, read_cell
from pylitefs.lecture.model import Part
from pylitefs.sqlite.btree import INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DATABASE_MAGIC

PAGE_TYPES = {
    INTERIOR_INDEX: "index interior page",
    INTERIOR_TABLE: "table interior page",
    LEAF_INDEX: "index leaf page",
    LEAF_TABLE: "table leaf page",
}


def _type(data: bytes) -> str:
    return PAGE_TYPES.get(data[0], f"{data[0]}: of no b-tree") if data else ""


def _content_start(data: bytes) -> str:
    return f"{int.from_bytes(data, 'big') or 65536:,}"


HEADER = (
    Field(
        1,
        "page type",
        "Whether the page belongs to a table or an index, and is a leaf or above leaves.",
        "flag",
        _type,
    ),
    Field(2, "first freeblock", "Where the first gap between cells begins; 0 if there is none.", "field"),
    Field(2, "cell count", "How many cells, so rows or index entries, the page has.", "count"),
    Field(
        2,
        "cell content start",
        "Where the cells begin; they grow from the page's end backwards.",
        "field",
        _content_start,
    ),
    Field(1, "fragmented bytes", "Bytes in gaps too small for a freeblock.", "count"),
)
RIGHT_CHILD = Field(4, "right child", "The page with everything greater than this page's last cell.", "page")
POINTER = Field(2, "cell pointer", "Where in the page the cell lies, in the order of the keys.", "field")
_UNALLOCATED = "Free: new cell pointers take it from the front, new cells from the back."
_GAP = "Free: what deleted or shortened cells left."
_MOST_CELLS = 400


def page_summary(page: bytes, pgno: int) -> str:
    """A page in a few words: "table leaf page, 3 cells"."""
    head = page[DATABASE_HEADER_SIZE:] if pgno == 1 and page[:16] == DATABASE_MAGIC else page
    if not any(page):
        return "all zero"
    count = int.from_bytes(head[3:5], "big")
    if len(head) < 8 or head[0] not in PAGE_TYPES or 8 + 4 * count > len(head):
        return "no b-tree page"
    start = "database header, " if head is not page else ""
    return f"{start}{PAGE_TYPES[head[0]]}, {count} {'cell' if count == 1 else 'cells'}"


def btree_parts(page: bytes, base: int, start: int, reserved: int = 0) -> tuple[Part, ...]:
    """The parts of a whole page from `start` (100 in page 1) on; `base` is the page's place in the file."""
    build = Builder(page, base)
    build.at = start
    usable = len(page) - reserved if reserved < len(page) else len(page)
    kind = page[start] if start < len(page) else 0
    if kind not in PAGE_TYPES or len(page) < start + 12:
        meaning = "An overflow page, one of the free list, or a pointer map: nothing in it says which."
        build.rest("page", meaning, value="all zero" if not any(page[start:]) else "", kind="content")
        return tuple(build.parts)
    head = build.fields(HEADER)
    if kind in (INTERIOR_INDEX, INTERIOR_TABLE):
        build.field(RIGHT_CHILD)
    count = max(min(int.from_bytes(head[2], "big"), (usable - build.at) // 2), 0)
    shown = min(count, _MOST_CELLS)
    offsets = [int.from_bytes(page[build.at + 2 * n :][:2], "big") for n in range(shown)]
    for number in range(shown):
        build.field(POINTER, more=f"This is cell {number + 1}.")
    if shown < count:
        build.content(2 * (count - shown), "cell pointers", "Of the other cells.", kind="field")
        build.content(usable - build.at, "cells", "Too many to show one by one.")
    else:
        _cells(build, kind, offsets, usable)
    build.rest("reserved", "Kept free for extensions, as the database header says.")
    return tuple(build.parts)


def _cells(build: Builder, kind: int, offsets: list[int], usable: int) -> None:
    """The cells where they lie, what overlaps left out, and the gaps between them."""
    numbers = {offset: number + 1 for number, offset in enumerate(offsets)}
    found = (read_cell(build.data, offset, kind, usable) for offset in sorted(numbers))
    cells: list[Cell] = [cell for cell in found if cell is not None]
    is_first = True
    for cell in cells:
        if cell.offset < build.at:
            continue
        _gap(build, cell.offset, is_first)
        is_first = False
        meaning = "A row of the table." if kind == LEAF_TABLE else "An entry of the b-tree."
        if kind == LEAF_TABLE and ": NULL" in cell.text:
            meaning += " An INTEGER PRIMARY KEY is the rowid itself, and stored as NULL."
        build.content(cell.length, f"cell {numbers[cell.offset]}", meaning, value=cell.text)
    _gap(build, usable, is_first)


def _gap(build: Builder, end: int, is_first: bool) -> None:
    if end > build.at:
        name, meaning = ("unallocated", _UNALLOCATED) if is_first else ("free space", _GAP)
        build.content(end - build.at, name, meaning, kind="unused")
