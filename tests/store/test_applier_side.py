"""What the applier does to a database's files: it ends what the past has left, and nothing of a client's."""

import errno
import os
from pathlib import Path

import pytest

from pylitefs.errors import BusyError
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import query, refused

RW = os.O_RDWR


def test_the_applier_leaves_a_journal_that_a_writer_has_open(
    served: Served, store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the locks say: a live journal with somebody behind it is no leftover."""
    db = served.connect("a.db")
    db.executescript("CREATE TABLE t (x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1); PRAGMA cache_size=1;")
    database = store.require("a.db")
    assert database.path(FileKind.JOURNAL).exists()
    db.executemany("INSERT INTO t VALUES (?)", [(bytes(3000),)] * 50)  # The journal is written and synced.
    refused(errno.EBUSY, lambda: database.remove(FileKind.JOURNAL, True))
    refused(errno.EBUSY, lambda: database.open_file(FileKind.JOURNAL, RW, True))
    assert "a client has it open with a transaction in it" in caplog.text
    pos = database.pos
    with open(source, "rb") as file, pytest.raises(BusyError, match="a client has its journal open"):
        store.import_database("a.db", file)
    assert database.pos == pos and database.path(FileKind.JOURNAL).exists()
    db.execute("COMMIT")
    assert query(database.path(FileKind.DATABASE), "SELECT count(*) FROM t") == [(51,)]
