"""`corrupt` flips one bit, in a byte of a page's content, of a file that is there."""

import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.live.damage import corrupt
from pylitefs.lecture.live.expect import database_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory with a database in WAL mode, its WAL, and two LTX files."""
    folder = tmp_path / "dbs" / "data.db"
    (folder / "ltx").mkdir(parents=True)
    plain = tmp_path / "plain.db"
    connection = sqlite3.connect(plain, isolation_level=None)
    connection.execute("PRAGMA page_size=1024")
    connection.execute("CREATE TABLE t(a)")
    connection.execute("INSERT INTO t VALUES ('the first row')")
    (folder / "database").write_bytes(plain.read_bytes())
    connection.execute("PRAGMA journal_mode=wal")
    (folder / "database").write_bytes(plain.read_bytes())
    connection.execute("INSERT INTO t VALUES ('in the WAL')")
    (folder / "wal").write_bytes(Path(f"{plain}-wal").read_bytes())
    connection.close()
    (folder / "ltx" / "0000000000000001-0000000000000001.ltx").write_bytes(bytes(500))
    (folder / "ltx" / "0000000000000002-0000000000000002.ltx").write_bytes(bytes(500))
    return folder


@pytest.mark.parametrize("what", ["database", "wal", "ltx"])
def test_one_bit_is_another_and_the_report_says_where(folder: Path, tmp_path: Path, what: str) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    done = corrupt(tmp_path, "data.db", what)
    changed = [path for path in files if path.read_bytes() != before[path]]
    assert changed == [done.path] and done.path.name in str(done)
    now = done.path.read_bytes()
    assert [at for at in range(len(now)) if now[at] != before[done.path][at]] == [done.offset]
    assert done.after == now[done.offset] == done.before ^ 1


def test_it_says_which_page_of_the_database_it_is(folder: Path, tmp_path: Path) -> None:
    """In small facts, from which a viewer tells what is broken by it."""
    assert corrupt(tmp_path, "data.db", "database").facts == {"file": "database", "offset": 2047, "pgno": 2}
    assert corrupt(tmp_path, "data.db", "database", 1024).facts["pgno"] == 2
    assert corrupt(tmp_path, "data.db", "wal", 40).facts == {"file": "wal", "offset": 40}


def test_of_the_ltx_files_it_is_the_newest(folder: Path, tmp_path: Path) -> None:
    assert corrupt(tmp_path, "data.db", "ltx", 7).path.name == "0000000000000002-0000000000000002.ltx"


def test_in_a_database_it_is_the_end_of_page_2_where_the_first_row_is(folder: Path, tmp_path: Path) -> None:
    done = corrupt(tmp_path, "data.db", "database")
    assert done.offset == 2047 and done.before == ord("w")


def test_what_is_not_there_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LessonError, match=r"there is no .*/journal"):
        corrupt(tmp_path, "data.db", "journal")
    with pytest.raises(LessonError, match=r"has 500 bytes: there is no byte 500"):
        corrupt(tmp_path, "data.db", "ltx", 500)


def test_a_database_s_bytes_are_its_file_under_the_wal_s_commits(folder: Path, tmp_path: Path) -> None:
    found = database_bytes(tmp_path)
    assert found is not None and len(found) == 2048
    assert b"in the WAL" in found and b"in the WAL" not in (folder / "database").read_bytes()
    log = (folder / "wal").read_bytes()
    (folder / "wal").write_bytes(log[:-1] + bytes([log[-1] ^ 1]))
    assert database_bytes(tmp_path) == (folder / "database").read_bytes()
    assert database_bytes(tmp_path / "elsewhere") is None
