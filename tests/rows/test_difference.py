"""A difference is told as people know it: their tables, the schema, a VACUUM."""

from contextlib import closing
from pathlib import Path

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import Counts, difference
from tests.ltx.histories import LivingDatabase


def test_a_vacuum_is_told_and_no_row_with_it(tmp_path: Path) -> None:
    """Also where it gives rows of a table without a key of theirs other rowids."""
    with closing(LivingDatabase(tmp_path)) as living:
        living.run("CREATE TABLE t(x)", "CREATE TABLE k(id INTEGER PRIMARY KEY, x)")
        living.run(*(f"INSERT INTO {name}(x) VALUES({n})" for n in range(900) for name in ("t", "k")))
        living.run("DELETE FROM t WHERE rowid % 2", "DELETE FROM k WHERE id % 2")
        living.db.execute("VACUUM")
        living.commit(whole=True)
        with open_timeline(tmp_path) as timeline:
            assert difference(timeline, 3, 4).is_vacuum
            assert not difference(timeline, 2, 3).is_vacuum
            assert not any(
                difference(timeline, 3, 4).count(pair).total for pair in difference(timeline, 3, 4).pairs
            )


def test_what_is_a_virtual_table_s_own_is_folded_into_it(tmp_path: Path) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        living.run(
            "CREATE VIRTUAL TABLE words USING fts5(body)",
            "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)",
            "CREATE TABLE _litestream_seq(id INTEGER PRIMARY KEY, seq)",
        )
        living.run(
            "INSERT INTO words VALUES('a b')",
            "INSERT INTO t VALUES(7)",
            "INSERT INTO _litestream_seq VALUES(1, 1)",
        )
        with open_timeline(tmp_path) as timeline:
            found = difference(timeline, 1, 2)
            shown = [(found.shown_name(pair), found.count(pair)) for pair in found.pairs]
    told = [(name, counts) for name, counts in shown if name is not None and counts.total]
    assert told == [("t", Counts(added=1)), ("words", Counts(added=1))]


def test_the_schema_s_changes_are_told(tmp_path: Path) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        living.run("CREATE TABLE a(x)", "CREATE TABLE b(x)", "CREATE INDEX i ON a(x)")
        living.run("INSERT INTO a VALUES(1), (2)")
        living.run("DROP TABLE b", "ALTER TABLE a RENAME TO c", "CREATE VIEW v AS SELECT 1")
        living.run("ALTER TABLE c ADD COLUMN y DEFAULT 5")
        with open_timeline(tmp_path) as timeline:
            found = difference(timeline, 2, 3)
            assert {(one.what, one.kind, one.name) for one in found.schema} == {
                ("dropped", "table", "b"), ("renamed", "table", "c"), ("created", "view", "v"),
                ("changed", "index", "i"),
            }  # fmt: skip
            added = difference(timeline, 3, 4)
            assert [(one.what, one.name) for one in added.schema] == [("changed", "c")]
            assert not any(added.count(pair).total for pair in added.pairs)  # No row was written for it.
            assert not any(found.count(pair).total for pair in found.pairs)
