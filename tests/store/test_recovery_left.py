"""Recovery of what the database file holds and no LTX file does: captured, or kept aside and said so.

What was committed without a journal, and free pages, are in test_recovery_journal.py and
test_recovery_free_pages.py as well, by whole recoveries.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import RecoveryError
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import Header
from pylitefs.store.capture import commit_transaction
from pylitefs.store.checksums import PageChecksums
from pylitefs.store.names import FileKind
from pylitefs.store.recovery_left import capture_left, database_header, may_be_free_pages
from pylitefs.store.recovery_replay import Replay
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from tests.store.lefts import leave, ltx, make, side, values
from tests.store.serving import Served
from tests.store.support import data_file, opened


def dropped(directory: Path) -> list[Path]:
    return sorted((directory / "dbs" / "a.db").glob("dropped-*"))


@pytest.mark.parametrize("mode", ["delete", "persist", "wal"])
def test_a_transaction_whose_ltx_file_is_gone_is_kept_aside_and_comes_back_when_put_back(
    store: Store, served: Served, tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """In WAL mode the checkpoint brought it into the database file, which alone has it now."""
    db = make(served, f"journal_mode={mode}", "page_size=512")
    db.execute("INSERT INTO t VALUES (2, randomblob(4000))")
    db.close()
    wanted = data_file(store, "a.db").read_bytes()
    left = leave(store, tmp_path / "left")
    last = store.require("a.db").pos.txid
    ltx(left, last).unlink()
    with opened(left) as again:
        assert values(again) == [0, 1]
        assert again.require("a.db").pos.txid == last - 1
    (kept,) = dropped(left)
    said = [one.getMessage() for one in caplog.records if "is dropped" in one.getMessage()]
    assert len(said) == 1 and f"TXID {last}, whose LTX file is gone, is dropped" in said[0]
    assert str(kept) in said[0] and str(ltx(left, last)) in said[0]
    header, _ = verify_file(kept)
    assert (header.min_txid, header.max_txid) == (last, last)
    kept.rename(ltx(left, last))
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert data_file(again, "a.db").read_bytes() == wanted
        assert again.positions() == store.positions(), "it is the very transaction"


def test_a_wal_that_is_ahead_is_kept_aside(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = make(served, "journal_mode=wal", "wal_autocheckpoint=0")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    left = leave(store, tmp_path / "left")
    last = store.require("a.db").pos.txid
    ltx(left, last).unlink()
    with opened(left) as again:
        assert values(again) == [0, 1]
    removed = left / "dbs" / "a.db" / "wal.removed"
    assert f"this drops TXID {last}" in caplog.text and str(removed) in caplog.text
    copy = tmp_path / "copy"
    shutil.copy(side(left, FileKind.DATABASE), copy)
    shutil.copy(removed, tmp_path / "copy-wal")
    with closing(sqlite3.connect(copy)) as look:
        assert look.execute("SELECT v FROM t").fetchall() == [(0,), (1,), (2,)]


def test_only_the_newest_that_were_dropped_are_kept(store: Store, served: Served, tmp_path: Path) -> None:
    make(served, count=8).close()
    content = data_file(store, "a.db").read_bytes()
    left = leave(store, tmp_path / "left")
    last = store.require("a.db").pos.txid
    for txid in range(last, last - 6, -1):
        ltx(left, txid).unlink()
        side(left, FileKind.DATABASE).write_bytes(content)
        with opened(left):
            pass
    assert len(dropped(left)) == 3


def test_an_ordinary_crash_leaves_nothing_aside(store: Store, served: Served, tmp_path: Path) -> None:
    """Its file is older than the newest LTX file, or has a part of it."""
    db = make(served, "page_size=512")
    older = data_file(store, "a.db").read_bytes()
    db.execute("INSERT INTO t VALUES (2, randomblob(3000))")
    newer = data_file(store, "a.db").read_bytes()
    for number, content in enumerate((older, b"", older[:512] + newer[512:], newer[:512] + older[512:])):
        left = leave(store, tmp_path / f"left{number}")
        side(left, FileKind.DATABASE).write_bytes(content)
        with opened(left, primary=number % 2 == 0) as again:
            assert values(again) == [0, 1, 2]
        assert not dropped(left)


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("reaped", [False, True])
def test_a_crash_in_an_import_leaves_nothing_aside(
    store: Store, served: Served, tmp_path: Path, mode: str, reaped: bool
) -> None:
    """What is in the database file is older, though an import's change counter is the lower one."""
    db = make(served, f"journal_mode={mode}", "page_size=512", count=8)
    db.close()
    older = data_file(store, "a.db").read_bytes()
    source = tmp_path / "source"
    with closing(sqlite3.connect(source)) as new, new:
        new.execute("PRAGMA page_size=512")
        new.execute("CREATE TABLE t (k, v)")
        new.execute("INSERT INTO t VALUES (7, 7)")
    with source.open("rb") as file:
        last = store.import_database("a.db", file).txid
    left = leave(store, tmp_path / "left")
    side(left, FileKind.DATABASE).write_bytes(older)
    if reaped:
        for path in ltx(left, last).parent.iterdir():
            if path != ltx(left, last):
                path.unlink()
    with opened(left) as again:
        assert values(again) == [7]
        assert again.positions() == store.positions()
    assert not dropped(left)


