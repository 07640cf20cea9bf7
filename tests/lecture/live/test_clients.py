"""Shells: one SQLite connection each, in a process that ends with whoever started it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.live.clients import Shell, result_text

ENDLESS = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data.db"


@pytest.fixture
def shell(database: Path) -> Iterator[Shell]:
    one = Shell("n1/a", database)
    yield one
    one.kill()
    one.close()


def run(shell: Shell, sql: str, **more: object) -> str:
    shell.begin(sql, **more)
    assert shell.wait(10) is not None
    return shell.result


def test_a_shell_gives_the_last_statement_s_rows(shell: Shell) -> None:
    assert run(shell, "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, NULL), (3, x'ff')") == ""
    assert shell.answer == {"rows": [], "changes": 3} and shell.state == "done"
    assert run(shell, "SELECT a, b FROM t ORDER BY a") == "1|x\n2|\n3|x'ff'"


def test_an_error_is_told_in_sqlite_s_words_and_the_shell_goes_on(shell: Shell) -> None:
    assert run(shell, "SELECT * FROM missing") == "no such table: missing"
    assert shell.state == "error"
    assert run(shell, "SELECT 1") == "1"


def test_there_is_no_busy_timeout_and_every_statement_is_its_own_transaction(
    shell: Shell, database: Path
) -> None:
    assert run(shell, "CREATE TABLE t(a)") == ""
    with sqlite3.connect(database, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert run(shell, "INSERT INTO t VALUES (1)") == "database is locked"
        other.execute("COMMIT")
    other.close()
    assert run(shell, "INSERT INTO t VALUES (1)") == ""


def test_what_is_set_up_comes_before_the_first_statement(shell: Shell, database: Path) -> None:
    shell.setup = "PRAGMA page_size=8192; PRAGMA journal_mode=wal"
    assert run(shell, "CREATE TABLE t(a)") == ""
    assert run(shell, "PRAGMA page_size; PRAGMA journal_mode") == "wal"
    assert database.read_bytes()[16:18] == (8192).to_bytes(2, "big")


def test_a_fresh_connection_sees_nothing_of_the_shell_s_own(shell: Shell) -> None:
    run(shell, "CREATE TEMP TABLE mine(a)")
    assert run(shell, "SELECT * FROM mine", fresh=True) == "no such table: mine"


def test_a_shell_that_waits_takes_no_other_statement(shell: Shell) -> None:
    shell.begin(ENDLESS)
    assert shell.is_running and shell.state == "running" and shell.wait(0.05) is None
    with pytest.raises(LessonError, match="n1/a still waits for: WITH RECURSIVE"):
        shell.begin("SELECT 1")


def test_a_shell_ends_with_its_input_also_in_the_middle_of_a_statement(shell: Shell) -> None:
    shell.begin(ENDLESS)
    assert shell.wait(0.2) is None
    began = time.monotonic()
    shell.close()
    assert shell.has_ended() and time.monotonic() - began < 3


def test_a_killed_shell_s_statement_has_failed(shell: Shell) -> None:
    shell.begin(ENDLESS)
    shell.kill("n1 ended")
    assert shell.state == "error" and shell.result == "n1 ended"


def test_a_statement_for_a_shell_that_is_gone_fails(shell: Shell) -> None:
    os.kill(shell.pid, signal.SIGKILL)
    while not shell.has_ended():
        time.sleep(0.005)
    shell.begin("SELECT 1")
    assert shell.wait(5) == {"error": "the shell has ended"}


def test_a_shell_of_a_killed_lecture_ends(database: Path, eventually: Callable[..., None]) -> None:
    """Also where a thread made it that has ended since: only the end of the process counts."""
    program = (
        "import sys, threading, time\nfrom pathlib import Path\n"
        "from pylitefs.lecture.live.clients import Shell\n"
        "made = []\n"
        "thread = threading.Thread(target=lambda: made.append(Shell('n1/a', Path(sys.argv[1]))))\n"
        "thread.start(); thread.join()\n"
        "made[0].begin('SELECT 1'); made[0].wait(10)\n"
        f"made[0].begin({ENDLESS!r})\n"
        "print(made[0].pid, flush=True)\ntime.sleep(60)\n"
    )
    lecture = subprocess.Popen([sys.executable, "-c", program, str(database)], stdout=subprocess.PIPE)
    assert lecture.stdout is not None
    pid = int(lecture.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    lecture.kill()
    lecture.wait()
    lecture.stdout.close()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the shell has ended")


def test_results_read_as_lessons_write_them() -> None:
    assert result_text({"rows": [[1, None], ["a", 2.5]]}) == "1|\na|2.5"
    assert result_text({"error": "no such table: t"}) == "no such table: t"
    assert result_text({"rows": []}) == ""


def test_nobody_waits_for_a_shell(shell: Shell) -> None:
    began = time.monotonic()
    shell.begin(ENDLESS)
    assert not shell.collect()
    assert time.monotonic() - began < 5
