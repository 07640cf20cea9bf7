"""Recovery of a database whose newest LTX file was taken away: what is thrown away is kept, and said so."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.decoder import verify_file
from pylitefs.store.names import FileKind
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
