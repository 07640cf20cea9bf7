"""Recovery of the WAL: it counts up to the last LTX file, and the LTX files make up for what it lacks."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from pylitefs.sqlite.wal import WalHeader, frame_offset
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from pylitefs.trace import Event
from tests.sqlite.packing import pack_frame
from tests.store.lefts import leave, ltx, make, side, spill, values
from tests.store.serving import Served
from tests.store.support import opened


def make_wal(served: Served, count: int = 3) -> sqlite3.Connection:
    return make(served, "journal_mode=wal", "wal_autocheckpoint=0", count=count)


def test_the_wal_s_transactions_are_brought_into_the_database(
    store: Store, served: Served, tmp_path: Path
) -> None:
    make_wal(served)
    left = leave(store, tmp_path / "left")
    assert side(left, FileKind.DATABASE).stat().st_size == 4096
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.positions() == store.positions()
    assert not side(left, FileKind.WAL).exists() and not side(left, FileKind.SHM).exists()


def test_a_wal_ahead_of_the_last_ltx_file_is_cut_back_to_it(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_wal(served)
    left = leave(store, tmp_path / "left")
    last = store.require("a.db").pos.txid
    ltx(left, last).unlink()
    with opened(left) as again:
        assert values(again) == [0, 1]
        assert again.require("a.db").pos.txid == last - 1
    said = "a.db: the WAL is ahead of the last LTX file by 1 commits that nobody was told of: cut back"
    assert said in caplog.text


def test_frames_that_repeat_the_last_commit_are_not_said_to_be_ahead(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With `psow=0` SQLite fills the sector up with the last frame."""
    db = served.connect("a.db", "page_size=512", "journal_mode=wal", "synchronous=full", psow=0)
    db.execute("CREATE TABLE t (v, pad)")
    left = leave(store, tmp_path / "left")
    with opened(left) as again:
        assert again.positions() == store.positions()
    assert "ahead" not in caplog.text


def test_a_wal_with_other_salts_is_set_aside(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = make_wal(served)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    left = leave(store, tmp_path / "left")
    header = WalHeader(4096, 1, 111, 222)
    raw = header.pack()
    frame, _ = pack_frame(WalHeader.parse(raw), 1, 1, bytes(4096), struct_checksum(raw))
    side(left, FileKind.WAL).write_bytes(raw + frame)
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.positions() == store.positions()
    removed = left / "dbs" / "a.db" / "wal.removed"
    assert removed.read_bytes() == raw + frame
    assert f"the WAL does not belong to the last LTX file; set aside as {removed}" in caplog.text


def struct_checksum(raw_header: bytes) -> tuple[int, int]:
    header = WalHeader.parse(raw_header)
    return header.checksum1, header.checksum2


@pytest.mark.parametrize("how", ["drop", "import"])
def test_a_wal_whose_transactions_older_ltx_files_hold_is_not_set_aside(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """The node was killed after a drop or an import was durable and before the WAL was gone."""
    make_wal(served)
    before = leave(store, tmp_path / "before")
    lefts: list[Path] = []

    def die(event: Event) -> None:
        if event.name == "ltx.commit":
            lefts.append(leave(store, tmp_path / "left"))

    store.tracer.listen(die)
    if how == "drop":
        served.unlink("a.db")
    else:
        with side(before, FileKind.DATABASE).open("rb") as file:
            store.import_database("a.db", file)
    (left,) = lefts
    assert side(left, FileKind.WAL).stat().st_size > 0
    with opened(left) as again:
        assert again.positions() == store.positions()
    assert not (left / "dbs" / "a.db" / "wal.removed").exists() and not side(left, FileKind.WAL).exists()
    assert "set aside" not in caplog.text
    served.refuse = lambda call, name: errno.ENOTCONN


@pytest.mark.parametrize("keep", ["nothing", "no file", "two commits", "garbage"])
def test_a_wal_that_is_behind_is_made_up_for_by_the_ltx_files(
    store: Store, served: Served, tmp_path: Path, keep: str
) -> None:
    """As after a power failure: with synchronous=NORMAL SQLite does not sync the WAL, pylitefs its files."""
    make_wal(served)
    left = leave(store, tmp_path / "left")
    path = side(left, FileKind.WAL)
    raw = path.read_bytes()
    if keep == "no file":
        path.unlink()
    else:
        third = frame_offset(4, 4096)
        path.write_bytes({"nothing": b"", "two commits": raw[:third], "garbage": os.urandom(len(raw))}[keep])
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.positions() == store.positions()


def test_a_wal_that_is_torn_in_a_page_is_made_up_for(store: Store, served: Served, tmp_path: Path) -> None:
    make_wal(served)
    for at in range(40, side(store.data_dir, FileKind.WAL).stat().st_size, 3001):
        left = leave(store, tmp_path / f"left{at}")
        with open(side(left, FileKind.WAL), "r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 8)
        with opened(left) as again:
            assert values(again) == [0, 1, 2]
            assert again.positions() == store.positions()


def test_a_transaction_half_in_the_wal_is_none(store: Store, served: Served, tmp_path: Path) -> None:
    db = make_wal(served)
    spill(db)
    left = leave(store, tmp_path / "left")
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
        assert again.positions() == store.positions()
