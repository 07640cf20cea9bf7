"""Import: another database's bytes become the next transaction, or nothing happens at all."""

import errno
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import InvalidNameError, ReadOnlyReplicaError, SqliteFormatError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.store import imports
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import assert_position_is_the_bytes_own, data_file, is_whole, query


def database(path: Path, *, page_size: int = 4096, mode: str = "delete", rows: int = 3) -> bytes:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE imported (id INTEGER PRIMARY KEY, x)")
        db.executemany("INSERT INTO imported (x) VALUES (randomblob(?))", [(3000,)] * rows)
    return path.read_bytes()


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_import_is_one_transaction_of_every_page(
    store: Store, tmp_path: Path, mode: str, page_size: int
) -> None:
    content = database(tmp_path / "source", page_size=page_size, mode=mode)
    done: list[int] = []
    pos = store.import_database("a.db", io.BytesIO(content), len(content), done.append)
    found = store.require("a.db")
    assert pos == found.pos and pos.txid == 1
    assert done[-1] == len(content)
    assert data_file(store, "a.db").read_bytes()[100:] == content[100:]
    assert_position_is_the_bytes_own(found)
    assert is_whole(data_file(store, "a.db"))
    with open_ltx(found.ltx_path(1, 1)) as decoder:
        assert len(list(decoder.pages())) == found.page_count == len(content) // page_size


def test_change_counter_and_schema_cookie_are_zeroed_as_litefs_does(store: Store, tmp_path: Path) -> None:
    store.import_database("a.db", io.BytesIO(database(tmp_path / "source")))
    page = data_file(store, "a.db").read_bytes()[:100]
    assert page[24:28] == page[40:44] == bytes(4)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_import_replaces_a_live_database_of_another_page_size(
    store: Store, served: Served, tmp_path: Path, mode: str
) -> None:
    db = served.connect("a.db", "page_size=1024", f"journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (randomblob(90000))")
    db.close()
    txid = store.require("a.db").pos.txid
    content = database(tmp_path / "source", page_size=512)
    assert store.import_database("a.db", io.BytesIO(content)).txid == txid + 1
    found = store.require("a.db")
    assert (found.page_size, found.page_count) == (512, len(content) // 512)
    assert_position_is_the_bytes_own(found)
    assert query(data_file(store, "a.db"), "SELECT count(*) FROM imported") == [(3,)]
    again = served.connect("a.db")
    again.execute("INSERT INTO imported (x) VALUES (1)")
    assert store.require("a.db").pos.txid == txid + 2
    assert_position_is_the_bytes_own(store.require("a.db"))


def test_an_import_after_a_killed_writer_s_half_transaction_is_whole(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = served.connect("a.db", "page_size=512", "cache_size=1")
    db.execute("CREATE TABLE t (x)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (randomblob(?))", [(400,)] * 30)
    assert store.require("a.db").rollback_watch.dirty
    served.refuse = lambda call, name: 0 if call == "close" else 107  # The kernel closes for the dead.
    db.close()
    served.refuse = lambda call, name: 0
    store.import_database("a.db", io.BytesIO(database(tmp_path / "source")))
    found = store.require("a.db")
    assert not found.rollback_watch.dirty and not found.path(FileKind.JOURNAL).exists()
    assert_position_is_the_bytes_own(found)
    assert served.connect("a.db").execute("SELECT count(*) FROM imported").fetchall() == [(3,)]


@pytest.mark.parametrize("length", [0, 1, 99, 100, 4096, -4096, -1])
def test_what_is_no_whole_database_changes_nothing(
    store: Store, served: Served, tmp_path: Path, length: int
) -> None:
    served.connect("a.db").execute("CREATE TABLE t (x)")
    before = store.positions()
    content = database(tmp_path / "source")
    with pytest.raises(SqliteFormatError, match=r"cannot import a.db: .*"):
        store.import_database("a.db", io.BytesIO(content[:length]))
    with pytest.raises(SqliteFormatError):
        store.import_database("new.db", io.BytesIO(content[:length]))
    assert store.positions() == before and store.names() == ["a.db"]
    assert not list((store.data_dir / "tmp").iterdir())


def test_a_body_that_ends_early_changes_nothing(store: Store, tmp_path: Path) -> None:
    content = database(tmp_path / "source")
    with pytest.raises(SqliteFormatError, match=rf"only 4096 of {len(content)} bytes arrived"):
        store.import_database("a.db", io.BytesIO(content[:4096]), len(content))
    assert store.names() == []


def test_an_encrypted_or_foreign_file_is_named_for_what_it_is(store: Store) -> None:
    with pytest.raises(SqliteFormatError, match=r"cannot import a\.db: not a SQLite database: it begins"):
        store.import_database("a.db", io.BytesIO(b"\x7fELF" + bytes(5000)))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "a-wal", "a-journal", "a-pos", ".lag", "x" * 241])
def test_a_hostile_name_is_refused_before_a_byte_is_read(store: Store, name: str) -> None:
    class Unread(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise AssertionError("nothing must be read")

    with pytest.raises(InvalidNameError):
        store.import_database(name, Unread())
    assert store.databases() == []


def test_a_replica_refuses_and_names_the_remedy(store: Store) -> None:
    store.status.is_primary = False
    with pytest.raises(ReadOnlyReplicaError, match="give -url the primary's address"):
        store.import_database("a.db", io.BytesIO(b""))


def test_bytes_after_the_last_page_are_cut_off(store: Store, tmp_path: Path) -> None:
    """A copy of a file that VACUUM had not shortened yet."""
    content = database(tmp_path / "source")
    store.import_database("a.db", io.BytesIO(content + bytes(8192)))
    assert data_file(store, "a.db").stat().st_size == len(content)
    assert_position_is_the_bytes_own(store.require("a.db"))


def test_an_import_that_fails_in_its_middle_is_not_published_before_it_is_whole(
    store: Store, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room for its pages: the position stays, nothing else gets in between, and then it is done."""
    monkeypatch.setattr(imports, "AGAIN_S", 0.01)
    served.connect("a.db").execute("CREATE TABLE t (x)")
    found = store.require("a.db")
    before, calls = found.pos, 0
    published: list[Path] = []

    def publish(*_: object) -> None:
        published.append(found.path(FileKind.DATABASE))
        assert is_whole(published[-1]) and found.state.applying == found.pos.txid
        assert_position_is_the_bytes_own(found)

    def full(call: str, name: str, fd: int) -> None:
        nonlocal calls
        if call == "pwrite" and name.endswith("/database"):
            calls += 1
            if calls % 4 == 2 and calls < 12:
                assert found.pos == before, "not before the pages are there"
                with pytest.raises(OSError, match="under way"):
                    found.remove(FileKind.DATABASE)
                raise OSError(errno.ENOSPC, "No space left on device")

    store.subscribe(publish)
    with watching(store.data_dir, full):
        pos = store.import_database("a.db", io.BytesIO(database(tmp_path / "source")))
    assert calls > 12 and len(published) == 1
    assert pos == found.pos and pos.txid == before.txid + 1
    assert found.state.applying == 0
