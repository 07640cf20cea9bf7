"""A replica was killed between the snapshot of a new history and the end of the one that it gave up."""

import errno
from pathlib import Path

import pytest

from pylitefs.store.moments import StoredMoment
from tests.store.crashes import watching
from tests.store.serving import Served
from tests.store.support import assert_files_continue, assert_position_is_the_bytes_own, opened

DB = "a.db"


class Killed(BaseException):
    """As a process that ends there."""


def history(directory: Path, value: int, rows: int) -> list[bytes]:
    """The LTX files of a database of its own; with the last one a snapshot of it."""
    with opened(directory / "data") as store:
        served = Served(store, directory / "mnt")
        db = served.connect(DB, "page_size=512")
        db.execute("CREATE TABLE t (x)")
        for _ in range(rows):
            db.execute(f"INSERT INTO t VALUES (zeroblob({value}))")
        served.close()
        database = store.require(DB)
        store.snapshot(DB, directory / "snapshot")
        files = [database.ltx_path(*span).read_bytes() for span in database.ltx_files()]
    return [*files, (directory / "snapshot").read_bytes()]


def killed_at(directory: Path, number: int, *, written: int | None = None) -> None:
    """A replica at TXID 4 that takes in a snapshot up to TXID 3, and dies at the removal of the file after
    the first `number`. Of the snapshot so many bytes are there."""
    *old, _ = history(directory / "old", 100, 3)
    *_, snapshot = history(directory / "new", 900, 2)
    left = [number]

    def die(call: str, name: str, fd: int) -> None:
        if call == "unlink" and "/ltx/" in name:
            if not left[0]:
                raise Killed
            left[0] -= 1

    with opened(directory / "replica", primary=False) as replica:
        for content in old:
            replica.receive_ltx(DB, iter([content]))
        with watching(directory / "replica", die), pytest.raises(Killed):
            replica.receive_ltx(DB, iter([snapshot]))
    if written is not None:
        (ltx(directory) / "0000000000000001-0000000000000003.ltx").write_bytes(snapshot[:written])


def ltx(directory: Path) -> Path:
    return directory / "replica" / "dbs" / DB / "ltx"


@pytest.mark.parametrize("gone", [0, 1, 2, 3])
def test_a_snapshot_goes_that_does_not_lead_to_what_is_there(tmp_path: Path, gone: int) -> None:
    """Whatever is gone of the old history, a moment is none of both. The snapshot comes again."""
    killed_at(tmp_path, gone)
    assert "0000000000000001-0000000000000003.ltx" in {one.name for one in ltx(tmp_path).iterdir()}
    with opened(tmp_path / "replica", primary=False) as replica:
        database = replica.require(DB)
        assert database.pos.txid == 4
        assert_position_is_the_bytes_own(database)
        assert (1, 3) not in database.ltx_files()
        assert_files_continue(database)
        moment = StoredMoment(database, 4)
        assert moment.read(512, 512) == (database.dir / "database").read_bytes()[512:1024]
        moment.close()
    with opened(tmp_path / "replica", primary=False) as again:
        assert (1, 3) not in again.require(DB).ltx_files()
        snapshot = (tmp_path / "new" / "snapshot").read_bytes()
        assert again.receive_ltx(DB, iter([snapshot])).outcome == "snapshot"
        assert again.require(DB).ltx_files() == [(1, 3)]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_file_that_the_disk_did_not_let_go_does_not_come_back(tmp_path: Path, number: int) -> None:
    """It is tried again with the snapshot. Else the next start would find it, and believe it."""
    *old, _ = history(tmp_path / "old", 100, 3)
    *_, snapshot = history(tmp_path / "new", 900, 2)
    name = f"{number:016x}-{number:016x}.ltx"
    failed: list[str] = []

    def fail(call: str, its: str, fd: int) -> None:
        if call == "unlink" and its.endswith(name) and not failed:
            failed.append(its)
            raise OSError(errno.EIO, "a disk's trouble")

    with opened(tmp_path / "replica", primary=False) as replica:
        for content in old:
            replica.receive_ltx(DB, iter([content]))
        with watching(tmp_path / "replica", fail), pytest.raises(OSError, match="trouble"):
            replica.receive_ltx(DB, iter([snapshot]))
        replica.receive_ltx(DB, iter([snapshot]))
        pos = replica.require(DB).pos
    with opened(tmp_path / "replica", primary=False) as again:
        assert again.set_aside == {}
        assert again.require(DB).pos == pos
        assert again.require(DB).ltx_files() == [(1, 3)]
        assert_position_is_the_bytes_own(again.require(DB))


@pytest.mark.parametrize("written", [0, 90, 400])
def test_so_does_one_that_was_not_written_to_its_end(tmp_path: Path, written: int) -> None:
    """It is short: a longer one gets its name once it is whole."""
    killed_at(tmp_path, 0, written=written)
    with opened(tmp_path / "replica", primary=False) as replica:
        assert replica.require(DB).ltx_files() == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_one_that_leads_on_stays(tmp_path: Path) -> None:
    """As on every replica that joined late."""
    *_, snapshot = history(tmp_path / "old", 100, 3)
    more = tmp_path / "more"
    with opened(more, primary=False) as replica:
        assert replica.receive_ltx(DB, iter([snapshot])).outcome == "snapshot"
    with opened(more) as primary:
        served = Served(primary, tmp_path / "mnt")
        served.connect(DB).execute("INSERT INTO t VALUES (1)")
        served.close()
    with opened(more, primary=False) as again:
        assert again.require(DB).ltx_files() == [(1, 4), (5, 5)]


def test_damage_of_another_kind_is_left_to_who_needs_the_file(tmp_path: Path) -> None:
    """A flipped byte is not what a killed node leaves."""
    killed_at(tmp_path, 0)
    path = ltx(tmp_path) / "0000000000000001-0000000000000003.ltx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with opened(tmp_path / "replica", primary=False) as replica:
        assert (1, 3) in replica.require(DB).ltx_files()


def test_a_primary_s_files_stay_as_they_are(tmp_path: Path) -> None:
    """Whatever brought them there, nobody would send them again."""
    killed_at(tmp_path, 0)
    with opened(tmp_path / "replica") as primary:
        assert (1, 3) in primary.require(DB).ltx_files()


@pytest.mark.parametrize("is_primary", [False, True])
@pytest.mark.parametrize("more", [False, True])
def test_what_a_snapshot_has_replaced_is_gone_for_good(
    tmp_path: Path, *, is_primary: bool, more: bool
) -> None:
    """Also where its removal was not durable when the power failed, or a restore was killed before it."""
    *old, _ = history(tmp_path / "old", 100, 3)
    *_, snapshot = history(tmp_path / "new", 900, 2)
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx(DB, iter([snapshot]))
        directory = replica.require(DB).ltx_dir
    if more:
        with opened(tmp_path / "replica") as primary:
            served = Served(primary, tmp_path / "mnt")
            served.connect(DB).execute("INSERT INTO t VALUES (1)")
            served.close()
    for txid in (2, 3):
        (directory / f"{txid:016x}-{txid:016x}.ltx").write_bytes(old[txid - 1])
    with opened(tmp_path / "replica", primary=is_primary) as again:
        database = again.require(DB)
        assert database.ltx_files() == [(1, 3), *([(4, 4)] if more else [])]
        assert sorted(directory.iterdir()) == [database.ltx_path(*span) for span in database.ltx_files()]
        assert_position_is_the_bytes_own(database)
