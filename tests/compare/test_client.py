"""What a client process answers: rows, a file's text, or the error's own name."""

import sqlite3
from pathlib import Path

import pytest

from pylitefs.compare.client import Session, answer, as_json, shortened


@pytest.fixture
def session(tmp_path: Path) -> Session:
    one = Session()
    one.open({"path": str(tmp_path / "a.db")})
    return one


def test_rows_are_answered_as_json_and_long_ones_as_a_digest(session: Session) -> None:
    assert session.sql({"text": "SELECT 1, 'a', x'00ff'"}) == {"rows": [[1, "a", "x'00ff'"]]}
    assert session.sql({"text": "SELECT ?", "values": ["it"]}) == {"rows": [["it"]]}
    rows: list[list[object]] = [["x" * 100]] * 30
    assert shortened(rows[:2]) == rows[:2]
    [[count, digest]] = shortened(rows)
    assert count == "30 rows" and shortened([*rows[:29], ["y" * 100]])[0][1] != digest
    assert as_json(None) is None
    session.close({})


def test_a_statement_runs_in_autocommit_until_the_connection_is_closed(
    session: Session, tmp_path: Path
) -> None:
    session.sql({"text": "CREATE TABLE t(a)"})
    session.sql({"text": "INSERT INTO t VALUES (1)"})
    assert session.close({}) == {"rows": []}
    assert session.sql({"text": "SELECT 1"}) == {"error": "the database could not be opened"}
    with sqlite3.connect(tmp_path / "a.db") as db:
        assert db.execute("SELECT a FROM t").fetchall() == [(1,)]
    db.close()


def test_an_error_is_named_as_sqlite_or_the_kernel_names_it(session: Session, tmp_path: Path) -> None:
    assert answer(session.sql, {"text": "nonsense"})["error"].startswith("SQLITE_ERROR: ")
    assert answer(session.read, {"path": str(tmp_path / "nobody")}) == {"error": "ENOENT"}
    assert answer(session.unlink, {"path": str(tmp_path)})["error"] in {"EISDIR", "EPERM"}
    session.close({})


def test_files_are_read_copied_listed_and_removed(session: Session, tmp_path: Path) -> None:
    source, target = tmp_path / "x", tmp_path / "xy"
    source.write_bytes(b"\xff!")
    session.copy({"path": str(source), "to": str(target)})
    assert target.read_bytes() == b"\xff!"
    assert session.read({"path": str(target)})["text"] == "ÿ!"
    session.touch({"path": str(tmp_path / "xz")})
    listed = session.list({"path": str(tmp_path), "prefixes": ["xy", "xz"]})
    assert {name: facts.split()[1] for name, facts in listed["names"].items()} == {"xy": "2", "xz": "0"}
    assert listed["mode"].startswith("d")
    session.unlink({"path": str(target)})
    assert not target.exists()
    session.close({})


def test_a_probe_is_one_of_the_mount_table(session: Session, tmp_path: Path) -> None:
    request = {"name": "unlink a name that is not there", "path": str(tmp_path), "database": "a.db"}
    assert session.probe(request) == {"text": "ENOENT"}
    session.close({})
