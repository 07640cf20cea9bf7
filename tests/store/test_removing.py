"""The removal of a database's files, where the disk refuses it: the drop counts all the same."""

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pylitefs.ltx.checksum import EMPTY_CHECKSUM
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import checksum_of, opened, replayed


def fail(monkeypatch: pytest.MonkeyPatch, kind: FileKind, *calls: str) -> None:
    """These calls fail for one of the files."""
    for call in calls:
        original = getattr(os, call)

        def failing(path: Any, *arguments: Any, original: Any = original, **options: Any) -> Any:
            if isinstance(path, Path) and path.name == kind.value:
                raise OSError(errno.EIO, "failed by the test")
            return original(path, *arguments, **options)

        monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize("kind", list(FileKind))
@pytest.mark.parametrize("mode", ["persist", "wal"])
def test_a_file_that_cannot_be_removed_is_emptied_and_the_database_is_dropped(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch, mode: str, kind: FileKind
) -> None:
    """Its bytes are what its position says, who had it open changes nothing, and the name comes again."""
    old = served.connect("a.db", "page_size=1024", f"journal_mode={mode}")
    old.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(3000))")
    database = store.require("a.db")
    fail(monkeypatch, kind, "unlink")
    if kind is FileKind.DATABASE:
        with pytest.raises(OSError):
            served.unlink("a.db")
    else:
        served.unlink("a.db")
    monkeypatch.undo()
    assert database.pos.checksum == EMPTY_CHECKSUM and database.page_count == 0
    assert not any(database.path(one).exists() for one in FileKind if one is not kind)
    with suppress(sqlite3.OperationalError):
        old.executescript("BEGIN; INSERT INTO t VALUES (randomblob(9000)); COMMIT")
    old.close()
    assert not database.path(kind).exists() or kind is FileKind.SHM or database.path(kind).stat().st_size == 0
    assert database.pos.checksum == EMPTY_CHECKSUM
    new = served.connect("a.db", "page_size=512", f"journal_mode={mode}")
    new.execute("CREATE TABLE u (x)")
    content = new.serialize()
    assert checksum_of(content, 512) == database.pos.checksum and replayed(database) == content


def test_what_cannot_even_be_emptied_takes_no_transaction_until_the_next_start(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    fail(monkeypatch, FileKind.DATABASE, "unlink", "truncate")
    with pytest.raises(OSError):
        served.unlink("a.db")
    monkeypatch.undo()
    assert "can neither be removed" in caplog.text and "start it again" in caplog.text
    again = served.connect("a.db")
    with pytest.raises(sqlite3.OperationalError):
        again.execute("INSERT INTO t VALUES (1)")
    pos = store.require("a.db").pos
    served.close()
    store.close()
    with opened(store.data_dir) as restarted:
        assert restarted.require("a.db").pos == pos and not restarted.require("a.db").exists


def test_a_wal_that_cannot_be_removed_at_its_end_is_emptied(
    served: Served, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite ignores that, and would write its next frames behind the old ones, which nobody looks at."""
    db = served.connect("a.db", "page_size=1024", "journal_mode=wal")
    db.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(3000))")
    database = store.require("a.db")
    fail(monkeypatch, FileKind.WAL, "unlink")
    db.execute("PRAGMA journal_mode=delete").fetchall()
    monkeypatch.undo()
    db.execute("INSERT INTO t VALUES (randomblob(2000))")
    store.settle()
    content = db.serialize()
    assert checksum_of(content, 1024) == database.pos.checksum and replayed(database) == content
