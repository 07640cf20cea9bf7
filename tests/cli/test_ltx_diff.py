"""`pylitefs ltx diff`, as a person types it."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pylitefs.cli.ltx import ltx
from tests.golden.recordings import REPLICA
from tests.ltx.histories import LivingDatabase


def run(*arguments: object) -> Result:
    return CliRunner().invoke(ltx, ["diff", *map(str, arguments)])


@pytest.fixture
def living(tmp_path: Path) -> Iterator[LivingDatabase]:
    with closing(LivingDatabase(tmp_path)) as one:
        one.run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x)",
            "CREATE TABLE k(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID",
        )
        one.run("INSERT INTO t VALUES(1, 'it''s'), (2, NULL)", "INSERT INTO k VALUES('a', 1)")
        one.run(
            "UPDATE t SET x = x'00ff' WHERE id = 1",
            "DELETE FROM t WHERE id = 2",
            "INSERT INTO k VALUES('b', 2)",
        )
        yield one


def test_rows_come_as_a_table_with_before_and_after(living: LivingDatabase) -> None:
    """T is what that transaction did; A..B what all between did."""
    result = run("3", living.path.parent)
    assert result.exit_code == 0
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["k", "b,2", "added", "a", "'b'"],
        ["k", "b,2", "added", "b", "2"],
        ["t", "1", "changed", "x", "'it''s'", "x'00ff'"],
        ["t", "2", "removed", "id", "2"],
        ["t", "2", "removed", "x", "NULL"],
    ]
    assert run("2..3", living.path.parent).stdout == result.stdout
    whole = run("0..3", living.path).stdout
    assert (
        "table t created: CREATE TABLE t(id INTEGER PRIMARY KEY, x)" in whole
        and "2  " not in whole.split("row")[0]
    )


def test_one_table_and_one_row(living: LivingDatabase) -> None:
    folder = living.path.parent
    assert len(run("3", folder, "--table", "k").stdout.splitlines()) == 3
    assert "x'00ff'" in run("3", folder, "--row", "1").stdout
    assert run("3", folder, "--table", "k", "--row", "b,2", "--undo").stdout == (
        'DELETE FROM "k" WHERE "a" = \'b\' AND "b" = 2;\n'
    )
    assert run("3", folder, "--row", "77").stdout == "no row differs\n"
    wrong = run("3", folder, "--table", "nosuch")
    assert wrong.exit_code == 1 and "there is no table nosuch in either state: there are k, t" in wrong.stderr


def test_json_has_a_row_a_line(living: LivingDatabase) -> None:
    lines = [json.loads(line) for line in run("3", living.path.parent, "--json").stdout.splitlines()]
    assert lines[1] == {
        "table": "t", "change": "changed", "rowid": 1,
        "before": {"id": 1, "x": "it's"}, "after": {"id": 1, "x": {"blob": "00ff"}},
    }  # fmt: skip
    assert [line["change"] for line in lines] == ["added", "changed", "removed"]


def test_sql_does_it_and_undo_undoes_it(living: LivingDatabase, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(living.states[3])
    for option, state in (("--undo", 2), ("--sql", 3)):
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.executescript(run("3", living.path.parent, option).stdout)
            rows = [db.execute(f"SELECT * FROM {name}").fetchall() for name in ("t", "k")]
        (tmp_path / "expected").write_bytes(living.states[state])
        with closing(sqlite3.connect(tmp_path / "expected")) as db:
            assert rows == [db.execute(f"SELECT * FROM {name}").fetchall() for name in ("t", "k")]


def test_litestream_s_own_tables_are_folded_away() -> None:
    """They are named on stderr, and shown when they are asked for."""
    result = run("1..7", REPLICA)
    assert "_litestream" not in result.stdout
    assert "1..7" not in result.stderr
    last = run("c", REPLICA)
    assert last.stdout == "no row differs\n" and "folded away: _litestream_seq (1 row)" in last.stderr
    assert "seq" in run("c", REPLICA, "--table", "_litestream_seq").stdout


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("3..2", "goes back"),
        ("x", "no TXID"),
        ("..", "no TXID"),
        ("9", "not there yet"),
        ("1..9", "not there yet"),
    ],
)
def test_what_cannot_be_is_said(living: LivingDatabase, span: str, words: str) -> None:
    result = run(span, living.path.parent)
    assert result.exit_code != 0 and words in result.stderr and "Traceback" not in result.stderr


def test_what_retention_took_is_named(living: LivingDatabase) -> None:
    living.run("UPDATE t SET x = 3")
    living.forget(2)
    assert "is not in the history any more" in run("3", living.path.parent).stderr
    assert run("4", living.path.parent).exit_code == 0
