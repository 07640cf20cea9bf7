"""What is done to a database once every lock is had: on a plain directory, with SQLite's own files."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.errors import LtxChecksumError
from pylitefs.mount.applier.exclusive import Exclusive
from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.write import (
    WRITE_SIZE,
    Transaction,
    copy_wal,
    drop,
    runs,
    write_transaction,
)
from pylitefs.sqlite.wal import WalHeader
from pylitefs.sqlite.wal_index import read_header
from pylitefs.store.applying import KnownWal

from .support import Source, bump, make_rows

MODES = ["delete", "wal"]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[DatabaseFiles]:
    """The replica's a.db, which is not there yet."""
    directory = tmp_path / "mount"
    directory.mkdir()
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    one = DatabaseFiles(root, "a.db", replica=True)
    yield one
    one.close()
    os.close(root)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "mount" / "a.db"


def never(seconds: float) -> None:
    raise AssertionError("nobody else has a lock here")


def apply(files: DatabaseFiles, path: Path, *, remove_wal: bool = False) -> Transaction:
    """One transaction, with the locks had and given back."""
    tx = Transaction.load(path)
    assert files.open(create=True)
    with Exclusive(files, replica=True) as locks:
        locks.acquire(never)
        write_transaction(locks, tx, remove_wal=remove_wal)
    return tx


def index_of(target: Path) -> tuple[int, int, int]:
    """Page size, pages and frames, as the WAL index says them to readers."""
    header = read_header(target.with_name("a.db-shm").read_bytes())
    assert header is not None, "no reader would take this index"
    return header.page_size, header.page_count, header.max_frame


# What is read of an LTX file.


def test_a_transaction_is_known_before_it_is_written(tmp_path: Path) -> None:
    source = Source(tmp_path, mode="wal")
    tx = Transaction.load(make_rows(source))
    content = source.content()
    assert [pgno for pgno, _ in tx.pages()] == list(range(1, tx.header.commit + 1))
    assert b"".join(page for _, page in tx.pages()) == content
    assert tx.page_one == content[:100] and tx.is_whole and tx.is_quick
    facts = tx.facts(0.0015)
    assert facts == {
        "txid": 1, "pages": tx.header.commit, "commit": tx.header.commit, "page_size": 4096, "waited_ms": 1.5,
    }  # fmt: skip
    part = Transaction.load(bump(source))
    assert not part.is_whole and part.count < part.header.commit


def test_a_damaged_file_is_refused_unless_it_was_verified_before(tmp_path: Path) -> None:
    path = make_rows(Source(tmp_path))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LtxChecksumError):
        Transaction.load(path)
    assert Transaction.load(path, verified=True).header.max_txid == 1


@pytest.mark.parametrize("verified", [True, False])
def test_a_large_file_is_not_kept_but_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verified: bool
) -> None:
    source = Source(tmp_path)
    path = make_rows(source)
    monkeypatch.setattr("pylitefs.mount.applier.write.AT_HAND", 4096)
    tx = Transaction.load(path, verified=verified)
    assert tx.at_hand is None and not tx.is_quick
    assert (tx.count == 0) == verified, "what was verified is not read to its end here"
    for _ in range(2):
        assert b"".join(page for _, page in tx.pages()) == source.content()
        assert tx.count == tx.header.commit


def test_neighbouring_pages_are_written_together() -> None:
    pages = [(pgno, bytes([pgno])) for pgno in (1, 2, 3, 5, 8, 9)]
    assert list(runs(pages, 1)) == [
        (0, [b"\1", b"\2", b"\3"]),
        (4, [b"\5"]),
        (7, [b"\x08", b"\x09"]),
    ]
    assert list(runs([], 1)) == []
    size = WRITE_SIZE // 2
    assert [(at, len(run)) for at, run in runs([(pgno, b"") for pgno in range(1, 6)], size)] == [
        (0, 2), (2 * size, 2), (4 * size, 1),
    ]  # fmt: skip


# What is written.


