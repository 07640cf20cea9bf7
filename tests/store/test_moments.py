"""A database as it was is read while its node goes on: the very bytes, or an error."""

import sqlite3

import pytest

from pylitefs.errors import HistoryGoneError, RestoreError
from pylitefs.store.database import Database
from pylitefs.store.moments import StoredMoment, look_up
from pylitefs.store.store import Store
from tests.store.serving import Served

MODES = ["delete", "wal"]


def make(served: Served, mode: str) -> sqlite3.Connection:
    db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}", "wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    for number in range(20):
        db.execute("INSERT INTO t VALUES (?, zeroblob(300))", (number,))
    return db


def rows(moment: StoredMoment) -> int:
    """How many rows SQLite finds in it."""
    with sqlite3.connect(":memory:") as db:
        db.deserialize(moment.read(0, moment.size))
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def forget(database: Database, txid: int) -> None:
    for span in database.ltx_files():
        if span[1] <= txid:
            database.state.ltx.remove(*span)


@pytest.mark.parametrize("mode", MODES)
def test_every_moment_is_there_and_stays_while_the_node_goes_on(
    store: Store, served: Served, mode: str
) -> None:
    db = make(served, mode)
    database = store.require("a.db")
    newest = database.pos.txid
    moments = {txid: StoredMoment(database, txid) for txid in range(newest - 19, newest + 1)}
    db.execute("DELETE FROM t")
    db.execute("CREATE TABLE u (x)")
    for number, txid in enumerate(moments, 1):
        assert rows(moments[txid]) == number
        moments[txid].close()
    with pytest.raises(RestoreError, match="any more, or not yet"):
        look_up(database, database.pos.txid + 1)


@pytest.mark.parametrize("mode", MODES)
def test_what_no_file_has_comes_from_the_database_as_it_is_now(
    store: Store, served: Served, mode: str
) -> None:
    """Until a transaction changes it: then it is gone, and no other page is given for it."""
    db = make(served, mode)
    database = store.require("a.db")
    txid = database.pos.txid
    forget(database, txid - 1)
    moment = StoredMoment(database, txid)
    assert rows(moment) == 20
    db.execute("UPDATE t SET x = zeroblob(301)")
    with pytest.raises(HistoryGoneError, match="history any more"):
        moment.read(0, moment.size)
    moment.close()


def test_an_open_moment_outlives_its_files(store: Store, served: Served) -> None:
    """Retention takes their names, and a moment that is opened later finds none."""
    make(served, "delete")
    database = store.require("a.db")
    txid = database.pos.txid - 5
    moment = StoredMoment(database, txid)
    forget(database, database.pos.txid - 1)
    assert rows(moment) == 15
    moment.close()
    with pytest.raises(RestoreError, match="any more"):
        StoredMoment(database, txid)


def test_a_drop_has_no_moment(store: Store, served: Served) -> None:
    make(served, "delete").close()
    served.unlink("a.db")
    database = store.require("a.db")
    with pytest.raises(RestoreError, match="was dropped"):
        StoredMoment(database, database.pos.txid)


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_before_a_gap_is_no_part_of_what_comes_after_it(
    store: Store, served: Served, mode: str
) -> None:
    """A power failure brings some reaped files back, and a file that the disk did not let go stays."""
    db = make(served, mode)
    database = store.require("a.db")
    newest = database.pos.txid
    db.execute("UPDATE t SET x = zeroblob(301) WHERE id < 10")
    database.state.ltx.remove(newest - 5, newest - 5)
    for txid in (newest - 6, newest, newest + 1):
        moment = StoredMoment(database, txid)
        try:
            assert rows(moment) == min(20, 20 - newest + txid)
        except HistoryGoneError:
            assert txid == newest
        finally:
            moment.close()


def test_a_moment_that_only_a_gap_leads_on_from_is_gone(store: Store, served: Served) -> None:
    """Which pages were changed in between, nobody knows."""
    make(served, "delete")
    database = store.require("a.db")
    newest = database.pos.txid
    forget(database, newest - 8)
    database.state.ltx.remove(newest - 5, newest - 5)
    with pytest.raises(RestoreError, match="gap"):
        StoredMoment(database, newest - 6)
