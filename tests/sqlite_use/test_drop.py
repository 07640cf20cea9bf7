"""Removing a database and making it again under its name, with readers on both nodes."""

import os
import sqlite3

import pytest

from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from tests.sqlite_use.pair import Pair, connect, content, position_on, run, shell

pytestmark = pytest.mark.fuse

each_mode = pytest.mark.parametrize("mode", ["delete", "persist", "wal"])


@each_mode
def test_a_drop_is_a_transaction_everywhere(pair: Pair, mode: str) -> None:
    """`-pos` says …/8000000000000000, all files are gone, and the next life goes on counting."""
    name = f"drop-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    before = pair.check(name)
    run("rm", path)
    pos = pair.wait_replica(name)
    assert (pos.txid, pos.checksum) == (before.txid + 1, EMPTY_CHECKSUM)
    for node in pair.cluster:
        assert (node.mount / f"{name}-pos").read_text() == f"{before.txid + 1:016x}/8000000000000000\n"
        assert not any(entry.startswith(name) for entry in os.listdir(node.mount))
        assert not node.database(name).exists()
        answer = pair.http.get(f"{node.url}/export", params={"name": name})
        assert (answer.status_code, answer.text) == (404, "database not found\n")
    pair.make(name, f"PRAGMA journal_mode={mode}", rows=5)
    assert pair.check(name).txid > before.txid + 1
    assert shell(pair.copy(name), "SELECT count(*) FROM t") == "5"


@each_mode
def test_a_reader_on_the_replica_that_stays_connected(pair: Pair, mode: str) -> None:
    """It keeps what it had open, or says that it is gone; a new connection sees the new database."""
    name = f"reader-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    pair.check(name)
    for life in (1, 2, 3):
        with connect(pair.copy(name)) as reader:
            rows = reader.execute("SELECT count(*) FROM t").fetchone()[0]
            path.unlink()
            pair.wait_replica(name)
            pair.make(name, f"PRAGMA journal_mode={mode}", rows=life)
            pair.wait_replica(name)
            try:
                assert reader.execute("SELECT count(*) FROM t").fetchone()[0] in (rows, life)
            except sqlite3.OperationalError as error:
                assert "malformed" not in str(error)
        reader.close()
        pair.check(name)
        assert shell(pair.copy(name), "SELECT count(*) FROM t") == str(life)


@each_mode
def test_a_read_transaction_on_the_replica_that_is_open_when_the_drop_comes(pair: Pair, mode: str) -> None:
    name = f"open-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    pair.check(name)
    with connect(pair.copy(name)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (50,)
        path.unlink()
        pair.wait_replica(name)
        assert reader.execute("SELECT count(*), sum(a) FROM t").fetchone() == (50, 1275)
        reader.execute("COMMIT")
    reader.close()
    assert pair.check(name).checksum == EMPTY_CHECKSUM
    pair.make(name, f"PRAGMA journal_mode={mode}", rows=7)
    pair.check(name)


@each_mode
def test_a_client_of_the_primary_that_stays_connected_over_the_drop(pair: Pair, mode: str) -> None:
    """It may go on with the file that has no name any more, or fail; the new database is not harmed."""
    name = f"client-{mode}.db"
    path = pair.make(name, f"PRAGMA journal_mode={mode}", rows=50)
    with connect(path) as old:
        old.execute("INSERT INTO t(b) VALUES('one')")
        path.unlink()
        pair.make(name, f"PRAGMA journal_mode={mode}", rows=3)
        pos = pair.check(name)
        for statement in ("SELECT count(*) FROM t", "INSERT INTO t(b) VALUES('two')", "DELETE FROM t"):
            try:
                old.execute(statement).fetchall()
            except sqlite3.Error:
                pass
    old.close()
    assert pair.check(name) == pos
    assert shell(path, "SELECT count(*) FROM t") == "3"


def test_a_drop_in_the_middle_of_a_transaction(pair: Pair) -> None:
    """The writer's spilled pages, and its journal, go with the file."""
    path = pair.make("middle.db", rows=200)
    before = pair.check("middle.db")
    with connect(path) as db:
        db.execute("PRAGMA cache_size=5")
        db.execute("BEGIN")
        db.execute("UPDATE t SET b=hex(randomblob(200))")
        path.unlink()
        assert pair.check("middle.db").txid == before.txid + 1
        try:
            db.execute("COMMIT")
        except sqlite3.Error:
            pass
        pair.make("middle.db", rows=4)
        pos = pair.check("middle.db")
    db.close()
    assert pair.check("middle.db") == pos


def test_dropped_while_the_replica_is_away(pair: Pair) -> None:
    """It learns of the drop, and of the new database under the name, when it is back."""
    for name in ("away.db", "again.db"):
        pair.make(name, rows=20)
        pair.check(name)
    pair.replica.kill9()
    pair.path("away.db").unlink()
    pair.path("again.db").unlink()
    pair.make("again.db", "PRAGMA page_size=1024", rows=5)
    pair.replica.restart()
    assert pair.wait_replica("away.db").checksum == EMPTY_CHECKSUM
    assert not pair.copy("away.db").exists()
    pair.check("again.db")


def test_a_dropped_database_stays_dropped_over_a_restart(pair: Pair) -> None:
    pair.make("gone.db", rows=20)
    pair.path("gone.db").unlink()
    pos = pair.wait_replica("gone.db")
    for node in pair.cluster:
        node.restart()
    assert [position_on(node, "gone.db") for node in pair.cluster] == [pos, pos]
    assert not any(node.database("gone.db").exists() for node in pair.cluster)
    pair.make("gone.db", rows=2)
    assert pair.check("gone.db").txid > pos.txid
    assert content(pair.path("gone.db")).count("INSERT") == 2
