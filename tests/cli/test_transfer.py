"""`pylitefs export` and `import` against real nodes."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from tests.conftest import ClusterFactory

Output = pytest.CaptureFixture[str]


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


@pytest.mark.fuse
def test_a_database_goes_out_and_in(cluster_factory: ClusterFactory, tmp_path: Path, capsys: Output) -> None:
    cluster = cluster_factory(replicas=1)
    execute(cluster.primary.database("a.db"), "CREATE TABLE t AS SELECT 'kept' AS x")
    copy = tmp_path / "copy.db"
    assert run(["export", "-name", "a.db", "-url", cluster.primary.url, str(copy)]) == 0
    assert capsys.readouterr().out == f"a.db: 8,192 bytes written to {copy}\n"
    assert copy.read_bytes()[28:] == (cluster.primary.data / "dbs/a.db/database").read_bytes()[28:]
    execute(copy, "INSERT INTO t VALUES ('added')")
    assert run(["import", "--name", "b.db", "--url", cluster.primary.url, str(copy)]) == 0
    cluster.wait_synced()
    for node in cluster:
        assert execute(node.database("b.db"), "SELECT x FROM t") == [("kept",), ("added",)]
    assert cluster.primary.positions()["b.db"].txid == 1, "one transaction"


@pytest.mark.fuse
def test_what_cannot_be_exported_or_imported_is_one_line(
    cluster_factory: ClusterFactory, tmp_path: Path, capsys: Output
) -> None:
    cluster = cluster_factory(replicas=1)
    target = tmp_path / "out" / "copy.db"
    target.parent.mkdir()
    assert run(["export", "-name", "none.db", "-url", cluster.primary.url, str(target)]) == 1
    assert "database not found" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == [], "no half file is left"
    database = tmp_path / "good.db"
    execute(database, "CREATE TABLE t (x)")
    assert run(["import", "-name", "a.db", "-url", cluster.replicas[0].url, str(database)]) == 1
    assert "is a replica of n1: give -url of the primary" in capsys.readouterr().err


def test_a_file_that_is_no_whole_database_is_refused_before_it_is_sent(
    tmp_path: Path, capsys: Output
) -> None:
    nowhere = ["-name", "a.db", "-url", "http://127.0.0.1:1"]
    path = tmp_path / "x.db"
    path.write_text("SELECT 1;")
    assert run(["import", *nowhere, str(path)]) == 1
    assert capsys.readouterr().err == f"pylitefs: {path} is not a SQLite database\n"
    with closing(sqlite3.connect(tmp_path / "wal.db")) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t (x)")
        assert run(["import", *nowhere, str(tmp_path / "wal.db")]) == 1
    assert "wal.db-wal holds what" in capsys.readouterr().err
    assert run(["import", *nowhere, str(tmp_path / "absent.db")]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_a_node_that_is_not_there_is_one_line(tmp_path: Path, capsys: Output) -> None:
    assert run(["export", "-name", "a.db", "-url", "http://127.0.0.1:1", str(tmp_path / "x")]) == 1
    assert "cannot reach http://127.0.0.1:1" in capsys.readouterr().err
    assert run(["export", "-name", "a.db", "-url", "nonsense", str(tmp_path / "x")]) == 1
    assert "write http://HOST:20202" in capsys.readouterr().err
