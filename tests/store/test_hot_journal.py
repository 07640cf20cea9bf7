"""A journal that somebody put beside a database: rolled back if that leaves a database, else refused."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.sqlite.journal import read_journal
from pylitefs.store.database import Database
from pylitefs.store.hot_journal import KEPT
from pylitefs.store.names import FileKind
from tests.sqlite.journals import make_journal
from tests.store.serving import Served
from tests.store.support import (
    assert_captured,
    assert_position_is_the_bytes_own,
    data_file,
    refused,
    seen_by_sqlite,
)


def made(served: Served, *pragmas: str) -> Database:
    """`a.db` of 1,024-byte pages with a table of some pages."""
    db = served.connect("a.db", "page_size=1024", *pragmas)
    db.execute("CREATE TABLE t (x)")
    db.execute("BEGIN")
    db.executemany("INSERT INTO t VALUES (?)", [("x" * 100,)] * 60)
    db.execute("COMMIT")
    db.close()
    return served.store.require("a.db")


def plant(database: Database, data: bytes) -> None:
    """As `cp` does it."""
    fd = database.create_file(FileKind.JOURNAL, os.O_WRONLY | os.O_CREAT, applier=False)
    database.write(FileKind.JOURNAL, fd, data, 0)
    database.release(FileKind.JOURNAL, fd)


def half_way(content: bytes, folder: Path) -> tuple[bytes, bytes]:
    """A database in the middle of a transaction, and its journal, as a kill would leave them."""
    path = folder / "half.db"
    path.write_bytes(content)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN")
    db.execute("UPDATE t SET x = 'y' || x")
    db.execute("PRAGMA cache_spill=1")
    found = path.read_bytes(), Path(f"{path}-journal").read_bytes()
    db.close()
    return found


JOURNALS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing was there": (lambda: make_journal([[]], initial_pages=0), "it would leave an empty file"),
    "no database": (lambda: make_journal([[1, 2, 3]]), "not a SQLite database"),
    "garbage in a table": (lambda: make_journal([[2, 3]], initial_pages=11), "malformed"),
    "pages of another size": (lambda: make_journal([[1]], page_size=4096), "its pages have 4096 bytes"),
    "a huge file": (lambda: make_journal([[2]], initial_pages=900), "malformed"),
    "cut short": (lambda: make_journal([[]], initial_pages=2), "malformed"),
}


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("name", JOURNALS)
def test_a_journal_that_would_leave_no_database_is_refused_and_nobody_notices(
    served: Served, caplog: pytest.LogCaptureFixture, name: str, mode: str
) -> None:
    """Readers and writers go on without an error; the log names the journal and where it is kept."""
    make, why = JOURNALS[name]
    database = made(served, f"journal_mode={mode}")
    before, pos = seen_by_sqlite(served), database.pos
    data = make()
    plant(database, data)
    assert seen_by_sqlite(served) == before
    assert database.pos == pos and not data_file(served.store, "a.db", FileKind.JOURNAL).exists()
    [line] = [record.getMessage() for record in caplog.records]
    kept = database.dir / KEPT
    assert line.startswith("refused on a.db: rolling back by a.db-journal: ") and why in line
    assert f"the journal is kept as {kept}: remove it, or see who wrote it" in line
    assert kept.read_bytes() == data and not list(database.dir.glob("*.tmp"))
    served.connect("a.db").execute("INSERT INTO t VALUES ('after')")
    assert_captured(served, pos.txid + 1)


def test_a_killed_client_s_journal_is_rolled_back_and_nothing_is_copied(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are as they were committed: it takes one reading, and no check of SQLite's."""
    database = made(served)
    before, pos = seen_by_sqlite(served), database.pos
    _, journal = half_way(before, served.directory.parent)
    monkeypatch.setattr("pylitefs.store.hot_journal._why_no_database", lambda *_: 1 / 0)
    plant(database, journal)
    assert seen_by_sqlite(served) == before and database.pos == pos
    assert caplog.records == [] and not (database.dir / KEPT).exists()


