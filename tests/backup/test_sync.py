"""One database brought level with its backup, and back from it."""

import logging
import os
import shutil
from pathlib import Path

import pytest

from pylitefs.backup import sync as sync_module
from pylitefs.errors import BackupError, LtxError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store
from tests.backup.backups import GOLDEN_POS, back_up, golden_copy, insert, names, syncing
from tests.store.serving import Served
from tests.store.support import (
    assert_position_is_the_bytes_own,
    data_file,
    is_whole,
    opened,
    query,
    seen_by_sqlite,
)


def rows(store: Store, name: str = "a.db") -> int:
    ((found,),) = query(data_file(store, name), "SELECT count(*) FROM t")
    assert isinstance(found, int)
    return found


def test_first_a_snapshot_then_what_continues_it_as_litefs_writes_them(
    served: Served, store: Store, place: Path
) -> None:
    """The snapshot has the primary's node id; merged files have 0 and no WAL fields, all are LZ4."""
    insert(served, 2)
    assert back_up(store, place) == store.require("a.db").pos
    insert(served, 3)
    pos = back_up(store, place)
    assert pos == store.require("a.db").pos and pos.txid == 6
    assert names(place) == ["1-3", "4-6"]
    nodes = []
    for path in sorted((place / "a.db").iterdir()):
        with open_ltx(path) as decoder:
            nodes.append(decoder.header.node_id)
            assert decoder.header.is_compressed and decoder.header.wal_size == 0
    assert nodes == [store.node_id, 0]


def test_the_high_water_mark_is_what_the_backup_has(served: Served, store: Store, place: Path) -> None:
    """Also after a restart, where nothing has to be written."""
    insert(served, 2)
    state = store.require("a.db").state
    assert state.high_water_mark == 0
    back_up(store, place)
    assert state.high_water_mark == 3
    state.high_water_mark = 0
    back_up(store, place)
    assert state.high_water_mark == 3 and names(place) == ["1-3"]


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_lost_disk_is_restored(
    served: Served, store: Store, place: Path, tmp_path: Path, mode: str
) -> None:
    insert(served, 5, "a.db", f"journal_mode={mode}")
    back_up(store, place)
    insert(served, 5)
    pos, content = back_up(store, place), seen_by_sqlite(served)
    with opened(tmp_path / "new") as new:
        with syncing(new, place) as (sync, _, state):
            sync.bring_level("a.db")
            assert state.restores == 1 and state.files == 0
        assert new.require("a.db").pos == pos
        assert_position_is_the_bytes_own(new.require("a.db"))
        assert data_file(new, "a.db").read_bytes() == content
        assert rows(new) == 10
        assert not list(new.data_dir.glob("tmp/*")) and not (new.data_dir / "kept").exists()


def test_litefs_s_own_backup_is_restored_and_continued(store: Store, served: Served, place: Path) -> None:
    golden_copy(place)
    assert back_up(store, place, "x.db") == GOLDEN_POS
    assert store.require("x.db").pos == GOLDEN_POS and is_whole(data_file(store, "x.db"))
    served.connect("x.db").execute("CREATE TABLE more (x)")
    assert back_up(store, place, "x.db") == store.require("x.db").pos
    assert names(place, "x.db") == ["1-2", "3-4", "5-5", "6-6"]


def test_a_node_that_is_behind_gets_what_the_backup_has(
    served: Served, store: Store, place: Path, tmp_path: Path
) -> None:
    """Its own state is in the backup, so nothing of it need be kept aside."""
    insert(served, 2)
    back_up(store, place)
    store.close()
    shutil.copytree(store.data_dir, tmp_path / "behind")
    with opened(store.data_dir) as ahead:
        theirs = Served(ahead, tmp_path / "mnt2")
        insert(theirs, 2)
        pos = back_up(ahead, place)
        theirs.close()
    with opened(tmp_path / "behind") as behind:
        assert back_up(behind, place) == pos == behind.require("a.db").pos
        assert_position_is_the_bytes_own(behind.require("a.db"))
        assert rows(behind) == 4
        assert not (behind.data_dir / "kept").exists()


