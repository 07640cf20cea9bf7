"""A stranger's lesson: its SQL reaches the databases of its node, and no other file of the machine."""

import ast
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.lecture.live import clients
from pylitefs.lecture.live.sql_client import Shell
from tests.house import ROOT


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "mnt").mkdir()
    return tmp_path / "mnt"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A database of the lecturer's own."""
    path = tmp_path / "own.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE secret(a)")
    db.close()
    return path


@pytest.fixture
def shell(mount: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.chdir(mount)
    one = Shell(str(mount / "data.db"))
    yield one
    one.close()


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def error(shell: Shell, sql: str, **more: object) -> str:
    return str(shell.answer({"sql": sql, **more}).get("error", ""))


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{outside}' AS o; SELECT * FROM o.secret",
        "ATTACH '{tmp}/new.db' AS o; CREATE TABLE o.t(a)",
        "ATTACH '../own.db' AS o",
        "ATTACH '{mount}/../own.db' AS o",
        "ATTACH '{mount}/./x.db' AS o",
        "ATTACH '{mount}//x.db' AS o",
        "ATTACH 'sub/x.db' AS o",
        'ATTACH "{outside}" AS o',
        "ATTACH [{outside}] AS o",
        "ATTACH '{tmp}/' || 'new.db' AS o",
        "ATTACH (SELECT '{outside}') AS o",
        "ATTACH 'file:{outside}' AS o",
        "ATTACH 'file:x.db' AS o",
        "ATTACH '/dev/null' AS o",
        "ATTACH '{tmp}/\u001b[2J' AS o",
        "VACUUM INTO '{tmp}/new.db'",
        "VACUUM INTO '../new.db'",
        "VACUUM INTO '{tmp}/' || 'new.db'",
        "VACUUM INTO 'file:{tmp}/new.db'",
        "EXPLAIN ATTACH '{outside}' AS o",
    ],
)
def test_a_file_outside_of_the_node_is_refused_by_name_and_never_made(
    shell: Shell, tmp_path: Path, mount: Path, outside: Path, sql: str
) -> None:
    """Whatever the form: a folder, `..`, a URI, an expression; on its own connection and a fresh one."""
    shell.answer({"sql": "CREATE TABLE t(a)"})
    before = files(tmp_path)
    script = sql.format(outside=outside, tmp=tmp_path, mount=mount)
    for more in ({}, {"fresh": True}):
        said = error(shell, script, **more)
        assert "ATTACH and VACUUM INTO reach a database in the node's mount" in said
        assert "is outside of the node" in said or "computed" in said
        assert "\u001b" not in said
    assert "ATTACH and" in error(shell, "SELECT 1", setup=script)
    assert files(tmp_path) == before


@pytest.mark.parametrize("sql", ["ATTACH '{}' AS o", "VACUUM INTO '{}'"])
def test_a_link_in_the_mount_leads_nowhere(
    shell: Shell, tmp_path: Path, mount: Path, outside: Path, sql: str
) -> None:
    """Neither to what is there nor to what would be made."""
    (mount / "link.db").symlink_to(outside)
    (mount / "dangling.db").symlink_to(tmp_path / "new.db")
    for path in ("link.db", f"{mount}/link.db", "dangling.db", f"{mount}/dangling.db"):
        assert "is a link" in error(shell, f"CREATE TABLE IF NOT EXISTS t(a); {sql.format(path)}")
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize(
    "name", ["data.db-wal", "x.db-journal", "x.db-pos", ".primary", "..", ".", "x.db-mj123456789"]
)
def test_what_is_no_database_in_the_mount_is_not_attached(shell: Shell, mount: Path, name: str) -> None:
    assert "cannot be a database name" in error(shell, f"ATTACH '{name}' AS o")
    assert files(mount) <= {"data.db"}


