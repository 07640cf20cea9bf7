"""Databases taken apart: SQLite's own, and any bytes."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.anatomy.database import anatomy
from pylitefs.lecture.anatomy.records import read_cell, record_text, varint
from tests.golden.recordings import recorded_databases
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.sqlite.samples import PAGE_SIZES, make_database


def make_small(path: Path, *statements: str, page_size: int = 512) -> bytes:
    """A database that these statements made."""
    with sqlite3.connect(path, isolation_level=None) as database:
        database.execute(f"PRAGMA page_size={page_size}")
        for statement in statements:
            database.execute(statement)
    database.close()
    return path.read_bytes()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_database_of_sqlites_own_is_named_to_the_last_byte(tmp_path: Path, page_size: int) -> None:
    make_database(tmp_path / "a.db", page_size=page_size, rows=20).close()
    data = (tmp_path / "a.db").read_bytes()
    parts = anatomy(data)
    assert_covers(parts, data)
    found = values(parts)
    assert found["magic"] == "SQLite format 3"
    assert found["page size"] == f"{page_size:,}"
    assert found["page count"] == f"{len(data) // page_size:,}"
    assert found["page type"] == "table leaf page"


@pytest.mark.parametrize("database", [one for one in recorded_databases() if one.export], ids=str)
def test_databases_of_real_litefs_are_covered(database: object) -> None:
    data = database.export[: 1 << 18]  # type: ignore[attr-defined]
    assert_covers(anatomy(data), data)


def test_rows_are_read(tmp_path: Path) -> None:
    data = make_small(
        tmp_path / "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c)",
        "INSERT INTO t VALUES (7, 'it''s', 2.5, NULL), (300, x'0102', -1, 1)",
    )
    cells = [part.value for part in anatomy(data) if part.name.startswith("cell ") and part.offset >= 512]
    rows = [text for text in cells if text.startswith("rowid")]
    assert rows == ["rowid 300: NULL, a blob of 2 bytes, -1, 1", "rowid 7: NULL, 'it''s', 2.5, NULL"]


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


def test_a_page_by_itself_is_read_with_the_page_size(tmp_path: Path) -> None:
    data = make_small(tmp_path / "a.db", "CREATE TABLE t(a)", "INSERT INTO t VALUES ('x')")
    assert_covers(anatomy(data[512:1024], 512, 512), data[512:1024], 512)
    assert values(anatomy(data[512:1024], 512, 512))["cell 1"] == "rowid 1: 'x'"
    assert_covers(anatomy(data[:100]), data[:100])
    assert_covers(anatomy(data[512:], 512), data[512:], 512)
    assert_covers(anatomy(data[700:], 700, 512), data[700:], 700)


def test_the_lock_page_is_said_to_be() -> None:
    page = bytes(1024)
    parts = anatomy(page, 0x40000000, 1024)
    assert_covers(parts, page, 0x40000000)
    assert [part.kind for part in parts] == ["lock"]


SAMPLE = sqlite3.connect(":memory:")
SAMPLE.execute("PRAGMA page_size=512")
SAMPLE.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, a)")
SAMPLE.execute("INSERT INTO t VALUES (1, 'one'), (2, randomblob(700)), (3, 'three')")


@given(damaged(SAMPLE.serialize()))
def test_any_bytes_are_covered(data: bytes) -> None:
    assert_covers(anatomy(data), data)
    assert_covers(anatomy(data, 1024, 512), data, 1024)


@given(st.binary(min_size=505, max_size=505), st.sampled_from([2, 5, 10, 13]), st.integers(0, 255))
def test_any_page_of_a_btree_is_covered(content: bytes, kind: int, count: int) -> None:
    page = bytes([kind]) + content[:2] + bytes([0, count]) + content[4:]
    page = page.ljust(512, b"\0")
    assert_covers(anatomy(page, 512, 512), page, 512)


@given(st.binary(max_size=600), st.integers(0, 600), st.sampled_from([2, 5, 10, 13]))
def test_no_cell_runs_out_of_its_page(data: bytes, offset: int, kind: int) -> None:
    page = data.ljust(512, b"\xff")[:512]
    cell = read_cell(page, offset, kind, 512)
    assert cell is None or (cell.length > 0 and cell.offset + cell.length <= 512)
    record_text(data)


@pytest.mark.parametrize(
    ("data", "value"), [(b"\x07", 7), (b"\x81\x00", 128), (b"\xff" * 9, (1 << 64) - 1), (b"\x81", None)]
)
def test_a_varint_is_read(data: bytes, value: int | None) -> None:
    found = varint(data, 0)
    assert found == (None if value is None else (value, len(data)))
