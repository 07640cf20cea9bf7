"""B-trees are walked and searched: every row is SQLite's own, and the way to each is found."""

import random
import sqlite3
from contextlib import closing

import pytest

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.columns import Table, read_table
from pylitefs.sqlite.records import Value
from pylitefs.sqlite.schema import read_schema
from pylitefs.sqlite.tree import Pages, nodes, path_to_key, path_to_rowid, table_rows
from tests.sqlite.random_rows import SCHEMAS, by_sqlite, connect, fill, sortable


def pages_of(db: sqlite3.Connection) -> Pages:
    data = db.serialize()
    [(size,)] = db.execute("PRAGMA page_size").fetchall()
    return Pages.of(lambda pgno: data[(pgno - 1) * size : pgno * size])


def entries(pages: Pages, root: int, table: Table) -> list[list[Value]]:
    """The rows of a table WITHOUT ROWID: interior pages have some of them."""
    return [table.row(0, pages.values(node, at)) for node in nodes(pages, root) for at in range(node.count)]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le", "UTF-16be"])
@pytest.mark.parametrize("vacuum", ["NONE", "FULL"])
def test_every_row_is_the_one_that_sqlite_has(encoding: str, vacuum: str) -> None:
    """Tables of all kinds with values of all types; overflow pages, deleted rows, a column added later."""
    rng = random.Random(f"{encoding} {vacuum}")
    with closing(connect(":memory:", encoding, rng.choice([512, 1024]))) as db:
        db.execute(f"PRAGMA auto_vacuum={vacuum}")
        for sql in SCHEMAS:
            db.execute(sql)
        db.execute("CREATE INDEX plain_a ON plain(a)")
        fill(db, rng, 300)
        db.execute("ALTER TABLE plain ADD COLUMN later TEXT DEFAULT 'é'")
        db.execute("DELETE FROM plain WHERE rowid % 3 = 0")
        db.execute("INSERT INTO plain VALUES(1, CAST(x'ff00fe41' AS TEXT), 3, NULL)")
        pages = pages_of(db)
        schema = read_schema(pages)
        assert len(schema.tables) == len(SCHEMAS) + 1  # And sqlite_sequence.
        for name, found in schema.tables.items():
            table = read_table(name, found.sql)
            if table.has_rowid:
                rows = [[rowid, *table.row(rowid, values)] for rowid, values in table_rows(pages, found.root)]
                alias = "_rowid_" if "rowid" in table.names else "rowid"
                expected = by_sqlite(db, name, table.names, alias)
            else:
                rows = entries(pages, found.root, table)
                expected = by_sqlite(db, name, table.names)
            assert sorted(map(sortable, rows)) == sorted(map(sortable, expected)), name


def test_the_way_to_a_row_ends_at_its_page() -> None:
    """Of each row, by its rowid or its key, under every collation of SQLite's and descending."""
    rng = random.Random(5)
    with closing(connect(":memory:", "UTF-16le")) as db:
        for sql in SCHEMAS:
            db.execute(sql)
        fill(db, rng, 400)
        pages = pages_of(db)
        for name, found in read_schema(pages).tables.items():
            table = read_table(name, found.sql)
            for node in nodes(pages, found.root):
                for at in range(0, node.count, 3):
                    if not table.has_rowid:
                        key = pages.values(node, at)
                        assert path_to_key(pages, found.root, key, table.key)[-1] == node.pgno
                    elif not node.is_interior:
                        assert path_to_rowid(pages, found.root, node.rowid(at))[-1] == node.pgno


def test_a_search_reads_no_more_pages_than_the_tree_is_deep() -> None:
    with closing(connect(":memory:")) as db:
        db.execute("CREATE TABLE t(a)")
        db.executemany("INSERT INTO t VALUES(?)", [("x" * 100,)] * 5000)
        pages = pages_of(db)
        asked: list[int] = []

        def read(pgno: int) -> Buffer:
            asked.append(pgno)
            return pages.read(pgno)

        counting = Pages(read, pages.usable, pages.encoding)
        path = path_to_rowid(counting, 2, 2500)
    assert asked == path and len(path) <= 4


def test_a_tree_that_bites_its_tail_is_an_error_and_no_loop() -> None:
    page = bytearray(512)
    page[0], page[8:12] = 5, (2).to_bytes(4, "big")
    pages = Pages(lambda pgno: page, 512, "utf-8")
    with pytest.raises(SqliteFormatError, match="twice"):
        list(nodes(pages, 2))
    with pytest.raises(SqliteFormatError, match="no bottom"):
        path_to_rowid(pages, 2, 1)
