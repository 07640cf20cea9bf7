"""The SQL does what it says, whatever stands in its way."""

from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import difference
from pylitefs.rows.script import script
from tests.ltx.histories import LivingDatabase
from tests.rows.judge import apply, in_order, rows_of, schema_of

SETUP = (
    "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, r REAL)",
    "CREATE TABLE log(id INTEGER PRIMARY KEY AUTOINCREMENT, what)",
    "CREATE TABLE child(t REFERENCES t(id) ON DELETE CASCADE)",
    "CREATE TRIGGER told AFTER UPDATE ON t BEGIN INSERT INTO log(what) VALUES(new.u); END",
    "CREATE TRIGGER gone AFTER DELETE ON t BEGIN INSERT INTO log(what) VALUES('gone'); END",
    "INSERT INTO t VALUES(1, 'a', 1), (2, 'b', 2.5)",
    "INSERT INTO child VALUES(1), (2)",
)


@pytest.mark.parametrize(
    "change",
    [
        ("UPDATE t SET u = 'c' WHERE id = 1", "UPDATE t SET u = 'a' WHERE id = 2",
         "UPDATE t SET u = 'b' WHERE id = 1"),
        ("DELETE FROM t WHERE id = 2", "INSERT INTO log(what) VALUES('x')", "DELETE FROM log"),
        ("ALTER TABLE t RENAME COLUMN r TO s", "ALTER TABLE t ADD COLUMN z DEFAULT 'new'",
         "UPDATE t SET z = 1 WHERE id = 1"),
        ("DROP TABLE child", "CREATE TABLE child(other, UNIQUE(other))", "INSERT INTO child VALUES(9)"),
        ("ALTER TABLE t RENAME TO x", "ALTER TABLE child RENAME TO t", "ALTER TABLE x RENAME TO child"),
        ("CREATE VIRTUAL TABLE f USING fts5(a)", "INSERT INTO f VALUES('some words')"),
        ("PRAGMA user_version=5",),
    ],
)  # fmt: skip
def test_it_leads_there_and_back(tmp_path: Path, change: tuple[str, ...]) -> None:
    """Unique values that change places, triggers, cascades, counters, renames."""
    with closing(LivingDatabase(tmp_path)) as living:
        living.run(*SETUP)
        living.run(*change)
        before, after, copy = (tmp_path / name for name in ("before", "after", "copy"))
        before.write_bytes(living.states[1])
        after.write_bytes(living.states[2])
        with open_timeline(tmp_path) as timeline:
            there = list(script(difference(timeline, 1, 2)))
            back = list(script(difference(timeline, 1, 2).turned))
    copy.write_bytes(before.read_bytes())
    for statements, state in ((there, after), (back, before)):
        apply(copy, statements)
        assert in_order(rows_of(copy)) == in_order(rows_of(state))
        assert schema_of(copy) == schema_of(state)
    assert bool(there) == (change[0] != "PRAGMA user_version=5")


@pytest.mark.parametrize("new", ["RENAME COLUMN x TO y", "ADD COLUMN z DEFAULT 5", "DROP COLUMN x"])
def test_a_column_s_new_name_keeps_what_no_page_was_written_for(tmp_path: Path, new: str) -> None:
    """SQLite writes the schema alone, for a thousand rows."""
    with closing(LivingDatabase(tmp_path)) as living:
        living.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x, w)")
        living.run(*(f"INSERT INTO t VALUES({number}, {number}, 'w')" for number in range(1000)))
        living.run(f"ALTER TABLE t {new}", "UPDATE t SET w = 'v' WHERE id = 3")
        copy, paths = tmp_path / "copy", [tmp_path / "2", tmp_path / "3"]
        for path in paths:
            path.write_bytes(living.states[int(path.name)])
        with open_timeline(tmp_path) as timeline:
            found = difference(timeline, 2, 3)
            ways = list(script(found)), list(script(found.turned))
            told = sum(found.count(pair).total for pair in found.pairs)
    assert told == 1
    copy.write_bytes(paths[0].read_bytes())
    for statements, state in zip(ways, (paths[1], paths[0]), strict=True):
        apply(copy, statements)
        assert in_order(rows_of(copy)) == in_order(rows_of(state))
