"""What SQLite is told, and what Python is told, when a call cannot be done."""

import errno
from collections.abc import Callable
from contextlib import closing

import apsw
import pytest

from pylitefs.store.disk_state import refusal
from pylitefs.store.store import Store
from pylitefs.vfs.bridge import WAL_ALONE
from pylitefs.vfs.files import File, Files
from pylitefs.vfs.front import Front
from tests.vfs.shipping import ship


class Failing:
    """Files between SQLite and the store: `fail` gives the error that a call is to end with."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.fail: Callable[[str], OSError | None] = lambda call: None

    def _check(self, call: str) -> None:
        if (error := self.fail(call)) is not None:
            raise error

    def open(self, name: str | None, flags: int) -> File:
        self._check(f"open {name}")
        return self.files.open(name, flags)

    def delete(self, name: str) -> None:
        self._check(f"delete {name}")
        self.files.delete(name)

    def exists(self, name: str) -> bool:
        return self.files.exists(name)


@pytest.mark.parametrize(
    ("call", "code", "kind", "words"),
    [
        ("open a.db-journal", errno.ENOSPC, apsw.FullError, "no room"),
        ("open a.db-journal", errno.EACCES, apsw.ReadOnlyError, "no room"),
        ("delete a.db-journal", errno.EIO, apsw.IOError, "no room"),
    ],
)
def test_an_error_is_sqlite_s_kind_and_the_store_s_words(
    store: Store, call: str, code: int, kind: type[apsw.Error], words: str
) -> None:
    """And nothing of the transaction is left."""
    made: list[Failing] = []

    def wrap(files: Files) -> Failing:
        made.append(Failing(files))
        return made[-1]

    front = Front(store, wrap=wrap)
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
        made[0].fail = lambda asked: refusal(code, words) if asked == call else None
        with pytest.raises(kind, match=f"a.db-journal: {words}"):
            db.execute("INSERT INTO t VALUES (1)")
        made[0].fail = lambda asked: None
        assert db.execute("SELECT count(*) FROM t").get == 0
        db.execute("INSERT INTO t VALUES (2)")
    assert store.require("a.db").pos.txid == 2
    front.close()


def test_wal_mode_without_exclusive_locking_is_refused_in_words(front: Front) -> None:
    with closing(front.connect("a.db")) as db:
        with pytest.raises(apsw.SQLError, match=f"a.db: journal_mode=WAL {WAL_ALONE[:40]}"):
            db.execute("PRAGMA journal_mode=WAL")
        assert db.execute("PRAGMA journal_mode").get == "delete"
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        assert db.execute("PRAGMA journal_mode='wal'").get == "wal"
        db.execute("CREATE TABLE t (x)")


def test_a_name_with_a_folder_is_refused_in_words(front: Front) -> None:
    for name in ("/tmp/x.db", "../x.db", "folder/x.db"):
        with pytest.raises(apsw.CantOpenError, match="plain names"):
            front.connect(name)


def test_a_replica_s_writer_is_told_where_it_is(
    front: Front, replica: Front, store: Store, replica_store: Store
) -> None:
    with closing(front.connect("a.db")) as db:
        db.execute("CREATE TABLE t (x)")
    ship(store, replica_store, "a.db")
    with closing(replica.connect("a.db")) as db:
        for sql in ("INSERT INTO t VALUES (1)", "BEGIN IMMEDIATE", "VACUUM"):
            with pytest.raises(apsw.ReadOnlyError, match="this node is a replica"):
                db.execute(sql)
    with pytest.raises(apsw.ReadOnlyError, match=r"no b\.db on this replica"):
        replica.connect("b.db")
