"""A page's table is proven from the table's root; what a free page still holds is nobody's."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.side import Side
from pylitefs.sqlite.tree import nodes
from tests.ltx.histories import LivingDatabase


def test_every_page_has_the_table_whose_tree_it_is_in(tmp_path: Path) -> None:
    """And indexes, interior pages and free pages, full of old rows, have none."""
    with closing(LivingDatabase(tmp_path)) as living:
        living.run(
            "CREATE TABLE t(a, b)",
            "CREATE INDEX t_a ON t(a)",
            "CREATE TABLE k(a PRIMARY KEY, b) WITHOUT ROWID",
            "CREATE TABLE empty(x)",
            "CREATE TABLE gone(a)",
        )
        for table in ("t(a, b)", "gone(a)", "k(a, b)"):
            values = ", ".join(f"({n}{', 7' * (',' in table)})" for n in range(2000))
            living.run(f"INSERT INTO {table} VALUES {values}")
        living.run("DELETE FROM gone")
        with open_timeline(tmp_path) as timeline:
            side = Side(timeline.moment(living.txid))
            expected: dict[int, str] = {}
            for one in side.schema.tables.values():
                for node in nodes(side.pages, one.root):
                    if node.kind != 5:
                        expected[node.pgno] = one.name
            found = {
                pgno: owner.name for pgno in range(1, side.page_count + 1) if (owner := side.owner(pgno))
            }
    assert found == expected
    assert set(found.values()) == {"t", "k", "empty", "gone"}
    assert len(found) < side.page_count - 10


def test_a_collation_of_the_application_makes_its_table_be_walked(tmp_path: Path) -> None:
    def setup(db: sqlite3.Connection) -> None:
        db.create_collation("mine", lambda one, other: (one < other) - (one > other))

    with closing(LivingDatabase(tmp_path, setup=setup)) as living:
        living.run("CREATE TABLE k(a COLLATE mine PRIMARY KEY) WITHOUT ROWID")
        living.run(*(f"INSERT INTO k VALUES('{n} {'x' * 300}')" for n in range(60)))
        with open_timeline(tmp_path) as timeline:
            side = Side(timeline.moment(living.txid))
            owners = [side.owner(pgno) for pgno in range(2, side.page_count + 1)]
    assert len(owners) > 5 and {owner.name if owner else "" for owner in owners} == {"k"}


def test_a_database_that_is_not_there_has_nothing() -> None:
    side = Side(None)
    assert side.txid == 0 and not side.schema.objects and side.owner(1) is None and not side.freed({1})


@pytest.mark.parametrize("tables", [1, 40])
def test_finding_the_owner_costs_what_the_tree_is_deep(tmp_path: Path, tables: int) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        living.run(*(f"CREATE TABLE t{number}(a)" for number in range(tables)))
        living.run(*(f"INSERT INTO t0 VALUES(zeroblob({300}))" for _ in range(3000)))
        with open_timeline(tmp_path) as timeline:
            side = Side(timeline.moment(living.txid))
            before = side.reads
            leaf = next(
                node.pgno for node in nodes(side.pages, side.schema.tables["t0"].root) if node.count > 5
            )
            side = Side(timeline.moment(living.txid))
            before = side.reads
            owner = side.owner(leaf)
    assert side.reads - before <= tables + 4, owner
