"""Pages of b-trees taken apart: header, cells, and the space between them."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.anatomy.btree import btree_parts, page_summary
from pylitefs.lecture.anatomy.database import anatomy
from tests.lecture.anatomies import assert_covers
from tests.lecture.anatomy.test_database import make_small


def free_bytes(page: bytes, start: int) -> int:
    """What the page itself says lies free between its cells: freeblocks, and fragments."""
    at, free = int.from_bytes(page[start + 1 : start + 3], "big"), page[start + 7]
    while at:
        free += int.from_bytes(page[at + 2 : at + 4], "big")
        at = int.from_bytes(page[at : at + 2], "big")
    return free


def test_every_byte_of_a_cell_belongs_to_it(tmp_path: Path) -> None:
    """Between the cells lies what the page itself counts as free: each cell is as long as it should be."""
    data = make_small(
        tmp_path / "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "CREATE INDEX i ON t(a)",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 60) "
        "INSERT INTO t SELECT x, printf('%0' || (x * 12) || 'd', x) FROM n",
        "DELETE FROM t WHERE id % 7 = 0",
    )
    parts = anatomy(data)
    assert_covers(parts, data)
    assert {"right child", "cell 1", "unallocated", "free space"} <= {part.name for part in parts}
    assert any("overflow page" in part.value for part in parts)
    for base in range(0, len(data), 512):
        page, start = data[base : base + 512], 0 if base else 100
        here = [part for part in parts if base <= part.offset < base + 512]
        if "page type" in {part.name for part in here}:
            assert sum(part.length for part in here if part.name == "free space") == free_bytes(page, start)


def test_what_a_deleted_row_leaves_is_free_space(tmp_path: Path) -> None:
    data = make_small(
        tmp_path / "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a)",
        "INSERT INTO t VALUES (1, 'one'), (2, 'twotwotwo'), (3, 'three')",
        "DELETE FROM t WHERE id = 2",
    )
    assert "free space" in {part.name for part in anatomy(data)}


@given(st.binary(min_size=505, max_size=505), st.sampled_from([2, 5, 10, 13]), st.integers(0, 255))
def test_any_page_of_a_btree_is_covered(content: bytes, kind: int, count: int) -> None:
    page = bytes([kind]) + content[:2] + bytes([0, count]) + content[4:]
    page = page.ljust(512, b"\0")
    assert_covers(anatomy(page, 512, 512), page, 512)


def test_a_page_in_a_few_words(tmp_path: Path) -> None:
    rows = ", ".join(f"({n})" for n in range(200))
    data = make_small(tmp_path / "a.db", "CREATE TABLE t(a)", f"INSERT INTO t VALUES {rows}")
    summaries = [page_summary(data[at : at + 512], at // 512 + 1) for at in range(0, len(data), 512)]
    assert summaries[0] == "database header, table leaf page, 1 cell"
    assert summaries[1].startswith("table interior page, ") and summaries[1].endswith(" cells")
    assert {one.split(",")[0] for one in summaries[2:]} == {"table leaf page"}
    assert page_summary(bytes(512), 2) == "all zero"
    assert page_summary(b"\x07" * 512, 2) == page_summary(b"\x0d\0\0\xff\xff" * 99, 2) == "no b-tree page"


def test_bytes_that_are_reserved_belong_to_no_cell() -> None:
    page = (b"\x0d" + bytes(6)).ljust(500, b"\0") + b"reserved...."
    parts = btree_parts(page, 512, 0, 12)
    assert_covers(parts, page, 512)
    assert (parts[-1].name, parts[-1].length) == ("reserved", 12)


def test_too_many_cells_are_not_shown_one_by_one() -> None:
    page = (b"\x0d\0\0" + (500).to_bytes(2, "big")).ljust(4096, b"\0")
    parts = btree_parts(page, 0, 0)
    assert_covers(parts, page)
    names = [part.name for part in parts]
    assert names.count("cell pointer") == 400 and {"cell pointers", "cells"} <= set(names)


def test_a_cell_that_lies_in_another_is_not_shown_over_it() -> None:
    """Two pointers to one place, and one into the middle of it: as no b-tree has them."""
    cell = b"\x05\x01\x02\x15abcd"
    head = b"\x0d\0\0\0\3\1\xf8\0" + b"".join(at.to_bytes(2, "big") for at in (504, 504, 506))
    page = head.ljust(504, b"\0") + cell
    parts = btree_parts(page, 0, 0)
    assert_covers(parts, page)
    assert len([part for part in parts if part.name.startswith("cell ") and part.kind == "content"]) == 1