@pytest.mark.parametrize("page_size", [512, 1024, 4096])
def test_a_killed_client_s_first_transaction_is_rolled_back_whatever_had_the_name_before(
    served: Served, caplog: pytest.LogCaptureFixture, page_size: int
) -> None:
    """The database of that name was removed; its pages had a size of their own."""
    made(served).remove(FileKind.DATABASE)
    database = served.store.create("a.db")
    fd = database.create_file(FileKind.DATABASE, os.O_RDWR | os.O_CREAT, False)
    plant(database, make_journal([[]], page_size=page_size, initial_pages=0))
    database.write(FileKind.DATABASE, fd, b"half of a page".ljust(page_size, b"?"), 0)
    database.release(FileKind.DATABASE, fd)
    assert served.connect("a.db").execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(0,)]
    assert data_file(served.store, "a.db").stat().st_size == 0
    assert caplog.records == [] and not (database.dir / KEPT).exists()
    after = database.pos.txid + 1
    served.connect("a.db", f"page_size={page_size}").execute("CREATE TABLE u (x)")
    assert_captured(served, after)


def test_a_database_that_is_copied_half_way_is_rolled_back_by_the_journal_that_comes_after(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """`cp a.db a.db-journal MOUNT`: what SQLite makes of the two is a transaction."""
    database = made(served)
    whole = seen_by_sqlite(served)
    spoiled, journal = half_way(whole, served.directory.parent)
    assert spoiled != whole
    copied = served.store.create("b.db")
    fd = copied.create_file(FileKind.DATABASE, os.O_WRONLY | os.O_CREAT, applier=False)
    copied.write(FileKind.DATABASE, fd, spoiled, 0)
    copied.sync(FileKind.DATABASE, fd)
    copied.release(FileKind.DATABASE, fd)
    assert copied.pos.txid == 1 and copied.pos.checksum != database.pos.checksum
    plant(copied, journal)
    assert seen_by_sqlite(served, "b.db") == whole
    assert copied.pos.txid == 2 and copied.pos.checksum == database.pos.checksum
    assert caplog.records == []


@pytest.mark.parametrize("client", ["none", "half-way"])
def test_what_the_applier_rolls_back_by_such_a_journal_is_a_transaction_too(
    served: Served, client: str
) -> None:
    """Also where a client had begun to, and was killed: the position tells all of it."""
    whole = seen_by_sqlite(served, made(served).name)
    spoiled, journal = half_way(whole, served.directory.parent)
    copied = served.store.create("b.db")
    fd = copied.create_file(FileKind.DATABASE, os.O_WRONLY | os.O_CREAT, applier=False)
    copied.write(FileKind.DATABASE, fd, spoiled, 0)
    copied.sync(FileKind.DATABASE, fd)
    copied.release(FileKind.DATABASE, fd)
    plant(copied, journal)
    for applier in [False, True] if client == "half-way" else [True]:
        files = {
            kind: copied.open_file(kind, os.O_RDWR, applier) for kind in (FileKind.JOURNAL, FileKind.DATABASE)
        }
        pages = read_journal(lambda at, size: journal[at : at + size], len(journal)).records
        for pgno, page in list(pages)[: None if applier else 3]:
            copied.write(FileKind.DATABASE, files[FileKind.DATABASE], page, (pgno - 1) * 1024, applier)
        for kind, fd in files.items():
            copied.release(kind, fd, applier)
    copied.truncate(FileKind.DATABASE, len(whole), applier=True)
    copied.remove(FileKind.JOURNAL, applier=True)
    assert copied.path(FileKind.DATABASE).read_bytes() == whole
    assert copied.pos.txid == 2
    assert_position_is_the_bytes_own(copied)


def test_bytes_that_are_no_journal_are_sqlite_s_to_remove(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    database = made(served)
    before = seen_by_sqlite(served)
    for data in (b"hello world" * 99, bytes(2000), b"x", make_journal([[]])[:200]):
        plant(database, data)
        assert seen_by_sqlite(served) == before
    assert caplog.records == []


def test_a_journal_is_not_copied_over_one_that_holds_a_transaction(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """`cp` would empty it first, and that is a commit: half of a transaction would be one."""
    database = made(served)
    pos = database.pos
    db = served.connect("a.db", "cache_size=1")
    db.execute("BEGIN")
    db.execute("UPDATE t SET x = 'y' || x")
    assert database.rollback_watch.journal_live
    refused(errno.EPERM, lambda: database.open_file(FileKind.JOURNAL, os.O_WRONLY, applier=False))
    assert "copying over a.db-journal" in caplog.text and "open the database with SQLite" in caplog.text
    assert database.pos == pos
    db.execute("ROLLBACK")
    assert database.pos == pos