def test_a_file_that_is_no_database_has_no_header(tmp_path: Path, source: Path) -> None:
    (tmp_path / "text").write_text("no database" * 20)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty", "none"):
        assert database_header(tmp_path / name) is None
    header = database_header(source)
    assert header is not None and header.page_size == 4096


def test_what_is_left_as_a_database_is_captured_as_it_is_and_nothing_else_is(
    store: Store, source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Free pages past the header's count are none of it."""
    state = store.create("a.db").state
    state.ltx.directory.mkdir(parents=True)
    path = state.path(FileKind.DATABASE)
    path.write_bytes(b"no database" * 400)
    with pytest.raises(RecoveryError, match=r"a\.db: .* is no database any more.*pylitefs export"):
        capture_left(state, path)
    assert state.pos.txid == 0
    path.write_bytes(source.read_bytes() + bytes(4096))
    capture_left(state, path)
    assert state.pos.txid == 1
    with closing(sqlite3.connect(source)) as db:
        (count,) = db.execute("PRAGMA page_count").fetchone()
    header, _ = verify_file(state.ltx.path(1, 1))
    assert header.commit == count
    assert f"they become transaction {state.pos}. Check it with PRAGMA integrity_check" in caplog.text


@pytest.fixture
def freed(store: Store, tmp_path: Path) -> tuple[DatabaseState, Header]:
    """A database with free pages, whose newest LTX file has page 1 alone."""
    path = tmp_path / "freed.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA page_size=512")
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (zeroblob(4000))")
        db.execute("DELETE FROM t")
    content = path.read_bytes()
    count = len(content) // 512
    state = store.create("a.db").state
    state.ltx.directory.mkdir(parents=True)
    state.path(FileKind.DATABASE).write_bytes(content)
    pages = [(pgno, content[(pgno - 1) * 512 : pgno * 512]) for pgno in range(1, count + 1)]
    assert commit_transaction(state, 512, count, pages)
    pos = commit_transaction(state, 512, count, [(1, content[:99] + b"x" + content[100:512])])
    assert pos is not None
    header = state.ltx.header(2, 2)
    assert header is not None
    return state, header


def replay_of(state: DatabaseState, last: Header, newest: dict[int, int]) -> Replay:
    files = [state.ltx.path(2, 2)]
    return Replay(files, last, state.sums.copy(), state.sums.copy(), newest)


def test_free_pages_are_those_that_no_kept_ltx_file_holds(freed: tuple[DatabaseState, Header]) -> None:
    state, last = freed
    assert may_be_free_pages(state, replay_of(state, last, {1: 0}))
    every = dict.fromkeys(range(1, last.commit + 1), 0)
    assert not may_be_free_pages(state, replay_of(state, last, every)), "each page's bytes are known"


def test_a_file_that_is_shorter_or_no_database_is_not_excused(freed: tuple[DatabaseState, Header]) -> None:
    state, last = freed
    path = state.path(FileKind.DATABASE)
    content = path.read_bytes()
    replay = replay_of(state, last, {1: 0})
    path.write_bytes(content[:-1])
    assert not may_be_free_pages(state, replay)
    path.write_bytes(bytes(512) + content[512:])
    assert not may_be_free_pages(state, replay), "page 1 is no header"
    path.write_bytes(content)
    replay.sums = PageChecksums()
    assert not may_be_free_pages(state, replay), "the replay leads to another length"
