"""`pylitefs sql` and `pylitefs fork`, as a person types them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pylitefs.cli import sql
from pylitefs.errors import MountError
from pylitefs.mount import requirements
from tests.conftest import ClusterFactory
from tests.golden.recordings import REPLICA
from tests.ltx.histories import LivingDatabase


def run(*arguments: object) -> Result:
    return CliRunner().invoke(sql.sql_command, [*map(str, arguments)])


def test_a_question_at_a_txid_and_at_a_time() -> None:
    """Nothing is restored: fewer bytes are read than the database has."""
    question = "SELECT count(*) AS n, max(id) FROM t"
    for options, row in (
        (("--txid", "9"), {"n": 10, "max(id)": 10}),
        (("--txid", "a"), {"n": 2010, "max(id)": 2010}),
        (("--time", "2026-11-27T03:34:19"), {"n": 2010, "max(id)": 2010}),
        ((), {"n": 100, "max(id)": 100}),
    ):
        result = run(REPLICA, question, "--json", *options)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == row
    assert run(REPLICA, question, "--csv").stdout == "n,max(id)\n100,100\n"
    assert run(REPLICA, question).stdout.split() == ["n", "max(id)", "100", "100"]


def test_only_the_pages_that_are_needed_are_read(tmp_path: Path) -> None:
    """The page with another row is damaged, and the question does not mind."""
    with closing(LivingDatabase(tmp_path, "plain")) as living:
        living.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)")
        living.run(*(f"INSERT INTO t VALUES({number}, zeroblob(500))" for number in range(500)))
        path = living.folder / f"{2:016x}-{2:016x}.ltx"
        data = bytearray(path.read_bytes())
        data[len(data) // 2 + 9] ^= 1
        path.write_bytes(data)
        result = run(tmp_path, "SELECT count(*) FROM t WHERE id = 3", "--txid", "2", "--csv")
    assert result.stdout.splitlines()[1] == "1", result.output


def test_without_fuse_it_is_restored_first_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*, allow_other: bool) -> None:
        raise MountError("/dev/fuse is missing")

    monkeypatch.setattr(requirements, "check", missing)
    result = run(REPLICA, "SELECT count(*) FROM t", "--txid", "9", "--csv")
    assert result.stdout == "count(*)\n10\n" and "restored as a whole" in result.stderr


@pytest.mark.parametrize(
    ("question", "options", "words"),
    [
        ("SELECT nosuch", (), "no such column: nosuch"),
        ("DELETE FROM t", (), "readonly"),
        ("SELECT 1", ("--txid", "ff"), "not there yet"),
        ("SELECT 1", ("--txid", "1", "--time", "2026-11-27"), "exclude each other"),
    ],
)
def test_what_cannot_be_is_one_line(question: str, options: tuple[str, ...], words: str) -> None:
    result = run(REPLICA, question, *options)
    assert result.exit_code != 0 and words in result.stderr.splitlines()[-1]


def test_a_fork_is_a_database_of_the_cluster_as_it_was(cluster_factory: ClusterFactory) -> None:
    """One transaction, and the replica has it too; a name that is there is refused."""
    cluster = cluster_factory(replicas=1)
    node = cluster.primary
    with closing(sqlite3.connect(node.database("a.db"), isolation_level=None)) as db:
        db.execute("CREATE TABLE t(x)")
        for number in range(5):
            db.execute("INSERT INTO t VALUES(?)", (number,))
        txid = node.positions()["a.db"].txid - 2
        arguments = [str(node.database("a.db")), "b.db", "--url", node.url, "--txid", f"{txid:x}"]
        result = CliRunner().invoke(sql.fork_command, arguments)
        assert result.exit_code == 0, result.output
    cluster.wait_synced()
    assert node.positions()["b.db"].txid == 1
    for one in cluster:
        with closing(sqlite3.connect(f"file:{one.database('b.db')}?mode=ro", uri=True)) as db:
            assert db.execute("SELECT count(*) FROM t").fetchall() == [(3,)]
    again = CliRunner().invoke(sql.fork_command, arguments)
    assert again.exit_code == 1 and "b.db is there already" in again.stderr
