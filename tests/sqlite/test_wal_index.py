"""The WAL index."""

import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.wal import WalHeader, committed, scan
from pylitefs.sqlite.wal_index import (
    CHECKPOINT_INFO_OFFSET,
    INDEX_PREFIX_SIZE,
    WAL_INDEX_SIZE,
    WalIndexHeader,
    empty_index,
    empty_prefix,
    read_header,
)
from tests.sqlite.samples import PAGE_SIZES, make_database, read_at


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_what_sqlite_writes_is_read_and_written_back(page_size: int, tmp_path: Path) -> None:
    database = make_database(tmp_path / "a.db", page_size=page_size, mode="wal")
    shm, wal = (tmp_path / "a.db-shm").read_bytes(), (tmp_path / "a.db-wal").read_bytes()
    header, wal_header = read_header(shm), WalHeader.parse(wal)
    state = committed(scan(read_at(wal), len(wal), wal_header), wal_header)
    assert header is not None
    assert header == WalIndexHeader(
        page_size=page_size,
        max_frame=state.last_index,
        page_count=state.commit,
        change=header.change,
        frame_checksum1=state.checksum1,
        frame_checksum2=state.checksum2,
        salt1=wal_header.salt1,
        salt2=wal_header.salt2,
    )
    assert header.pack() == shm[:48] == shm[48:96]
    database.close()


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_an_empty_index_is_as_litefs_writes_it(page_size: int) -> None:
    index = empty_index(page_size, 77, 2**32 + 5)
    assert len(index) == WAL_INDEX_SIZE
    assert index[:INDEX_PREFIX_SIZE] == empty_prefix(page_size, 77, 5)
    assert not any(index[INDEX_PREFIX_SIZE:])
    header = read_header(index)
    assert header == WalIndexHeader(page_size, 0, 77, 5)
    assert index[:16] == bytes.fromhex("18e22d00 00000000 05000000 0100") + (
        page_size if page_size < 65536 else 1
    ).to_bytes(2, "little")
    marks = index[CHECKPOINT_INFO_OFFSET : CHECKPOINT_INFO_OFFSET + 24]
    assert marks == bytes(8) + b"\xff" * 16
    assert not any(index[CHECKPOINT_INFO_OFFSET + 24 : INDEX_PREFIX_SIZE])


def test_a_reader_sees_new_pages_once_an_empty_index_says_so(tmp_path: Path) -> None:
    """An open SQLite connection keeps its cached pages until the header changes, then reads anew."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    reader = make_database(path, mode="wal", rows=3)
    reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    changed = make_database(other, mode="wal", rows=3)
    changed.execute("UPDATE t SET a = 'new'")
    changed.close()
    shm = tmp_path / "a.db-shm"
    before = read_header(shm.read_bytes())
    assert before is not None and before.max_frame == 0

    def rows() -> set[str]:
        return {row for (row,) in reader.execute("SELECT a FROM t")}

    assert rows() != {"new"}
    pages = other.read_bytes()
    with open(path, "r+b") as file:
        file.write(pages)
        file.truncate()
    assert rows() != {"new"}
    with open(shm, "r+b") as file:
        file.write(empty_index(4096, len(pages) // 4096, before.change + 1))
    assert rows() == {"new"}
    reader.execute("INSERT INTO t VALUES (1000, 'written')")
    assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    reader.close()
    again = sqlite3.connect(path)
    assert again.execute("SELECT a FROM t WHERE id = 1000").fetchone() == ("written",)
    again.close()


def test_a_header_that_a_reader_would_not_take() -> None:
    """A flipped byte, copies that differ, not initialised, too short."""
    index = empty_index(4096, 3, 1)
    for offset in range(96):
        damaged = bytearray(index)
        damaged[offset] ^= 0x40
        assert read_header(damaged) is None
        both = damaged[:48] * 2 if offset < 48 else damaged[48:96] * 2
        assert read_header(both) is None
    assert read_header(b"") is None
    assert read_header(bytes(WAL_INDEX_SIZE)) is None
    with pytest.raises(SqliteFormatError, match="47 of 48"):
        WalIndexHeader.parse(index[:47])
    with pytest.raises(SqliteFormatError, match="not initialised"):
        WalIndexHeader.parse(WalIndexHeader(4096, 0, 3, 1, is_init=False).pack())
    differ = WalIndexHeader(4096, 0, 3, 1).pack() + WalIndexHeader(4096, 0, 3, 2).pack()
    assert read_header(differ.ljust(136, b"\0")) is None
