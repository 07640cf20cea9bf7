"""The backup folder: positions that were verified, files that are whole or not there, one node at a time."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.backup import folder as folder_module
from pylitefs.backup.folder import BackupFolder
from pylitefs.errors import BackupError
from pylitefs.ltx.checksum import CHECKSUM_FLAG, page_checksum
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import Header, Trailer, format_filename
from pylitefs.ltx.position import Pos
from tests.backup.backups import GOLDEN, GOLDEN_POS, golden_copy, names
from tests.store.crashes import Recorder

PAGE = 512
Write = Callable[[bytes], object]


@pytest.fixture
def folder(place: Path) -> BackupFolder:
    found = BackupFolder(place)
    found.take()
    return found


def transaction(txid: int, value: int, before: Pos) -> Callable[[Write], Trailer]:
    """An LTX file of one page full of one byte's value."""

    def produce(write: Write) -> Trailer:
        page = bytes([value]) * PAGE
        encoder = Encoder(write, Header(0, PAGE, 1, txid, txid, 1000 + txid, before.checksum))
        encoder.encode_page(1, page)
        return encoder.finish(page_checksum(1, page) | CHECKSUM_FLAG)

    return produce


def add(folder: BackupFolder, txid: int, after: Pos, *, may_write: bool = True) -> Pos:
    pos, size = folder.write("a.db", (txid, txid), after, transaction(txid, txid, after), lambda: may_write)
    assert size > PAGE
    return pos


def test_what_litefs_wrote_is_at_the_position_of_its_last_file(place: Path) -> None:
    folder = BackupFolder(golden_copy(place))
    folder.take()
    assert folder.names() == ["x.db"]
    assert folder.position("x.db") == GOLDEN_POS
    assert [path.name for path in folder.paths("x.db")] == sorted(os.listdir(GOLDEN / "x.db"))
    assert folder.position("other.db") == Pos()


def test_a_file_is_added_only_if_it_continues_the_last_one(folder: BackupFolder, place: Path) -> None:
    first = add(folder, 1, Pos())
    second = add(folder, 2, first)
    assert folder.position("a.db") == second
    with pytest.raises(BackupError, match="another node writes into it"):
        add(folder, 2, first)
    with pytest.raises(BackupError, match="does not continue"):
        folder.write("a.db", (4, 4), second, transaction(4, 4, second), lambda: True)
    assert names(place) == ["1-1", "2-2"]
    made = [place / "a.db", *(place / "a.db").iterdir()]
    assert not any(path.stat().st_mode & 0o077 for path in made), "it is as private as the data directory"


def test_a_node_that_is_the_primary_no_longer_adds_nothing(folder: BackupFolder, place: Path) -> None:
    first = add(folder, 1, Pos())
    with pytest.raises(BackupError, match="primary no longer"):
        add(folder, 2, first, may_write=False)
    assert names(place) == ["1-1"]


def test_what_somebody_else_has_added_meanwhile_is_not_written_over(
    folder: BackupFolder, place: Path
) -> None:
    """On another machine, say, of which the lock says nothing."""
    first = add(folder, 1, Pos())
    inner = transaction(2, 2, first)

    def slowly(write: Write) -> Trailer:
        with open(place / "theirs", "wb") as file:
            transaction(2, 9, first)(file.write)
        os.rename(place / "theirs", place / "a.db" / format_filename(2, 2))
        return inner(write)

    with pytest.raises(BackupError, match="another node writes into it"):
        folder.write("a.db", (2, 2), first, slowly, lambda: True)
    assert names(place) == ["1-1", "2-2"]
    assert folder.position("a.db").checksum == page_checksum(1, bytes([9]) * PAGE) | CHECKSUM_FLAG


def test_kill_9_at_any_moment_leaves_the_backup_before_or_after_the_file(
    folder: BackupFolder, place: Path, tmp_path: Path
) -> None:
    """Also a power failure: the file's name is durable only once its bytes are."""
    first = add(folder, 1, Pos())
    recorder = Recorder(place)
    with recorder.recording():
        second = add(folder, 2, first)
    folder.leave()
    assert len(recorder.images) > 3
    for number, image in enumerate(recorder.images):
        for files in (image.files, image.durable):
            left = image.write(tmp_path / f"left{number}", files)
            again = BackupFolder(left)
            again.take()
            assert again.position("a.db") in (first, second)
            assert all(one in ("1-1", "2-2") for one in names(left)), "what was half written is gone"
            again.leave()
            shutil.rmtree(left)
    assert second == Pos(2, second.checksum) and names(place) == ["1-1", "2-2"]


