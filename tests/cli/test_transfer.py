"""`pylitefs status`, `export` and `import` against real nodes."""

import os
import pty
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.cli.nodes import NodeReport
from pylitefs.cli.status import table
from pylitefs.http.client import DatabaseFacts
from pylitefs.ltx.position import Pos
from tests.conftest import ClusterFactory

Output = pytest.CaptureFixture[str]


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


@pytest.mark.fuse
def test_status_shows_every_node_and_database(cluster_factory: ClusterFactory, capsys: Output) -> None:
    cluster = cluster_factory(replicas=1)
    for name in ("a.db", "b.db"):
        execute(cluster.primary.database(name), "CREATE TABLE t (x)")
    cluster.wait_synced()
    position = cluster.primary.database("a.db-pos").read_text().strip()
    assert run(["status", "--dir", str(cluster.base_dir)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["node", "role", "lag", "database", "pages", "position", "(TXID/checksum)"]
    assert lines[1] == ["n1", "primary", "a.db", "2", position]
    assert lines[2][:2] == ["b.db", "2"]
    assert lines[3][:2] == ["n2", "replica"] and lines[3][3:] == ["ms", "a.db", "2", position]
    assert run(["status", "-url", cluster.primary.url, "-url", f"{cluster.replicas[0].url}/"]) == 0
    assert f"127.0.0.1:{cluster.primary.port}" in capsys.readouterr().out
    assert run(["status", "-config", str(cluster.replicas[0].config)]) == 0
    words = capsys.readouterr().out.split()
    assert "n1" in words and "primary" in words and "replica" in words
    cluster.replicas[0].stop()
    assert run(["status", "--dir", str(cluster.base_dir)]) == 1
    captured = capsys.readouterr()
    assert "n2    unreachable" in captured.out
    assert captured.err.startswith(f"n2: {cluster.replicas[0].url}: ")


@pytest.mark.fuse
@pytest.mark.parametrize("terminal", [False, True])
def test_status_watches_until_ctrl_c(cluster_factory: ClusterFactory, terminal: bool) -> None:
    cluster = cluster_factory(replicas=0)
    reader, writer = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "pylitefs", "status", "--watch", "--dir", str(cluster.base_dir)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    watching = subprocess.Popen(command, stdout=writer, env=environment, process_group=0)
    os.close(writer)
    shown = b""
    while shown.count(b"primary") < 2:
        shown += os.read(reader, 4096)
    assert b"(none)" in shown and b"Traceback" not in shown
    execute(cluster.primary.database("a.db"), "CREATE TABLE t (x)")
    while b"0000000000000001/" not in shown:
        shown += os.read(reader, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    os.close(reader)


def test_status_marks_what_is_behind() -> None:
    reports = [
        NodeReport("n1", "u", is_primary=True, databases={"a.db": DatabaseFacts(Pos(7, 1))}),
        NodeReport("n2", "u", lag_ms=2147483647, databases={"a.db": DatabaseFacts(Pos(5, 1))}),
        NodeReport("n3", "u", error="down"),
    ]
    shown = table(reports)
    assert [str(column.header) for column in shown.columns][-1] == "TXIDs behind"
    assert list(shown.columns[-1].cells) == ["", "2", ""]
    assert list(shown.columns[2].cells) == ["", "never synced", ""]
    assert list(shown.columns[1].cells) == ["primary", "replica", "unreachable"]


def test_status_shows_a_clock_that_differs() -> None:
    """As a skew beside the lag, and not as a lag."""
    ahead = NodeReport("n2", "u", lag_ms=120, clock_ahead_ms=3_600_000)
    behind = NodeReport("n3", "u", lag_ms=120, clock_ahead_ms=-61_000)
    same = NodeReport("n4", "u", lag_ms=120, clock_ahead_ms=-20)
    shown = ["120 ms (clock 3,600 s ahead)", "120 ms (clock 61 s behind)", "120 ms"]
    assert list(table([ahead, behind, same]).columns[2].cells) == shown


def test_status_without_anything_to_ask_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert run(["status"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("pylitefs: no demo is running, and no config file: ")
    assert error.endswith("or a node with --url\n")
    assert run(["status", "--dir", str(tmp_path)]) == 1
    assert "start one, or name nodes with --url" in capsys.readouterr().err


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
