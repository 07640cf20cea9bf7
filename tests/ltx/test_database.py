"""A database file as pages: what SQLite would read, or an error."""

import io
import os
import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import BusyError, SqliteFormatError
from pylitefs.ltx.checksum import EMPTY_CHECKSUM, lock_pgno, page_checksum
from pylitefs.ltx.database import database_checksum, encode_database, open_database
from pylitefs.ltx.decoder import verify_file

PAGE_SIZES = [512 << i for i in range(8)]


def make_database(path: Path, page_size: int = 4096, mode: str = "delete") -> sqlite3.Connection:
    """A database of a few pages."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute(f"PRAGMA page_size={page_size}")
    database.execute(f"PRAGMA journal_mode={mode}")
    database.execute("CREATE TABLE t(a)")
    database.execute("INSERT INTO t VALUES (randomblob(9000)), ('x')")
    return database


def slow_checksum(raw: bytes, page_size: int) -> int:
    checksum = EMPTY_CHECKSUM
    for index in range(0, len(raw), page_size):
        checksum ^= page_checksum(index // page_size + 1, raw[index : index + page_size])
    return checksum | EMPTY_CHECKSUM


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_the_checksum_is_that_of_the_bytes(page_size: int, tmp_path: Path) -> None:
    make_database(tmp_path / "a.db", page_size).close()
    raw = (tmp_path / "a.db").read_bytes()
    expected = slow_checksum(raw, page_size)
    assert database_checksum(tmp_path / "a.db") == expected
    assert database_checksum(io.BytesIO(raw), page_size) == expected


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_wal_counts_as_if_it_were_checkpointed(page_size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path, page_size, "wal")
    database.execute("INSERT INTO t VALUES (randomblob(20000))")
    database.execute("DELETE FROM t WHERE a <> 'x'")
    database.execute("VACUUM")
    seen = database_checksum(path)
    encode_database(path, tmp_path / "a.ltx")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert seen == database_checksum(path) == slow_checksum(path.read_bytes(), page_size)
    assert verify_file(tmp_path / "a.ltx")[1].post_apply_checksum == seen
    database.close()


def test_a_file_without_bytes_is_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert database_checksum(path) == EMPTY_CHECKSUM
    with pytest.raises(SqliteFormatError, match="is empty"):
        encode_database(path, tmp_path / "empty.ltx")
    assert os.listdir(tmp_path) == ["empty.db"]


def test_what_is_no_database_or_ends_early_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"x" * 1000)
    with pytest.raises(SqliteFormatError, match=r"a\.db: not a SQLite database"):
        database_checksum(path)
    path.unlink()
    make_database(path).close()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SqliteFormatError, match="cut short"):
        database_checksum(path)
    with pytest.raises(FileNotFoundError):
        database_checksum(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_a_hot_journal_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    """The file is then half a transaction."""
    path = tmp_path / "a.db"
    database = make_database(path)
    database.execute("PRAGMA cache_size=1")
    database.execute("BEGIN")
    for _ in range(20):
        database.execute("INSERT INTO t VALUES (randomblob(9000))")
    copy = tmp_path / "copy.db"
    for suffix in ("", "-journal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    with pytest.raises(SqliteFormatError, match="hot journal"):
        database_checksum(copy)
    database.close()


def test_a_writer_at_work_is_waited_for_by_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path)
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BusyError, match="being written"):
        database_checksum(path)
    database.execute("COMMIT")
    with pytest.raises(BusyError, match="while it was read"), open_database(path) as opened:
        list(opened.pages())
        os.utime(path, ns=(1, 1))
    database.close()


def test_a_database_past_the_lock_page_becomes_a_snapshot_without_it(tmp_path: Path) -> None:
    """A sparse file of 1 GiB and a page."""
    path, out, size = tmp_path / "large.db", tmp_path / "large.ltx", 65536
    make_database(path, size).close()
    pages = lock_pgno(size) + 1
    os.truncate(path, pages * size)
    with open(path, "r+b") as file:
        file.seek(28)
        file.write(pages.to_bytes(4, "big"))
    trailer = encode_database(path, out)
    numbers: list[int] = []
    header, read = verify_file(out, lambda pgno, _: numbers.append(pgno))
    assert (header.commit, read) == (pages, trailer)
    assert numbers == [*range(1, lock_pgno(size)), pages]
