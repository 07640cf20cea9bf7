"""Recovery of the LTX files: torn and corrupt ones, chains and gaps, snapshots."""

import os
import shutil
from pathlib import Path

import pytest

from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.names import FileKind
from pylitefs.store.store import Store
from tests.store.lefts import leave, ltx, make, set_aside, side, values
from tests.store.serving import Served
from tests.store.support import data_file, opened


def test_a_torn_last_ltx_file_is_dropped_whatever_its_length(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = make(served)
    before = leave(store, tmp_path / "before")
    db.execute("INSERT INTO t VALUES ('never acknowledged', NULL)")
    last = store.require("a.db").pos.txid
    content = ltx(store.data_dir, last).read_bytes()
    for length in [*range(130), *range(130, len(content), 29), len(content) - 1]:
        left = Path(shutil.copytree(before, tmp_path / f"left{length}"))
        path = ltx(left, last)
        path.write_bytes(content[:length])
        caplog.clear()
        with opened(left) as again:
            assert values(again) == [0, 1]
            assert again.require("a.db").ltx_files() == [(txid, txid) for txid in range(1, last)]
        assert f"{path} was not written to its end: its transaction was never acknowledged" in caplog.text
        assert not path.exists()


@pytest.mark.parametrize("lost", [(0, 512), (512, 1024), (-16, None), (0, None)])
def test_a_last_ltx_file_of_which_a_power_failure_kept_only_the_length_is_dropped(
    store: Store, served: Served, tmp_path: Path, lost: tuple[int, int | None]
) -> None:
    db = make(served)
    left = leave(store, tmp_path / "left")
    db.execute("INSERT INTO t VALUES ('never acknowledged', randomblob(3000))")
    last = store.require("a.db").pos.txid
    content = bytearray(ltx(store.data_dir, last).read_bytes())
    content[lost[0] : lost[1]] = bytes(len(content[lost[0] : lost[1]]))
    ltx(left, last).write_bytes(content)
    with opened(left) as again:
        assert values(again) == [0, 1]


@pytest.mark.parametrize("primary", [True, False])
def test_a_flipped_byte_in_the_last_ltx_file_sets_the_database_aside_with_the_way_out(
    store: Store, served: Served, tmp_path: Path, primary: bool
) -> None:
    make(served)
    last = store.require("a.db").pos.txid
    whole = leave(store, tmp_path / "whole")
    content = ltx(whole, last).read_bytes()
    size = len(content)
    for at in [0, 5, 20, 99, 100, 108, size // 2, size - 17, size - 10, size - 1]:
        left = Path(shutil.copytree(whole, tmp_path / f"left{at}"))
        path = ltx(left, last)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        files = {one: one.read_bytes() for one in left.rglob("*") if one.is_file()}
        text = set_aside(left, primary=primary)
        assert text.startswith("a.db: ") and str(path) in text and f"TXID {last}" in text
        assert "on a replica remove" in text and "move" in text and "away and start again" in text
        assert files == {one: one.read_bytes() for one in left.rglob("*") if one.is_file()}, "untouched"


def test_the_way_out_of_a_corrupt_last_ltx_file_works(store: Store, served: Served, tmp_path: Path) -> None:
    db = make(served)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    last = store.require("a.db").pos.txid
    left = leave(store, tmp_path / "left")
    path = ltx(left, last)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    set_aside(left)
    path.rename(tmp_path / "away")
    with opened(left) as again:
        assert values(again) == [0, 1], "it goes on from the transaction before"
        assert again.require("a.db").pos.txid == last - 1


def test_an_ltx_file_under_another_name_sets_the_database_aside(
    store: Store, served: Served, tmp_path: Path
) -> None:
    make(served)
    left = leave(store, tmp_path / "left")
    ltx(left, 2).rename(ltx(left, 5))
    assert "holds TXIDs 2 to 2, not its name's" in set_aside(left)


def test_half_written_files_of_every_kind_are_removed(store: Store, served: Served, tmp_path: Path) -> None:
    make(served)
    left = leave(store, tmp_path / "left")
    (left / "tmp").mkdir(exist_ok=True)
    stale = [
        left / "clusterid.tmp",
        left / "tmp" / "0123456789abcdef.ltx.tmp",
        left / "tmp" / "0123456789abcdef.ltx.tmp.copy",
        left / "tmp" / "0123456789abcdef.import.tmp",
        ltx(left, 9).with_name("receiving.tmp"),
        ltx(left, 9).with_name(ltx(left, 9).name + ".tmp"),
    ]
    for path in stale:
        path.write_bytes(b"half")
    with opened(left) as again:
        assert values(again) == [0, 1]
    assert not any(path.exists() for path in stale)


def test_a_snapshot_alone_rebuilds_a_replica(store: Store, served: Served, tmp_path: Path) -> None:
    """The node was killed after the snapshot was stored, before a page was written."""
    make(served)
    info = store.snapshot("a.db", tmp_path / "snapshot")
    left = tmp_path / "left"
    path = ltx(left, 1, info.pos.txid)
    path.parent.mkdir(parents=True)
    shutil.copy(info.path, path)
    with opened(left, primary=False) as again:
        assert values(again) == [0, 1]
        assert again.positions() == store.positions()


def test_a_snapshot_beside_the_files_that_it_replaces_wins_if_it_is_the_newest(
    store: Store, served: Served, tmp_path: Path
) -> None:
    db = make(served)
    left = leave(store, tmp_path / "left")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    info = store.snapshot("a.db", tmp_path / "snapshot")
    shutil.copy(info.path, ltx(left, 1, info.pos.txid))
    with opened(left, primary=False) as again:
        assert values(again) == [0, 1, 2]


def test_a_gap_in_the_ltx_files_is_not_replayed_over(store: Store, served: Served, tmp_path: Path) -> None:
    make(served, count=6).close()
    left = leave(store, tmp_path / "left")
    ltx(left, 4).unlink()
    with opened(left) as again:
        assert values(again) == list(range(6)), "the database itself is right: the gap does not matter"


def test_a_damaged_older_ltx_file_is_named_when_it_is_needed(
    store: Store, served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(served, count=3).close()
    left = leave(store, tmp_path / "left")
    path = ltx(left, 2)
    path.write_bytes(path.read_bytes()[:-3] + b"???")
    with opened(left) as again:
        assert values(again) == [0, 1, 2]
    side(left, FileKind.DATABASE).write_bytes(b"")
    set_aside(left)
    assert f"a.db: an older LTX file cannot be replayed: {path}" in caplog.text


def test_a_change_of_page_size_is_replayed(store: Store, served: Served, tmp_path: Path) -> None:
    db = make(served, "page_size=4096")
    db.execute("PRAGMA page_size=1024")
    db.execute("VACUUM")
    db.execute("INSERT INTO t VALUES (2, NULL)")
    db.close()
    content = data_file(store, "a.db").read_bytes()
    for state in (b"", content[:1024], os.urandom(len(content)), content[:-1024] + bytes(1024)):
        left = leave(store, tmp_path / f"left{len(state)}{state[:4].hex()}{state[-4:].hex()}")
        side(left, FileKind.DATABASE).write_bytes(state)
        with opened(left) as again:
            assert values(again) == [0, 1, 2]
            assert data_file(again, "a.db").read_bytes() == content


def test_litefs_s_own_file_without_compression_is_read(tmp_path: Path) -> None:
    """A data directory that real LiteFS left (`compress: false`), with its last LTX file alone."""
    page = bytearray(512)
    page[:16] = b"SQLite format 3\0"
    page[16:20] = bytes([2, 0, 1, 1])
    page[21:24] = bytes([64, 32, 32])
    page[24:32] = (1).to_bytes(4, "big") * 2
    page[44:48] = page[92:96] = (1).to_bytes(4, "big")
    page[56:60] = (1).to_bytes(4, "big")
    page[100:108] = bytes([13, 0, 0, 0, 0, 2, 0, 0])
    header = Header(0, 512, 1, 1, 1, 1_700_000_000_000, node_id=99)
    raw = encode(header, [(1, bytes(page))], page_checksum(1, page))
    path = ltx(tmp_path, 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(raw)
    side(tmp_path, FileKind.DATABASE).write_bytes(page)
    with opened(tmp_path) as store:
        assert store.positions() == {"a.db": Pos(1, page_checksum(1, page))}
        assert store.require("a.db").timestamp_ms == 1_700_000_000_000
