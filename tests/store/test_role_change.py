"""What a change of role does to a database that SQLite writes through the store's own calls."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.store.database import Database
from pylitefs.store.role_change import finish_stored, go_on, stop_writes
from pylitefs.store.status import lease_clock
from pylitefs.store.store import Store
from tests.replication.stores import Writer, database_bytes, opened
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node", primary=True) as made:
        yield made


@pytest.fixture
def served(store: Store, tmp_path: Path) -> Iterator[Served]:
    made = Served(store, tmp_path / "mount")
    yield made
    made.close()


def database_of(store: Store) -> Database:
    database = store.get("a.db")
    assert database is not None
    return database


@pytest.mark.parametrize("mode", ["delete", "wal", "memory", "off"])
def test_between_two_roles_no_write_is_a_transaction_and_afterwards_it_is_again(
    store: Store, served: Served, mode: str
) -> None:
    """The same connection gets an error, and then goes on; the position tells the bytes all the time."""
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t(n)")
    database = database_of(store)
    stop_writes(database)
    before = database.pos
    store.status.follow()
    with pytest.raises(sqlite3.OperationalError):
        db.execute("INSERT INTO t VALUES(1)")
    assert database.pos == before
    go_on(database)
    store.status.is_primary = True
    db.execute("INSERT INTO t VALUES(2)")
    stop_writes(database)
    assert database.pos.txid > before.txid
    assert_position_is_the_bytes_own(database)
    assert db.execute("SELECT n FROM t").fetchall() == [(2,)]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_commit_that_began_as_the_primary_s_fails_once_the_lease_is_over(
    store: Store, served: Served, mode: str
) -> None:
    """The lease ends while the LTX file is being written: SQLite has an error, and no LTX file is left."""
    db = served.connect("a.db", f"journal_mode={mode}")
    db.execute("CREATE TABLE t(n)")
    database = database_of(store)
    before, files = database.pos, sorted(database.ltx_dir.iterdir())
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES(1)")
    real = database.state.check_commit

    def late() -> None:
        store.status.lead(lease_clock() - 0.001)
        real()

    database.state.check_commit = late  # type: ignore[method-assign]
    with pytest.raises(sqlite3.OperationalError):
        db.execute("COMMIT")
    assert database.pos == before and sorted(database.ltx_dir.iterdir()) == files


def test_what_was_written_without_a_journal_is_captured_first(store: Store, served: Served) -> None:
    """Modes MEMORY and OFF: nothing but this marks their end."""
    db = served.connect("a.db", "journal_mode=off")
    db.execute("CREATE TABLE t(n)")
    database = database_of(store)
    stop_writes(database)
    assert not database.rollback_watch.dirty and database.pos.txid
    assert_position_is_the_bytes_own(database)


def test_a_stored_transaction_is_applied_before_a_node_becomes_the_primary(tmp_path: Path) -> None:
    """It came from a primary, which has acknowledged it."""
    with opened(tmp_path / "a", primary=True) as primary, opened(tmp_path / "b") as replica:
        writer = Writer(primary)
        writer.commit({1: 1})
        replica.receive_ltx("made.db", [_file(primary, 1)])
        content = writer.next_file({1: 2, 2: 2})
        writer.commit({1: 2, 2: 2})
        database = replica.get("made.db")
        assert database is not None
        path = database.ltx_path(2, 2)
        path.write_bytes(content)
        database.state.ltx.add(2, 2, content)
        finish_stored(replica, database)
        assert database.pos == writer.pos and database_bytes(replica, "made.db") == writer.whole()
        assert database.pos.checksum != EMPTY_CHECKSUM


def _file(store: Store, txid: int) -> bytes:
    database = store.get("made.db")
    assert database is not None
    return database.ltx_path(txid, txid).read_bytes()
