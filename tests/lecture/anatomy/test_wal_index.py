"""WAL indexes taken apart: SQLite's own, and any bytes."""

from pathlib import Path

from hypothesis import given

from pylitefs.lecture.anatomy import wal_index
from pylitefs.sqlite.wal_index import empty_index
from tests.lecture.anatomies import assert_covers, damaged, values
from tests.sqlite.samples import make_database


def test_a_wal_index_of_sqlites_own_is_named_to_the_last_byte(tmp_path: Path) -> None:
    database = make_database(tmp_path / "a.db", page_size=1024, mode="wal", rows=3)
    data = (tmp_path / "a.db-shm").read_bytes()
    frames = ((tmp_path / "a.db-wal").stat().st_size - 32) // (1024 + 24)
    parts = wal_index.anatomy(data)
    assert_covers(parts, data)
    found = values(parts)
    assert found["last frame"] == str(frames)
    assert found["page size"] == "1,024"
    assert found["header checksum 1"].endswith("holds")
    assert found["read mark 0"] == "frame 0"
    assert found["pages of frames 1 to 4062"].startswith("1, ")
    assert_covers(wal_index.anatomy(data[:136]), data[:136])
    database.close()


def test_two_headers_that_differ_are_said_to() -> None:
    data = bytearray(empty_index(1024, 3, 1))
    data[48 + 16] ^= 1
    found = [part.value for part in wal_index.anatomy(bytes(data)) if part.name == "header checksum 1"]
    assert found[0].endswith("holds")
    assert "does not hold; the copies differ" in found[1]


@given(damaged(empty_index(1024, 3, 1)[:200]))
def test_any_bytes_of_a_wal_index_are_covered(data: bytes) -> None:
    assert_covers(wal_index.anatomy(data), data)
