"""docs/clients.md says what each library does on a primary and a replica, and that is what it does.

`tests/run --full tests/clients` installs them all, some from source: ten minutes.
With PYLITEFS_CLIENTS=FOLDER what was installed is kept, and the next time takes one.
"""

import json
import os
import sqlite3
import subprocess
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.clients import table
from tests.clients.rows import HERE, ROOT, ROWS, Program, Row, need
from tests.cluster.checks import assert_all_equal, wait_level
from tests.cluster.clients import Clients

MODES = ("wal", "delete")
READ_ONLY = "attempt to write a readonly database"
SHARED = {"go_sql.go"}
"""What several scripts share, beside what has no language's name."""
LANGUAGES = ("python_", "node_", "go_", "rust_", "java_", "php_", "perl_", "ruby_")
PLAIN, *OTHERS = ROWS
APSW = next(row for row in ROWS if row.script == "python_apsw.py")


def start(program: Program, pair: Cluster, name: str, mode: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*program.command, *(str(node.database(f"{name}-{mode}.db")) for node in pair), mode],
        cwd=ROOT,
        env=os.environ | dict(program.environment),
        capture_output=True,
        text=True,
        timeout=120,
    )


def run(program: Program, pair: Cluster, name: str) -> table.Ran:
    """The script's facts in each mode. Both nodes have the same bytes then, and logged nothing unforeseen."""
    ran = {}
    logs = {node.name: len(node.log.read_text()) for node in pair}
    for mode in MODES:
        done = start(program, pair, name, mode)
        assert done.returncode == 0, f"{program.command}: {done.stdout}{done.stderr}"
        ran[mode] = json.loads(done.stdout.splitlines()[-1])
        assert ran[mode]["read"] == 1
        clients = Clients()
        try:
            assert_all_equal(pair, f"{name}-{mode}.db", clients)
        finally:
            clients.discard_all()
    for node in pair:
        said = node.log.read_text()[logs[node.name] :].splitlines()
        trouble = [line for line in said if "level=INFO" not in line and "write on the primary" not in line]
        assert not trouble, f"{node.name}: {trouble}"
    return ran


def check(row: Row, ran: table.Ran) -> None:
    [line] = [one for one in table.lines() if one.script == row.script]
    assert line == table.line_of(row, ran), ran


def test_each_script_has_a_row_and_each_row_a_script() -> None:
    """With the version that is pinned for it."""
    lines = table.lines()
    assert [line.script for line in lines] == [row.script for row in ROWS]
    there = {path.name for path in HERE.iterdir() if path.name.startswith(LANGUAGES)}
    assert there - SHARED == {row.script for row in ROWS}
    for line, row in zip(lines, ROWS, strict=True):
        assert line.version == row.version and bool(line.sqlite) == row.brings_sqlite, line
    assert table.versions()[-1] == APSW.version


def test_a_row_whose_language_is_missing_fails_by_name() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"no-such-go is missing: install Go 1\.26"):
        need("no-such-go", "Go 1.26 or newer")


@pytest.mark.fuse
def test_python_s_own_library_does_what_its_row_says(pair: Cluster, packages: Path) -> None:
    check(PLAIN, run(PLAIN.program(packages), pair, "plain"))


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("row", OTHERS, ids=lambda row: Path(row.script).stem)
def test_a_library_does_what_its_row_says(
    request: pytest.FixtureRequest, pair: Cluster, packages: Path, row: Row
) -> None:
    """Where the row says that it wants a WAL that opens for writing, it does not work without."""
    name = Path(row.script).stem
    program = row.program(packages)
    if row.needs_writable:
        done = start(program, pair, name, "wal")
        assert done.returncode and "unable to open database file" in done.stderr, done
        pair = request.getfixturevalue("writable_pair")
    check(row, run(program, pair, name))


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", table.versions())
def test_each_sqlite_does_as_the_newest(pair: Cluster, packages: Path, version: str) -> None:
    """By APSW, each of whose versions has a SQLite of its own."""
    row = Row(APSW.script, f"apsw=={version}", APSW.prepare)
    ran = run(row.program(packages), pair, f"apsw-{version}")
    assert all(version.startswith(facts["sqlite"]) for facts in ran.values()), ran
    for facts in ran.values():
        assert facts["refused"].endswith(READ_ONLY) and facts["timeout"] == 0
    # Its settings of 3.44 to 3.46 take the refusal of `journal_mode=wal` for an error.
    assert table.line_of(row, ran).settings in ("both", "WAL")


@pytest.mark.fuse
def test_a_transaction_that_begins_as_a_writer_s_is_refused_in_wal_mode(pair: Cluster) -> None:
    """Though it only reads: what the page says of `BEGIN IMMEDIATE`."""
    for mode, begins in (("wal", False), ("delete", True)):
        name = f"immediate-{mode}.db"
        with closing(sqlite3.connect(pair.primary.database(name), isolation_level=None)) as db:
            db.execute(f"PRAGMA journal_mode={mode}")
            db.execute("CREATE TABLE t (x)")
        wait_level(pair, name)
        with closing(sqlite3.connect(pair.replicas[0].database(name), isolation_level=None)) as db:
            with nullcontext() if begins else pytest.raises(sqlite3.OperationalError, match=READ_ONLY):
                db.execute("BEGIN IMMEDIATE")
            assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
