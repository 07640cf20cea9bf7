"""What a table's columns are is SQLite's own reading of its SQL."""

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.columns import read_table
from pylitefs.sqlite.keys import Key


def test_the_rowid_s_other_name_is_known() -> None:
    """Only INTEGER PRIMARY KEY is one, and neither with DESC nor WITHOUT ROWID."""
    assert read_table("t", "CREATE TABLE t(b, a INTEGER PRIMARY KEY)").rowid_column == 1
    assert read_table("t", "CREATE TABLE t(b, a INTEGER, PRIMARY KEY(a DESC))").rowid_column == 1
    for sql in ("a INT PRIMARY KEY", "a INTEGER PRIMARY KEY DESC", "a, b, PRIMARY KEY(a, b)"):
        assert read_table("t", f"CREATE TABLE t({sql})").rowid_column is None


def test_a_table_without_rowid_begins_with_its_key() -> None:
    table = read_table("t", "CREATE TABLE t(a, b COLLATE NOCASE, c, PRIMARY KEY(c DESC, b)) WITHOUT ROWID")
    assert table.names == ("c", "b", "a")
    assert table.key == (Key("BINARY", True), Key("NOCASE"))


def test_generated_columns_are_told_and_functions_need_not_be_there() -> None:
    table = read_table("t", "CREATE TABLE t(a, b AS (mine(a)) STORED, c AS (mine(b)), CHECK (theirs(a)))")
    assert table.names == ("a", "b") and table.stored[1].is_generated
    assert table.virtual == ("c",)


@pytest.mark.parametrize(
    ("declared", "value"),
    [("TEXT DEFAULT 5", "5"), ("REAL DEFAULT 5", 5.0), ("DEFAULT (-7)", -7), ("DEFAULT word", "word"),
     ("DEFAULT x'00ff'", b"\0\xff"), ("DEFAULT 'it''s'", "it's"), ("INT DEFAULT true", 1), ("", None)],
)  # fmt: skip
def test_a_default_is_the_value_that_short_records_have(declared: str, value: object) -> None:
    table = read_table("t", f"CREATE TABLE t(a, b {declared})")
    assert table.row(3, [1]) == [1, value]


def test_whole_numbers_of_real_columns_are_real() -> None:
    table = read_table("t", "CREATE TABLE t(a DOUBLE PRECISION, b POINT, c FLOAT)")
    assert list(map(type, table.row(1, [1, 1, 1]))) == [float, int, float]


def test_sql_that_this_sqlite_does_not_know_is_an_error_with_its_words() -> None:
    with pytest.raises(SqliteFormatError, match=r"does not understand table t: .*DOUBLE"):
        read_table("t", "CREATE TABLE t(a DOUBLE) STRICT")
