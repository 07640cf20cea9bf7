"""The database header."""

import sqlite3
from pathlib import Path

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite.header import DatabaseHeader, is_page_size
from tests.sqlite.samples import PAGE_SIZES, make_database


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_what_sqlite_writes_is_read(page_size: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = make_database(path, page_size=page_size, mode=mode)
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (cookie,) = database.execute("PRAGMA schema_version").fetchone()
    database.close()
    raw = path.read_bytes()
    header = DatabaseHeader.parse(raw[:100])
    assert header == DatabaseHeader.parse(memoryview(raw))
    assert (header.page_size, header.page_count, header.schema_cookie) == (page_size, pages, cookie)
    assert header.pages(len(raw)) == pages == len(raw) // page_size
    assert header.is_wal == (mode == "wal")
    assert header.reserved == 0


def test_the_page_count_counts_only_if_its_writer_knew_it(tmp_path: Path) -> None:
    """SQLite before 3.7.0 raised the change counter and left the rest; then the file's size decides."""
    path = tmp_path / "a.db"
    make_database(path).close()
    raw = bytearray(path.read_bytes())
    header = DatabaseHeader.parse(raw)
    assert header.pages(len(raw) + 8 * 4096) == len(raw) // 4096
    raw[24:28] = (header.change_counter + 1).to_bytes(4, "big")
    assert DatabaseHeader.parse(raw).pages(len(raw) + 8 * 4096 + 1) == len(raw) // 4096 + 8
    raw[24:32] = raw[92:96] + bytes(4)
    assert DatabaseHeader.parse(raw).pages(len(raw)) == len(raw) // 4096


def test_sqlite_agrees_on_whose_page_count_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path).close()
    raw = bytearray(path.read_bytes()) + bytes(4096)
    for counter in (0, 1):
        raw[24:28] = (int.from_bytes(raw[92:96], "big") + counter).to_bytes(4, "big")
        path.write_bytes(raw)
        database = sqlite3.connect(path)
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.close()
        assert DatabaseHeader.parse(raw).pages(len(raw)) == pages


def test_something_else_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path).close()
    raw = path.read_bytes()[:100]
    for bad, word in (
        (raw[:99], "99 bytes"),
        (b"sqlite" + raw[6:], "begins"),
        (raw[:16] + b"\x03\x00" + raw[18:], "page size of 768"),
        (raw[:16] + b"\x00\x00" + raw[18:], "page size of 0"),
    ):
        with pytest.raises(SqliteFormatError, match=word):
            DatabaseHeader.parse(bad)


def test_page_sizes() -> None:
    assert all(map(is_page_size, PAGE_SIZES))
    assert not any(map(is_page_size, (-512, 0, 1, 256, 513, 768, 131072)))
