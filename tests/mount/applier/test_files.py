"""One holder's view of a database's files, on a plain directory: names, lengths, side files, WAL index."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.errors import ApplierError
from pylitefs.mount.applier.files import INDEX_SIZE, DatabaseFiles, says_wal
from pylitefs.mount.applier.locks import DATABASE_LOCKS, DMS, SHARED, WAL_LOCKS
from pylitefs.sqlite.header import DatabaseHeader
from pylitefs.sqlite.wal_index import WalIndexHeader, empty_index, empty_prefix, read_header

Open = Callable[..., DatabaseFiles]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Open]:
    """Makes views of one and the same directory, `tmp_path`, each of another holder."""
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    views: list[DatabaseFiles] = []

    def view(name: str = "a.db", *, replica: bool = False) -> DatabaseFiles:
        one = DatabaseFiles(root, name, replica=replica)
        views.append(one)
        return one

    yield view
    for one in views:
        one.close()
    os.close(root)


def make(directory: Path, mode: str = "delete", name: str = "a.db") -> Path:
    """A database of two pages, closed: so without side files, whatever its mode."""
    db = sqlite3.connect(directory / name)
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE t (v)")
    db.close()
    return directory / name


@pytest.mark.parametrize("name", ["", "../a.db", "dir/a.db", "a\0b"])
def test_a_name_that_leaves_the_directory_is_refused(files: Open, name: str) -> None:
    with pytest.raises(ApplierError, match="cannot be a database name"):
        files(name)


def test_names_are_looked_up_in_the_open_directory_and_not_by_its_path(files: Open, tmp_path: Path) -> None:
    """After an unmount the path leads into the folder underneath; the descriptor does not."""
    path, one = make(tmp_path / "."), files()
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    tmp_path.mkdir()
    path.write_bytes(b"underneath")
    assert one.open() and one.header() == (moved / "a.db").read_bytes()[:100]


def test_what_is_missing_is_told_and_made_only_if_asked_for(files: Open, tmp_path: Path) -> None:
    one = files()
    assert not one.open() and one.size_of("") == 0
    with pytest.raises(ApplierError, match=r"a\.db is not open"):
        _ = one.db
    with pytest.raises(ApplierError, match=r"a\.db-shm is not open"):
        _ = one.shm
    assert one.open(create=True) and (tmp_path / "a.db").read_bytes() == b""


def test_another_file_of_the_name_is_opened_anew(files: Open, tmp_path: Path) -> None:
    """A primary's clients may remove a database, and make it anew, between two looks."""
    path, one = make(tmp_path), files()
    assert one.open() and one.is_named()
    path.rename(tmp_path / "old.db")
    make(tmp_path)
    path.write_bytes(path.read_bytes() + b"longer")
    assert not one.is_named()
    assert one.open() and one.is_named()
    assert os.fstat(one.db.fd).st_ino == path.stat().st_ino


