"""The program of a shell: what it answers, on which connection. Its life is in test_clients.py."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.lecture.live.sql_client import Shell, statements
from tests.open_files import open_below


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.db"


@pytest.fixture
def shell(path: Path) -> Iterator[Shell]:
    one = Shell(str(path))
    yield one
    one.close()


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("SELECT 1", ["SELECT 1;"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';';", "SELECT 2;"]),
        (
            "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END; SELECT 1",
            ["CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM t; END;", "SELECT 1;"],
        ),
        (" ; ;", []),
    ],
)
def test_a_script_is_taken_statement_by_statement(script: str, wanted: list[str]) -> None:
    assert statements(script) == wanted


def test_sqlite_takes_root_for_somebody_else_and_changes_no_owner(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's SQLite calls fchown")
    program = (
        "import os, sqlite3, sys\nfrom pylitefs.lecture.live.sql_client import be_nobody_to_sqlite\n"
        "assert be_nobody_to_sqlite()\n"
        "os.chown(sys.argv[1], 65534, 65534)\n"
        "connection = sqlite3.connect(sys.argv[1])\n"
        "connection.execute('PRAGMA journal_mode=wal')\nconnection.execute('CREATE TABLE t(a)')\n"
        "print(os.stat(sys.argv[1] + '-wal').st_uid)\n"
    )
    path = tmp_path / "a.db"
    path.touch()
    found = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True)
    assert found.stdout == "0\n", found.stderr


def test_a_script_s_answer_is_its_last_statement_s_rows_and_all_its_changes(shell: Shell) -> None:
    script = "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, x'01ff'), (NULL, 'x'); SELECT * FROM t"
    assert shell.answer({"sql": script}) == {"rows": [[1, "x'01ff'"], [None, "x"]], "changes": 2}
    assert shell.answer({"sql": "DELETE FROM t"}) == {"rows": [], "changes": 2}


def test_an_error_is_an_answer_and_what_came_before_it_is_done(shell: Shell, path: Path) -> None:
    """Each statement is a transaction of its own."""
    assert shell.answer({"sql": "CREATE TABLE t(a); SELECT x"}) == {"error": "no such column: x"}
    assert shell.answer({"sql": "SELECT count(*) FROM t"})["rows"] == [[0]]


def test_what_sets_up_comes_first_and_its_changes_do_not_count(shell: Shell) -> None:
    setup = "PRAGMA page_size=512; CREATE TABLE t(a); INSERT INTO t VALUES (1)"
    assert shell.answer({"sql": "PRAGMA page_size", "setup": setup}) == {"rows": [[512]], "changes": 0}


def test_a_fresh_connection_is_another_and_is_closed(shell: Shell, path: Path) -> None:
    shell.answer({"sql": "CREATE TABLE t(a); CREATE TEMP TABLE own(a); BEGIN IMMEDIATE"})
    assert "no such table: own" in shell.answer({"sql": "SELECT * FROM own", "fresh": True})["error"]
    assert shell.answer({"sql": "INSERT INTO t VALUES (1)", "fresh": True}) == {"error": "database is locked"}
    assert shell.answer({"sql": "SELECT * FROM own"})["rows"] == []
    shell.answer({"sql": "COMMIT"})
    assert open_below(path.parent).count(path.name) == 1


def test_a_statement_can_be_interrupted_and_nothing_else_is(shell: Shell) -> None:
    shell.interrupt()
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"
    answers: list[dict[str, object]] = []
    thread = threading.Thread(target=lambda: answers.append(shell.answer({"sql": endless})), daemon=True)
    thread.start()
    while thread.is_alive():
        shell.interrupt()
        thread.join(0.005)
    assert answers == [{"error": "interrupted"}]
    assert shell.answer({"sql": "SELECT 1"})["rows"] == [[1]]
