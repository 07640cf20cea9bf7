"""What grows with a database: 8 bytes a page, and while all of it goes through, 12 more."""

import sqlite3
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.store.support import opened

PAGES = 60_000
PAGE_SIZE = 512
LEAST = 6 << 20
"""What any of it takes, of a small database, too: blocks of 1 MiB here and there."""


def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA page_size={PAGE_SIZE}")
        db.execute("CREATE TABLE t(x)")
        db.execute("INSERT INTO t VALUES (zeroblob(?))", (PAGES * (PAGE_SIZE - 4),))
        db.commit()
    return path


def peak(work: Callable[[], object]) -> int:
    """The most bytes that were there while it ran."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.full
def test_start_import_and_join_cost_an_array(tmp_path: Path) -> None:
    """Each of them stays below 40 bytes a page, where a dict takes 130."""
    source = database(tmp_path / "source")
    most = LEAST + 40 * PAGES
    with opened(tmp_path / "primary") as primary:
        with source.open("rb") as file:
            assert peak(lambda: primary.import_database("a.db", file)) < most
        made = primary.require("a.db")
        assert made.page_count >= PAGES
        out = tmp_path / "snapshot"
        assert peak(lambda: primary.snapshot("a.db", out)) < most
    with opened(tmp_path / "replica", primary=False) as replica, out.open("rb") as file:
        chunks = iter(lambda: file.read(1 << 16), b"")
        assert peak(lambda: replica.receive_ltx("a.db", chunks)) < most

    def start() -> None:
        with opened(tmp_path / "primary"):
            pass

    assert peak(start) < most
