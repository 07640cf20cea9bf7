"""The applier of a store without a mount: it writes the data files, as the real one leaves them."""

from pathlib import Path

import pytest

from pylitefs.ltx.encoder import encode
from pylitefs.ltx.header import Header
from pylitefs.store.applying import DirectApplier
from pylitefs.store.names import FileKind
from tests.ltx.samples import checksum_of, make_page, make_snapshot

PAGES = {pgno: make_page(pgno) for pgno in (1, 2, 3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dbs" / "a.db"
    made.mkdir(parents=True)
    return made


def ltx(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "file.ltx"
    path.write_bytes(data)
    return path


def transaction(pages: dict[int, bytes], commit: int, whole: dict[int, bytes]) -> bytes:
    header = Header(0, 512, commit, 2, 2, 0, checksum_of(PAGES))
    return encode(header, sorted(pages.items()), checksum_of(whole))


def test_pages_are_written_the_file_is_cut_and_side_files_go(folder: Path, tmp_path: Path) -> None:
    applier = DirectApplier(tmp_path)
    for kind in (FileKind.JOURNAL, FileKind.WAL, FileKind.SHM):
        (folder / kind.value).write_bytes(b"left")
    applier.apply("a.db", ltx(tmp_path, make_snapshot(PAGES)))
    assert [path.name for path in folder.iterdir()] == ["database"]
    assert (folder / "database").read_bytes() == b"".join(PAGES.values())
    new = make_page(2, seed=9)
    changed = transaction({2: new}, 2, {1: PAGES[1], 2: new})
    with applier.write_lock("a.db") as lock:
        lock.apply(ltx(tmp_path, changed))
    assert (folder / "database").read_bytes() == PAGES[1] + new


def test_a_drop_unlinks_the_file_also_where_there_is_none(folder: Path, tmp_path: Path) -> None:
    applier = DirectApplier(tmp_path)
    (folder / "database").write_bytes(b"x")
    for _ in range(2):
        applier.apply("a.db", ltx(tmp_path, transaction({}, 0, {})))
        assert not (folder / "database").exists()
    (folder / "database").touch()
    applier.unlink("a.db")
    applier.unlink("a.db")
    assert not (folder / "database").exists()


def test_there_is_nobody_to_lock_out(folder: Path, tmp_path: Path) -> None:
    applier = DirectApplier(tmp_path)
    with (
        applier.read_lock("a.db", wal=True),
        applier.write_lock("a.db"),
        applier.watch_writers("a.db") as busy,
    ):
        assert not busy()
    applier.rollback_hot_journal("a.db")
    applier.release("a.db")
