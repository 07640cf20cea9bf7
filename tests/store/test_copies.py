"""A database that is copied onto the mount becomes a transaction once it is complete; no close waits."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.store.database import Database
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.open_files import open_below
from tests.store.serving import Served
from tests.store.support import data_file, refused

RW = os.O_RDWR
WRONLY = os.O_WRONLY


def copy_in(database: Database, content: bytes, *, whole: bool = True) -> int:
    """What `cp` does through the mount, up to its close; the descriptor."""
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    end = len(content) if whole else len(content) - 1
    for at in range(0, end, 4096):
        database.write(FileKind.DATABASE, fd, content[at : min(at + 4096, end)], at)
    return fd


LOOKS: dict[str, Callable[[Store, Database, Path], object]] = {
    "an open": lambda store, database, tmp: os.close(database.open_file(FileKind.DATABASE, RW, False)),
    "the applier's open": lambda store, database, tmp: os.close(
        database.open_file(FileKind.DATABASE, RW, True)
    ),
    "an export": lambda store, database, tmp: store.export(database.name, tmp / "out"),
    "a snapshot": lambda store, database, tmp: store.snapshot(database.name, tmp / "out"),
    "its position": lambda store, database, tmp: database.settle(),
}


def test_a_database_that_is_copied_in_is_a_transaction_when_it_is_released(
    store: Store, source: Path
) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    assert database.pos.txid == 0, "no close waits for a capture"
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1
    assert data_file(store, "a.db").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_a_copy_that_has_ended_is_a_transaction_before_anyone_looks(
    store: Store, source: Path, tmp_path: Path, look: Callable[[Store, Database, Path], object]
) -> None:
    """The kernel tells of the release after `close(2)` has returned: whoever looks may come first."""
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    look(store, database, tmp_path)
    assert database.pos.txid == 1
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1


def test_a_copy_is_a_transaction_at_its_sync(store: Store, source: Path) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    database.sync(FileKind.DATABASE, fd)
    assert database.pos.txid == 1
    database.release(FileKind.DATABASE, fd)
    assert database.pos.txid == 1


def test_a_copy_that_grew_first_is_not_taken_before_its_end(store: Store, source: Path) -> None:
    """It has its length and its header long before its last page: only the release tells."""
    database = store.create("a.db")
    content = source.read_bytes()
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    database.truncate(FileKind.DATABASE, len(content), False, fd)
    database.write(FileKind.DATABASE, fd, content[:4096], 0)
    database.sync(FileKind.DATABASE, fd)
    assert database.pos.txid == 0
    looking = threading.Thread(target=database.settle)
    looking.start()
    database.write(FileKind.DATABASE, fd, content[4096:], 4096)
    database.release(FileKind.DATABASE, fd)
    looking.join(10)
    assert database.pos.txid == 1
    store.export(database.name, source)
    assert source.read_bytes() == content


def test_what_is_written_after_the_capture_is_captured_too(store: Store, source: Path) -> None:
    database = store.create("a.db")
    content = source.read_bytes()
    fd = copy_in(database, content)
    database.settle()
    database.write(FileKind.DATABASE, fd, content[-100:-50] + bytes(50), len(content) - 100)
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: database.pos.txid == 2)


@pytest.mark.parametrize("content", ["half", "garbage"])
def test_what_is_not_a_whole_database_at_the_end_is_not_kept(
    store: Store, source: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    database = store.create("a.db")
    raw = source.read_bytes() if content == "half" else b"not a database, but long" * 300
    fd = copy_in(database, raw, whole=False)
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: not database.exists)
    assert database.pos.txid == 0
    assert "refused on a.db: copying a file onto the mount: it is not a whole SQLite database" in caplog.text
    assert "pylitefs import" in caplog.text


def wait_for(condition: Callable[[], bool]) -> None:
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("never came true")


def test_a_copy_that_cannot_be_kept_fails_and_leaves_nothing(
    store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = store.create("a.db")
    before = open_below(store.data_dir)
    fd = copy_in(database, source.read_bytes())
    database.ltx_dir.rmdir()  # The LTX file cannot be made.
    refused(errno.ENOENT, lambda: database.sync(FileKind.DATABASE, fd))
    database.settle()
    database.release(FileKind.DATABASE, fd)
    wait_for(lambda: not database.exists)
    assert store.positions() == {}
    assert "refused on a.db: copying a file onto the mount" in caplog.text
    database.state.close()
    assert open_below(store.data_dir) == before


def test_a_copy_over_a_database_is_refused_with_the_way_to_do_it(
    served: Served, store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    served.connect("a.db").executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1)")
    database = store.require("a.db")
    before = data_file(store, "a.db").read_bytes()
    fd = database.open_file(FileKind.DATABASE, WRONLY, False)
    refused(errno.EPERM, lambda: database.truncate(FileKind.DATABASE, 0, False, fd))
    refused(errno.EPERM, lambda: database.write(FileKind.DATABASE, fd, source.read_bytes(), 0))
    refused(errno.EPERM, lambda: database.truncate(FileKind.DATABASE, 0))
    database.release(FileKind.DATABASE, fd)
    assert data_file(store, "a.db").read_bytes() == before
    assert caplog.text.count("use `pylitefs import` to replace a database") == 3


def test_a_copy_whose_name_is_removed_meanwhile_is_no_transaction_of_whoever_has_the_name_next(
    served: Served, store: Store, source: Path
) -> None:
    database = store.create("a.db")
    fd = copy_in(database, source.read_bytes())
    database.remove(FileKind.DATABASE)
    db = served.connect("a.db")
    db.execute("CREATE TABLE other (x)")
    pos = database.pos
    database.release(FileKind.DATABASE, fd)
    assert database.pos == pos and database.exists
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("other",)]


def test_a_file_that_was_only_touched_is_no_transaction(store: Store) -> None:
    database = store.create("a.db")
    fd = database.create_file(FileKind.DATABASE, WRONLY | os.O_CREAT, False)
    database.release(FileKind.DATABASE, fd)
    assert store.names() == ["a.db"] and store.positions() == {}
    database.remove(FileKind.DATABASE)
    assert store.names() == [] and not database.dir.exists()