def test_what_went_another_way_is_kept_aside_and_replaced(
    served: Served, store: Store, place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    insert(served, 2)
    back_up(store, place)
    with opened(tmp_path / "other") as other:
        theirs = Served(other, tmp_path / "mnt2")
        insert(theirs, 7)
        lost, content = other.require("a.db").pos, seen_by_sqlite(theirs)
        theirs.close()
        with caplog.at_level(logging.WARNING):
            assert back_up(other, place) == store.require("a.db").pos == other.require("a.db").pos
        assert rows(other) == 2
        (kept,) = (other.data_dir / "kept" / "a.db").iterdir()
        assert f"is kept in {kept}; look at it with `pylitefs ltx apply --db COPY.db {kept}`" in caplog.text
        with open_ltx(kept) as decoder:
            assert b"".join(page for _, page in decoder.pages()) == content
            assert Pos(decoder.header.max_txid, decoder.trailer.post_apply_checksum) == lost


def test_a_second_restore_in_one_run_is_refused(
    served: Served, store: Store, place: Path, tmp_path: Path
) -> None:
    """Two nodes on two machines that write into one folder would undo each other's commits for ever."""
    insert(served, 2)
    back_up(store, place)
    with opened(tmp_path / "other") as other:
        with syncing(other, place) as (sync, folder, _):
            sync.bring_level("a.db")
            folder.leave()
            insert(served, 3)
            back_up(store, place)
            folder.take()
            with pytest.raises(BackupError, match=r"second time .* something else writes into"):
                sync.bring_level("a.db")
            sync.begins()
            sync.bring_level("a.db")
        assert other.require("a.db").pos == store.require("a.db").pos


def test_where_the_next_file_is_gone_the_whole_database_continues_the_backup(
    served: Served, store: Store, place: Path, tmp_path: Path
) -> None:
    """LiteFS restores, and loses what the node has: here rows 3 to 6."""
    insert(served, 2)
    back_up(store, place)
    insert(served, 4)
    database = store.require("a.db")
    for span in database.ltx_files()[:5]:
        database.state.ltx.remove(*span)
    pos = back_up(store, place)
    assert pos == database.pos and names(place) == ["1-3", "4-7"]
    assert rows(store) == 6
    with opened(tmp_path / "new") as new:
        assert back_up(new, place) == pos
        assert rows(new) == 6


def test_many_files_are_merged_and_bounded(
    served: Served, store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert(served, 1)
    back_up(store, place)
    insert(served, 11)
    monkeypatch.setattr(sync_module, "MOST_FILES", 4)
    back_up(store, place)
    assert names(place) == ["1-2", "3-6", "7-10", "11-13"]
    insert(served, 5)
    monkeypatch.setattr(sync_module, "MOST_BYTES", 1)
    back_up(store, place)
    assert names(place)[4:] == [f"{n}-{n}" for n in range(14, 19)]


def test_page_sizes_are_not_merged(served: Served, store: Store, place: Path, tmp_path: Path) -> None:
    insert(served, 1)
    back_up(store, place)
    insert(served, 1)
    served.connect("a.db").executescript("PRAGMA page_size=8192; VACUUM; INSERT INTO t VALUES (99, 'x')")
    pos = back_up(store, place)
    assert names(place) == ["1-2", "3-3", "4-5"]
    with opened(tmp_path / "new") as new:
        assert back_up(new, place) == pos
        assert rows(new) == 3


def test_a_dropped_database_is_dropped_in_the_backup_and_comes_again(
    served: Served, store: Store, place: Path, tmp_path: Path
) -> None:
    insert(served, 2)
    back_up(store, place)
    served.unlink("a.db")
    dropped = back_up(store, place)
    assert dropped == store.require("a.db").pos and names(place) == ["1-3", "4-4"]
    with opened(tmp_path / "new") as new:
        assert back_up(new, place) == dropped
        assert not new.require("a.db").exists
        again = Served(new, tmp_path / "mnt2")
        insert(again, 1)
        again.close()
        assert new.require("a.db").pos.txid == 6
        assert back_up(new, place) == new.require("a.db").pos


def test_a_damaged_backup_replaces_nothing(served: Served, store: Store, place: Path, tmp_path: Path) -> None:
    """A flipped byte in the middle of the chain is found before anything of it is believed."""
    insert(served, 2)
    back_up(store, place)
    insert(served, 2)
    back_up(store, place)
    first = min((place / "a.db").iterdir())
    damaged = bytearray(first.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    first.write_bytes(damaged)
    with opened(tmp_path / "new") as new:
        with pytest.raises(LtxError, match=str(place)):
            back_up(new, place)
        assert new.positions() == {}
        assert not list(new.data_dir.glob("tmp/*"))


def test_without_leave_nothing_is_written(served: Served, store: Store, place: Path) -> None:
    insert(served, 2)
    with syncing(store, place, may_write=lambda: False) as (sync, _, _state):
        sync.bring_level("a.db")
    assert os.listdir(place) == []
