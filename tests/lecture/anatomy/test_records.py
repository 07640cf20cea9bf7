"""The cells of b-tree pages read: how long each is, and what it holds."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.lecture.anatomy.records import read_cell, record_text
from pylitefs.sqlite.btree import LEAF_TABLE
from pylitefs.sqlite.records import varint


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


def records(*values: str) -> list[str]:
    """The records of a table's rows, as this module reads them."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE t(a)")
    database.execute(f"INSERT INTO t VALUES {', '.join(f'({value})' for value in values)}")
    page = database.serialize()[4096:8192]
    found = []
    for number in range(len(values)):
        offset = int.from_bytes(page[8 + 2 * number :][:2], "big")
        cell = read_cell(page, offset, LEAF_TABLE, 4096)
        assert cell is not None
        found.append(cell.text.partition(": ")[2])
    database.close()
    return found


def test_each_type_of_value_is_read_as_sql_writes_it() -> None:
    values = ["NULL", "0", "1", "-1", "200", "70000", "-9000000", "2147483648", "-9223372036854775808", "2.5",
              "'it''s'", "''"]  # fmt: skip
    assert records(*values) == values
    assert records("x'010203'", "x''") == ["a blob of 3 bytes", "a blob of 0 bytes"]


def test_what_is_long_is_cut() -> None:
    (long,) = records(f"'{'x' * 60}'")
    assert long == f"'{'x' * 24}…'"
    assert records("char(10, 7)") == ["'··'"]
    assert record_text(bytes([9, *[8] * 8])) == "0, 0, 0, 0, 0, 0, …"
    assert record_text(b"\x02\x04\x01") == "…", "a value that the page cuts short"


def test_a_cell_that_is_longer_than_its_page_is_none() -> None:
    page = (b"\x10\x01" + b"x" * 10).rjust(512, b"\0")
    assert read_cell(page, 500, LEAF_TABLE, 512) is None
    assert read_cell(b"\x0a" + page[1:], 0, LEAF_TABLE, 512) is not None