def test_a_full_disk_leaves_nothing_behind(folder: BackupFolder, place: Path) -> None:
    first = add(folder, 1, Pos())

    def full(write: Write) -> Trailer:
        write(b"LTX1 and no more")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.write("a.db", (2, 2), first, full, lambda: True)
    assert names(place) == ["1-1"]
    assert add(folder, 2, first).txid == 2, "and it goes on once there is room"


def test_a_torn_last_file_is_named_with_what_to_do(folder: BackupFolder, place: Path) -> None:
    first = add(folder, 1, Pos())
    add(folder, 2, first)
    torn = folder.paths("a.db")[-1]
    os.truncate(torn, 200)
    with pytest.raises(BackupError, match=f"{torn}.*damaged; move it away"):
        folder.position("a.db")
    torn.rename(place / "torn")
    assert folder.position("a.db") == first


def test_a_gap_is_found_by_the_names(folder: BackupFolder) -> None:
    first = add(folder, 1, Pos())
    second = add(folder, 2, first)
    add(folder, 3, second)
    folder.paths("a.db")[1].unlink()
    with pytest.raises(BackupError, match="no LTX file from TXID 0000000000000002 on"):
        folder.position("a.db")


def test_a_file_counts_once_its_name_is_durable(
    folder: BackupFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node was killed, or a disk failed, between the rename and the directory's sync: such a file may be
    gone after a power failure, and the LTX files that it stands for were reaped."""
    first = add(folder, 1, Pos())
    synced: list[Path] = []
    broken = [True]

    def sync(directory: Path) -> None:
        if broken[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))
        synced.append(directory)

    monkeypatch.setattr(folder_module, "sync_directory", sync)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            add(folder, 2, first) if names(place) == ["1-1"] else folder.position("a.db")
    assert names(place) == ["1-1", "2-2"] and not synced
    broken[0] = False
    second = folder.position("a.db")
    assert second.txid == 2 and synced == [place / "a.db", place]
    folder.leave()
    after_a_kill = BackupFolder(place)
    after_a_kill.take()
    assert after_a_kill.position("a.db") == after_a_kill.position("a.db") == second
    assert synced == 2 * [place / "a.db", place], "once for each who takes the folder"


def test_a_new_database_s_folder_is_durable_also_where_its_first_sync_failed(
    folder: BackupFolder, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    broken = [True]

    def sync(directory: Path) -> None:
        if broken[0]:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(directory))
        synced.append(directory)

    monkeypatch.setattr(folder_module, "sync_directory", sync)
    with pytest.raises(OSError, match="Input/output"):
        add(folder, 1, Pos())
    broken[0] = False
    add(folder, 1, Pos())
    assert place in synced


def test_one_node_at_a_time(folder: BackupFolder, place: Path) -> None:
    other = BackupFolder(place)
    with pytest.raises(BackupError, match=r"in use by another node: give each cluster a backup\.path"):
        other.take()
    folder.leave()
    other.take()
    other.leave()
    assert list(place.iterdir()) == [], "the lock leaves no file"


def test_a_folder_that_is_gone_is_not_made_again(folder: BackupFolder, place: Path) -> None:
    """It may be a disk that is not mounted: what is written then lies beneath it."""
    place.rename(place.with_name("moved"))
    with pytest.raises(BackupError, match="is gone: bring it back"):
        folder.check_there()
    with pytest.raises(BackupError, match="is gone: bring it back"):
        add(folder, 1, Pos())
    assert not place.exists()
    with pytest.raises(BackupError, match="is gone: bring it back"):
        BackupFolder(place).take()
    place.mkdir()
    with pytest.raises(BackupError, match="another one than before"):
        folder.check_there()


def test_what_is_no_database_is_passed_over(folder: BackupFolder, place: Path) -> None:
    for name in ("lost+found", "a.db-wal", ".primary"):
        (place / name).mkdir()
    (place / "README").write_text("mine")
    assert folder.names() == ["lost+found"]
    assert folder.position("lost+found") == Pos()


def test_a_file_that_did_not_change_is_verified_once(
    folder: BackupFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest file may be a snapshot of gigabytes, and the folder is looked at every ten seconds."""
    first = add(folder, 1, Pos())
    monkeypatch.setattr("pylitefs.backup.folder._verified", lambda path: pytest.fail("read again"))
    for _ in range(3):
        folder.look_again()
        assert folder.position("a.db") == first