@pytest.mark.parametrize("mode", MODES)
def test_the_database_is_the_source_s_after_each_transaction(
    files: DatabaseFiles, target: Path, tmp_path: Path, mode: str
) -> None:
    """Byte for byte, also where it gets shorter. The index sends readers to it; in a rollback mode nobody
    looks at the one that is there, so it stays as it was at first."""
    source = Source(tmp_path / "source", mode=mode)
    paths = [make_rows(source), bump(source)]
    source.execute("DELETE FROM t WHERE id > 3")
    first, _ = [apply(files, path) for path in paths]
    source.set_mode("delete")
    source.db.execute("VACUUM")
    source.set_mode(mode)
    tx = apply(files, source.capture())
    assert files.size_of("") < 8 * 4096
    assert target.read_bytes() == source.content()
    assert index_of(target) == (4096, tx.header.commit if mode == "wal" else first.header.commit, 0)
    assert files.joined == (mode == "wal")


def test_every_transaction_changes_the_index(files: DatabaseFiles, target: Path, tmp_path: Path) -> None:
    """A reader reads the database anew if the header differs from the one it saw before, and only then."""
    source = Source(tmp_path / "source", mode="wal")
    apply(files, make_rows(source))
    assert files.joined, "a client from the first transaction on"
    seen = set()
    for _ in range(3):
        apply(files, bump(source))
        seen.add(files.index_prefix()[:48])
    assert len(seen) == 3