def test_a_replica_s_names_are_looked_up_once_a_second(
    files: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None but the applier changes them there. A primary's are looked up each time."""
    make(tmp_path)
    now = 100.0
    monkeypatch.setattr("pylitefs.mount.applier.files.time.monotonic", lambda: now)
    replica, primary = files(replica=True), files()
    assert replica.open() and primary.open()
    assert not replica.has_hot_journal() and not primary.has_hot_journal()
    (tmp_path / "a.db-wal").write_bytes(bytes(32))
    (tmp_path / "a.db-journal").write_bytes(b"\xd9")
    assert (replica.wal_size(), primary.wal_size()) == (0, 32)
    assert (replica.has_hot_journal(), primary.has_hot_journal()) == (False, True)
    now += 1.1
    assert replica.wal_size() == 32 and replica.has_hot_journal()


def test_its_own_changes_a_replica_knows_at_once(files: Open, tmp_path: Path) -> None:
    make(tmp_path)
    one = files(replica=True)
    assert one.open()
    one.set_wal(b"w" * 40)
    assert one.wal_size() == 40
    one.set_wal(b"v" * 32)
    assert one.wal_size() == 32 and (tmp_path / "a.db-wal").read_bytes() == b"v" * 32
    one.remove_wal()
    assert one.wal_size() == 0 and not (tmp_path / "a.db-wal").exists()
    one.remove_wal()


def test_the_mode_is_sqlite_s_own_rule(files: Open, tmp_path: Path) -> None:
    """Page 1 says it, or a WAL with content does; and not a WAL beside no database."""
    make(tmp_path, "wal"), make(tmp_path, "delete", "b.db")
    wal, plain, none = files("a.db"), files("b.db"), files("none.db")
    assert wal.open() and plain.open() and none.open(create=True)
    assert wal.uses_wal() and not plain.uses_wal() and not none.uses_wal()
    assert says_wal(wal.header()) and not says_wal(plain.header()) and not says_wal(wal.header()[:99])
    for one in (plain, none):
        one.set_wal(b"w" * 32)
    assert plain.uses_wal() and not none.uses_wal()
    plain.set_wal(b"")
    assert not plain.uses_wal()


@pytest.mark.parametrize(("content", "hot"), [(b"", False), (bytes(512), False), (b"\xd9\xd5", True)])
def test_a_journal_is_hot_if_sqlite_would_roll_it_back(
    files: Open, tmp_path: Path, content: bytes, hot: bool
) -> None:
    make(tmp_path)
    (tmp_path / "a.db-journal").write_bytes(content)
    one = files()
    assert one.open() and one.has_hot_journal() == hot
    one.remove_journal()
    assert not one.has_hot_journal() and not (tmp_path / "a.db-journal").exists()
    one.remove_journal()


@pytest.mark.parametrize("replica", [True, False])
def test_the_length_is_cut_where_it_is_another(
    files: Open, tmp_path: Path, replica: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, one = tmp_path / "a.db", files(replica=replica)
    assert one.open(create=True)
    os.pwrite(one.db.fd, bytes(3000), 0)
    one.grew_to(3000)
    one.grew_to(1000)
    one.cut_to(0)
    assert path.stat().st_size == 0
    one.cut_to(2000)
    assert path.stat().st_size == 2000
    one.cut_to(4000)
    assert path.stat().st_size == 4000
    monkeypatch.delattr("pylitefs.mount.applier.files.os.ftruncate")
    one.cut_to(4000)


def test_the_first_client_makes_the_index_over_an_empty_wal(files: Open, tmp_path: Path) -> None:
    """Whatever the `-shm` holds is from before a crash."""
    path = make(tmp_path, "wal")
    (tmp_path / "a.db-shm").write_bytes(b"old" * 20000)
    one = files()
    assert one.open() and one.join_wal() and one.joined
    header = DatabaseHeader.parse(path.read_bytes()[:100])
    assert (tmp_path / "a.db-shm").read_bytes() == empty_index(4096, 2, header.change_counter + 1)
    assert one.index_is_valid() and one.peek_index() == one.index_prefix()


def test_the_first_client_over_a_wal_with_content_leaves_the_index_to_a_reader(
    files: Open, tmp_path: Path
) -> None:
    make(tmp_path, "wal")
    (tmp_path / "a.db-shm").write_bytes(b"old" * 20000)
    (tmp_path / "a.db-wal").write_bytes(bytes(32))
    one = files()
    assert one.open() and one.join_wal()
    assert (tmp_path / "a.db-shm").read_bytes() == b"" and not one.index_is_valid()


def test_who_is_not_the_first_leaves_the_index_as_it_is(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    first, second = files(), files()
    assert first.open() and first.join_wal()
    first.publish_index(first.index_prefix(), 4096, 2)
    before = (tmp_path / "a.db-shm").read_bytes()
    assert second.open() and second.join_wal() and second.join_wal()
    assert (tmp_path / "a.db-shm").read_bytes() == before
    assert not first.db.try_lock(SHARED, exclusive=True), "both are clients of the database file"
    assert not first.shm.try_lock(DMS, exclusive=True), "and of the index"
    second.leave_wal()
    assert first.db.try_lock(SHARED, exclusive=True) and first.shm.try_lock(DMS, exclusive=True)
    assert not second.joined


def test_nobody_joins_past_a_writer_or_a_client_that_makes_the_index(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    other, one = files(), files()
    assert other.open() and one.open()
    assert other.db.try_lock(DATABASE_LOCKS, exclusive=True)
    assert not one.join_wal()
    other.db.unlock(DATABASE_LOCKS)
    other.open_shm()
    assert other.shm.try_lock(DMS, exclusive=True)
    assert not one.join_wal() and not one.joined
    assert other.db.try_lock(SHARED, exclusive=True), "who could not join has let everything go"


def test_nobody_joins_where_there_is_no_wal(files: Open, tmp_path: Path) -> None:
    make(tmp_path)
    one = files()
    assert one.open() and not one.join_wal()
    assert not (tmp_path / "a.db-shm").exists()


def test_an_index_that_was_removed_is_given_up_at_the_next_look(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    one, other = files(), files()
    assert one.open() and one.join_wal()
    (tmp_path / "a.db-shm").unlink()
    assert one.open() and not one.joined
    assert other.open() and other.db.try_lock(SHARED, exclusive=True)


def test_going_over_to_wal_mode_makes_a_client_of_who_has_every_lock(files: Open, tmp_path: Path) -> None:
    make(tmp_path)
    one, other = files(), files()
    assert one.open() and one.db.try_lock(DATABASE_LOCKS, exclusive=True)
    one.adopt_wal()
    other.open_shm()
    assert one.joined and not other.shm.try_lock(DMS, exclusive=True)
    one.leave_wal()
    assert other.shm.try_lock(DMS, exclusive=True)
    with pytest.raises(ApplierError, match=r"a\.db-shm is being set up"):
        one.adopt_wal()


@pytest.mark.parametrize("previous", ["valid", "with salts", "invalid", "new"])
def test_a_published_index_is_one_that_no_reader_remembers(
    files: Open, tmp_path: Path, previous: str
) -> None:
    make(tmp_path)
    one = files()
    assert one.open()
    one.open_shm()
    header = WalIndexHeader(4096, 0, 2, 77, salt1=0xFFFFFFFF, salt2=9).pack()
    before = {
        "valid": empty_prefix(4096, 2, 77),
        "with salts": (header + header).ljust(136, b"\0"),
        "invalid": bytes(136),
        "new": b"",
    }[previous]
    one.publish_index(before, 4096, 5)
    found = read_header(one.index_prefix())
    assert found is not None and (found.page_size, found.page_count, found.max_frame) == (4096, 5, 0)
    counter = DatabaseHeader.parse(one.header()).change_counter
    if previous != "invalid":
        assert found.change == (counter + 1 if previous == "new" else 78)
    assert (found.salt1 == 0) and (previous == "with salts") == (found.salt2 != 0)
    assert one.index_prefix()[96:] == empty_prefix(4096, 5, 0)[96:], "no frame is backfilled, no mark is used"
    if previous == "new":
        assert one.size_of("-shm") == INDEX_SIZE


def test_after_an_invalid_index_the_change_number_is_random(files: Open, tmp_path: Path) -> None:
    make(tmp_path)
    one = files()
    assert one.open()
    one.open_shm()
    seen = set()
    for _ in range(3):
        one.publish_index(bytes(136), 4096, 2)
        found = read_header(one.index_prefix())
        assert found is not None
        seen.add(found.change)
    assert len(seen) > 1


def test_zeroed_headers_are_an_invalid_index_and_come_back_as_they_were(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    one = files()
    assert one.open() and one.join_wal()
    before = one.index_prefix()
    one.write_index_headers(bytes(96))
    assert not one.index_is_valid() and one.index_prefix()[96:] == before[96:]
    one.write_index_headers(before[:96])
    assert one.index_is_valid() and one.index_prefix() == before


def test_the_index_of_another_is_read_without_joining(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    client, onlooker = files(), files()
    assert onlooker.peek_index() == b"" and not (tmp_path / "a.db-shm").exists()
    assert client.open() and client.join_wal()
    assert onlooker.peek_index() == client.index_prefix()
    onlooker.close()
    assert client.db.try_lock(SHARED, exclusive=True), "the onlooker never had a lock"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_what_keeps_it_waiting_lies_in_the_file_that_its_mode_goes_by(
    files: Open, tmp_path: Path, mode: str
) -> None:
    path, one = make(tmp_path, mode), files()
    assert list(one.lock_places()) == []
    assert one.open() and one.join_wal() == (mode == "wal")
    (place,) = one.lock_places()
    file, what = (tmp_path / "a.db-shm", WAL_LOCKS) if mode == "wal" else (path, DATABASE_LOCKS)
    assert (place.inode, place.what) == (file.stat().st_ino, what)


def test_closing_releases_everything(files: Open, tmp_path: Path) -> None:
    make(tmp_path, "wal")
    one, other = files(), files()
    assert one.open() and one.join_wal() and one.shm.try_lock(WAL_LOCKS, exclusive=True)
    one.close()
    assert other.open() and other.join_wal() and other.shm.try_lock(WAL_LOCKS, exclusive=True)
    one.close()
