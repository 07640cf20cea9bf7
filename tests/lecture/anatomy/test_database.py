"""Databases taken apart: SQLite's own, and any bytes."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given

from pylitefs.lecture.anatomy.database import anatomy
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
