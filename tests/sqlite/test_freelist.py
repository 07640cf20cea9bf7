"""The free list of a database, as SQLite writes it and as nobody would."""

import sqlite3
from contextlib import closing
from pathlib import Path

from pylitefs.sqlite.freelist import free_leaves


def test_a_free_list_that_is_none_does_no_harm() -> None:
    page = bytearray(512)
    page[32:40] = (2).to_bytes(4, "big") * 2
    assert free_leaves(lambda pgno: bytes(page) if pgno == 1 else b"\xff" * 512, 9) == set()
    loop = (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + (7).to_bytes(4, "big") + bytes(500)
    assert free_leaves(lambda pgno: bytes(page) if pgno == 1 else loop, 9) == {7}


def test_what_sqlite_freed_is_found(tmp_path: Path) -> None:
    """More leaves than one trunk page names; the trunk pages themselves are none."""
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as db:
        db.execute("PRAGMA page_size=512")
        db.execute("CREATE TABLE kept (x)")
        db.execute("CREATE TABLE dropped (x)")
        db.execute("INSERT INTO dropped SELECT zeroblob(100000)")
        db.execute("DROP TABLE dropped")
        [[count]] = db.execute("PRAGMA freelist_count").fetchall()
    content = (tmp_path / "a.db").read_bytes()
    leaves = free_leaves(lambda pgno: content[(pgno - 1) * 512 : pgno * 512], len(content) // 512)
    trunks = count - len(leaves)
    assert count > 150 and trunks == -(-count // (512 // 4 - 2 + 1)), "each trunk names 126 leaves at most"
    assert not {1, 2} & leaves and max(leaves) <= len(content) // 512


def test_a_database_without_free_pages_has_none() -> None:
    assert free_leaves(lambda pgno: bytes(512), 1) == set()
