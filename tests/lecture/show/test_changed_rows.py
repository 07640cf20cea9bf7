"""The rows that a transaction changed, told from the LTX files of a recording."""

from dataclasses import replace
from pathlib import Path

import pytest

from pylitefs.lecture import recording
from pylitefs.lecture.history.xor import read_ltx
from pylitefs.lecture.model import Json, to_line
from pylitefs.lecture.show.changed_rows import MOST_CHARS, MOST_ROWS, ChangedRows, with_rows
from tests.lecture.committed import committed, lines
from tests.ltx.samples import make_snapshot


def told(path: Path, *transactions: str) -> list[Json]:
    """What is told of each."""
    rows = ChangedRows()
    found = [rows.of(entry, dumps) for entry, dumps in committed(path, transactions)]
    return [one for one in found if one is not None]


def test_rows_are_told_before_and_after(tmp_path: Path) -> None:
    """Added with all columns, changed with those that differ, removed; a table WITHOUT ROWID by its key."""
    found = told(
        tmp_path / "a.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        "UPDATE t SET x = 'c' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (3, NULL)",
        "CREATE TABLE k(a, b, v, PRIMARY KEY (a, b)) WITHOUT ROWID; INSERT INTO k VALUES ('p', 7, 1.5)",
        "UPDATE k SET v = x'00ff'",
    )
    assert found[1]["tables"] == [
        {
            "table": "t",
            "rows": [
                ["changed", "1", [["x", "'a'", "'c'"]]],
                ["removed", "2", [["id", "2", None], ["x", "'b'", None]]],
                ["added", "3", [["id", None, "3"], ["x", None, "NULL"]]],
            ],
            "more": 0,
        }
    ]
    assert found[1]["pages"] == [["database header", 1], ["table t", 2]]
    assert found[3]["tables"][0]["rows"] == [["changed", "p, 7", [["v", "1.5", "x'00ff'"]]]]


def test_indexes_schema_and_vacuum_are_told_as_what_they_are(tmp_path: Path) -> None:
    """An index is no table; its pages, and those of overflow, are named; a VACUUM changes no row."""
    found = told(
        tmp_path / "a.db",
        "CREATE TABLE t(x); INSERT INTO t VALUES ('a')",
        "CREATE INDEX by_x ON t(x)",
        "UPDATE t SET x = 'b'",
        f"INSERT INTO t VALUES ('{'y' * 900}')",
        "DROP INDEX by_x",
        "VACUUM",
    )
    assert found[0]["told"] == [["added", "table t created: CREATE TABLE t(x)"]]
    assert found[1]["told"] == [["added", "index by_x created: CREATE INDEX by_x ON t(x)"]]
    assert found[1]["tables"] == []
    assert found[2]["pages"] == [["database header", 1], ["table t", 2], ["index by_x", 3]]
    assert ["table t, overflow", 6] in found[3]["pages"]
    assert found[4]["told"][0][0] == "removed"
    assert found[5]["tables"] == [] and found[5]["told"][0][1].startswith("VACUUM")


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    """A damaged file, and one whose pages before are not there; a later snapshot is no transaction."""
    made = committed(tmp_path / "a.db", ["CREATE TABLE t(x)", "INSERT INTO t VALUES (1)", "DELETE FROM t"])
    rows = ChangedRows()
    assert "no LTX file that is shown" in (rows.of(*made[1]) or {})["unknown"]
    entry, [dump] = made[0]
    cut = replace(dump, data=dump.data[:-1])
    assert "damaged" in (rows.of(entry, [cut]) or {})["unknown"]
    assert rows.of(replace(entry, name="pos.advance"), [dump]) is None
    assert rows.of(entry, []) is None


def test_a_replica_s_file_is_told_by_its_checksum(tmp_path: Path) -> None:
    """Which node made or stored a file is all the same."""
    made = committed(tmp_path / "a.db", ["CREATE TABLE t(x)", "INSERT INTO t VALUES (1)"])
    rows = ChangedRows()
    first = [rows.of(*one) for one in made]
    stored = [rows.of(replace(entry, name="ltx.store", node="n2"), dumps) for entry, dumps in made]
    assert stored == first


def test_much_is_told_in_bounds(tmp_path: Path) -> None:
    """Of many rows the first, and how many more; of a long value its beginning."""
    found = told(
        tmp_path / "a.db",
        "CREATE TABLE t(x)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
        "INSERT INTO t SELECT i FROM n",
        f"INSERT INTO t VALUES ('{'z' * 5000}')",
    )
    assert len(found[1]["tables"][0]["rows"]) == MOST_ROWS
    assert found[1]["tables"][0]["more"] == 500 - MOST_ROWS
    assert len(found[2]["tables"][0]["rows"][0][2][0][2]) <= MOST_CHARS + 3


@pytest.mark.parametrize("at", [100, 103, 105, 108, 300, 500])
def test_pages_that_are_none_end_in_words(tmp_path: Path, at: int) -> None:
    """A stranger's recording has checksums that hold and pages that are no b-tree's."""
    made = committed(tmp_path / "a.db", ["CREATE TABLE t(x); INSERT INTO t VALUES (1)"])
    entry, [dump] = made[0]
    content = read_ltx(dump.data)
    assert content is not None
    pages = {pgno: page[:at] + b"\xff" * 4 + page[at + 4 :] for pgno, page in content.pages.items()}
    found = ChangedRows().of(entry, [replace(dump, data=make_snapshot(pages))])
    assert found is not None and to_line(found)


@pytest.mark.parametrize("name", recording.packaged())
def test_every_recording_tells_its_rows(name: str) -> None:
    """Also those made before there were rows: nothing of a lesson that comes along is unknown."""
    found = [
        line["entry"]["rows"]
        for line in with_rows(recording.open_recording(name).lines())
        if "rows" in line.get("entry", {})
    ]
    assert found and not [one for one in found if "unknown" in one]


def test_lines_with_rows_are_a_recording(tmp_path: Path) -> None:
    """What a live page offers to keep plays again."""
    told_lines = list(with_rows(lines(committed(tmp_path / "a.db", ["CREATE TABLE t(x)"]))))
    assert "rows" in told_lines[-1]["entry"]
    data = "".join(f"{to_line(line)}\n" for line in told_lines).encode()
    assert len(recording.read_bytes(data, "kept").entries) == 1