def test_the_index_is_written_last(
    files: DatabaseFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what sends readers to the new pages: they are all there by then, and nothing too much is."""
    source = Source(tmp_path / "source", mode="wal")
    apply(files, make_rows(source))
    path = bump(source)
    seen: list[bytes] = []
    publish = files.publish_index

    def look(previous: bytes, page_size: int, page_count: int) -> None:
        seen.append(os.pread(files.db.fd, 1 << 20, 0))
        publish(previous, page_size, page_count)

    monkeypatch.setattr(files, "publish_index", look)
    apply(files, path)
    assert seen == [source.content()]


def test_a_hot_journal_that_was_left_is_removed_first(
    files: DatabaseFiles, target: Path, tmp_path: Path
) -> None:
    """Or a client would roll back what was written."""
    source = Source(tmp_path / "source")
    path = make_rows(source)
    journal = target.with_name("a.db-journal")
    journal.write_bytes(b"\xd9\xd5")
    assert files.open(create=True) and not files.touched
    apply(files, path)
    assert not journal.exists() and files.touched


def wal_of(directory: Path, name: str, statements: list[str]) -> tuple[bytes, bytes, bytes]:
    """A database, its WAL with what the statements did, and the database with all of it in it."""
    path = directory / name
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=wal")
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER, pad BLOB)")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for statement in statements:
        db.execute(statement)
    content, wal = path.read_bytes(), path.with_name(f"{name}-wal").read_bytes()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = path.read_bytes()
    db.close()
    return content, wal, whole


LEFT = ["INSERT INTO t VALUES (1, 1, zeroblob(9000))", "UPDATE t SET v = 2", "INSERT INTO t VALUES (2, 5, 1)"]


def test_copying_a_wal_is_what_a_checkpoint_does(files: DatabaseFiles, target: Path, tmp_path: Path) -> None:
    """Up to the last whole commit: what a killed client left behind it counts for nothing."""
    content, wal, whole = wal_of(tmp_path, "left.db", LEFT)
    torn = bytearray(wal[-4120:])
    torn[-1] ^= 1
    target.write_bytes(content)
    target.with_name("a.db-wal").write_bytes(wal + torn)
    assert files.open()
    copy_wal(files)
    assert target.read_bytes() == whole
    target.with_name("a.db-wal").write_bytes(b"no header" * 9)
    copy_wal(files)
    assert target.read_bytes() == whole


@pytest.mark.parametrize("is_this_wal", [True, False])
def test_frames_without_checksums_are_copied_where_they_are_known_to_count(
    files: DatabaseFiles, target: Path, tmp_path: Path, is_this_wal: bool
) -> None:
    """As SQLite 3.40 leaves them after a savepoint; but by what is known of another WAL nothing is copied."""
    content, wal, whole = wal_of(tmp_path, "left.db", LEFT)
    header = WalHeader.parse(wal)
    zeroed = bytearray(wal)
    zeroed[40:56] = bytes(16)  # The first frame's salts and checksum.
    target.write_bytes(content)
    target.with_name("a.db-wal").write_bytes(zeroed)
    frames = (len(wal) - 32) // header.frame_size
    assert files.open()
    copy_wal(files, KnownWal(header.salt1, header.salt2 ^ (not is_this_wal), frames))
    assert target.read_bytes() == (whole if is_this_wal else content)


@pytest.mark.parametrize("remove_wal", [True, False])
def test_a_wal_that_was_left_is_copied_first_or_dropped_where_it_is_not_wanted(
    files: DatabaseFiles, target: Path, tmp_path: Path, remove_wal: bool
) -> None:
    content, wal, whole = wal_of(tmp_path, "left.db", LEFT)
    target.write_bytes(content)
    target.with_name("a.db-wal").write_bytes(wal)
    source = Source(tmp_path / "source", mode="wal")
    make_rows(source)
    path = bump(source)
    size = Transaction.load(path).header.commit * 4096
    apply(files, path, remove_wal=remove_wal)
    expected = bytearray((content if remove_wal else whole)[:size].ljust(size, b"\0"))
    for pgno, page in Transaction.load(path).pages():
        expected[(pgno - 1) * 4096 : pgno * 4096] = page
    assert target.read_bytes() == expected
    assert target.with_name("a.db-wal").read_bytes() == b""
    assert read_header(files.index_prefix()) is not None


@pytest.mark.parametrize("clients", [True, False])
def test_a_database_that_leaves_wal_mode_keeps_a_wal_header_for_its_clients(
    files: DatabaseFiles, target: Path, tmp_path: Path, clients: bool
) -> None:
    """So that old and new clients go by the same locks; with nobody there the WAL simply goes."""
    source = Source(tmp_path / "source", mode="wal")
    apply(files, make_rows(source))
    client = DatabaseFiles(files._root_fd, "a.db")
    if clients:
        assert client.open() and client.join_wal()
    source.set_mode("delete")
    apply(files, source.execute("INSERT INTO t VALUES (99, 0, 1)"))
    assert target.read_bytes() == source.content()
    wal = target.with_name("a.db-wal")
    if clients:
        assert WalHeader.parse(wal.read_bytes()).page_size == 4096 and wal.stat().st_size == 32
        assert client.uses_wal() and files.joined
        client.close()
        apply(files, bump(source))
        assert target.read_bytes() == source.content()
    assert not wal.exists() and not files.joined


def test_page_one_comes_last_beside_clients_of_the_wal(
    files: DatabaseFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is just opening looks for a WAL and then at page 1: the old one, or all pages are new."""
    source = Source(tmp_path / "source", mode="wal")
    apply(files, make_rows(source))
    client = DatabaseFiles(files._root_fd, "a.db")
    assert client.open() and client.join_wal()
    source.set_mode("delete")
    path = bump(source)
    offsets: list[int] = []
    pwritev = os.pwritev

    def note(fd: int, run: list[bytes], offset: int) -> int:
        offsets.append(offset)
        return pwritev(fd, run, offset)

    monkeypatch.setattr("pylitefs.mount.applier.write.os.pwritev", note)
    apply(files, path)
    client.close()
    assert offsets[-1] == 0 and offsets.count(0) == 1 and len(offsets) > 1


def test_a_drop_leaves_nothing_of_the_name(files: DatabaseFiles, target: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        target.with_name(f"a.db{suffix}").write_bytes(b"x")
    other = target.with_name("a.db-other")
    other.write_bytes(b"x")
    assert files.open()
    drop(files)
    assert list(target.parent.iterdir()) == [other]
    drop(files)