def test_other_databases_of_the_node_and_memory_are_attached(shell: Shell, mount: Path) -> None:
    """What a lesson needs: a transaction over two databases, a copy, and SQLite's own VACUUM."""
    script = (
        f"CREATE TABLE t(a); ATTACH 'b.db' AS b; ATTACH '{mount}/c.db' AS c; ATTACH ':memory:' AS m; "
        "ATTACH '' AS e; CREATE TABLE b.t(a); CREATE TABLE c.t(a); CREATE TABLE m.t(a); CREATE TABLE e.t(a); "
        "BEGIN; INSERT INTO main.t VALUES (1); INSERT INTO b.t VALUES (2); COMMIT; DETACH b; VACUUM; "
        f"VACUUM INTO 'copy.db'; VACUUM c INTO '{mount}/copy2.db'; SELECT * FROM t"
    )
    assert shell.answer({"sql": script}) == {"rows": [[1]], "changes": 2}
    assert files(mount) == {"data.db", "b.db", "c.db", "copy.db", "copy2.db"}


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA temp_store_directory='/tmp'",
        "PRAGMA data_store_directory='/tmp'",
        "PRAGMA writable_schema=1",
        "PRAGMA main.Writable_Schema=ON",
        "PRAGMA lock_proxy_file='/tmp/x'",
        "PRAGMA vdbe_trace=1",
        "PRAGMA some_day_s_new_one",
        "SELECT * FROM pragma_table_info('t'), pragma_journal_mode; PRAGMA key='x'",
    ],
)
def test_a_pragma_that_is_not_known_to_be_harmless_is_refused_by_name(shell: Shell, sql: str) -> None:
    said = error(shell, sql)
    name = sql.rpartition("PRAGMA ")[2].partition("=")[0].rpartition(".")[2].lower()
    assert said.startswith(f"PRAGMA {name} is refused: ") and "leave it out" in said


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA page_size=512",
        "PRAGMA journal_mode=wal",
        "PRAGMA writable_schema",
        "PRAGMA integrity_check",
        "PRAGMA WAL_CHECKPOINT(TRUNCATE)",
        "PRAGMA main.table_info(t)",
        "SELECT name FROM pragma_database_list",
    ],
)
def test_a_pragma_of_a_node_s_own_database_goes_through(shell: Shell, sql: str) -> None:
    assert error(shell, sql) == ""


def test_every_pragma_that_this_sqlite_knows_and_we_refuse_is_one_that_we_know(shell: Shell) -> None:
    """The list is as long as it can be: a lesson is not turned away for nothing."""
    known = [row[0] for row in shell.answer({"sql": "PRAGMA pragma_list"})["rows"]]
    refused = {name for name in known if "is refused" in error(shell, f"PRAGMA {name}")}
    assert refused <= {"parser_trace", "vdbe_addoptrace", "vdbe_debug", "vdbe_listing", "vdbe_trace"}


@pytest.mark.parametrize(
    "function", ["load_extension('x')", "LOAD_EXTENSION('x', 'y')", "fts3_tokenizer('x')"]
)
def test_no_code_is_brought_in(shell: Shell, function: str) -> None:
    assert "a lesson brings no code" in error(shell, f"SELECT {function}")


def test_after_a_refusal_other_errors_are_sqlite_s_own(shell: Shell) -> None:
    assert "is refused" in error(shell, "PRAGMA writable_schema=1")
    assert error(shell, "SELECT x") == "no such column: x"
    assert shell.answer({"sql": "SELECT 1"})["rows"] == [[1]]


def test_a_shell_is_in_its_node_s_mount_wherever_the_lecture_was_started(
    tmp_path: Path, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain name means a database of the node, and never a file where the lecturer stands."""
    monkeypatch.chdir(tmp_path)
    shell = clients.Shell("n1/a", mount / "data.db")
    try:
        shell.begin("ATTACH 'b.db' AS b; CREATE TABLE b.t(a); DETACH b; ATTACH 'own.db' AS o")
        assert shell.wait(10) is not None and shell.state == "done", shell.result
        shell.begin("ATTACH '../own.db' AS n")
        assert shell.wait(10) is not None and "is outside of the node" in shell.result
    finally:
        shell.kill()
        shell.close()
    assert "b.db" in os.listdir(mount) and not (tmp_path / "b.db").exists()


def test_a_plain_name_is_outside_where_the_shell_is_elsewhere(tmp_path: Path, mount: Path) -> None:
    """As when the node was gone before the shell could go into its mount."""
    shell = Shell(str(mount / "data.db"))
    assert "b.db is outside of the node" in error(shell, "ATTACH 'b.db' AS b")
    shell.close()


def test_a_lecture_runs_sql_at_one_place_alone() -> None:
    """Lesson, button, terminal, headless run and `expect` all go through the shell that is confined."""
    found = {
        str(path.relative_to(ROOT / "lecture"))
        for path in (ROOT / "lecture").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import)
        and any(one.name in ("sqlite3", "_sqlite3", "apsw") for one in node.names)
    }
    assert found == {"live/sql_client.py", "live/confined.py"}
