"""The connection knows its node, and says what SQLite leaves out."""

from contextlib import closing
from types import SimpleNamespace

import apsw
import pytest

from pylitefs.store.store import Store
from pylitefs.vfs.connection import Connection
from pylitefs.vfs.front import Front


def connect(front: Front, name: str) -> Connection:
    made = front.connect(name, busy_s=0, make=Connection.of(SimpleNamespace(store=front.store)))
    assert isinstance(made, Connection)
    return made


def test_it_knows_its_position(front: Front, store: Store) -> None:
    with closing(connect(front, "a.db")) as db:
        assert db.position().txid == 0
        db.execute("CREATE TABLE t (x)")
        assert db.position() == store.require("a.db").pos
        assert db.database == "a.db"


def test_a_database_in_wal_mode_says_what_it_needs(front: Front) -> None:
    """SQLite says "unable to open database file"; an attached one is found, too."""
    with closing(connect(front, "w.db")) as db:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x)")
    with closing(connect(front, "w.db")) as db:
        for ask in (db.execute, db.cursor().execute):
            with pytest.raises(
                apsw.CantOpenError, match=r"^w\.db is in WAL mode, which needs locking_mode=EX"
            ):
                ask("SELECT * FROM t")
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        assert db.execute("PRAGMA journal_mode=DELETE").get == "delete"
    with closing(connect(front, "w.db")) as db:
        assert db.execute("SELECT count(*) FROM t").get == 0


def test_a_file_that_cannot_be_opened_for_another_reason_keeps_its_words(front: Front) -> None:
    with closing(connect(front, "a.db")) as db:
        with pytest.raises(apsw.CantOpenError, match="plain names"):
            db.execute("ATTACH 'folder/b.db' AS b")
        db.execute("ATTACH 'b.db' AS b")
        db.execute("CREATE TABLE b.t (x)")
