"""The schema is read from its pages: what there is, and what belongs to what."""

from contextlib import closing

from pylitefs.sqlite.schema import read_schema
from tests.sqlite.random_rows import connect
from tests.sqlite.test_tree import pages_of


def test_every_object_is_there_with_its_root() -> None:
    """Also where the schema needs more than a page, and overflow pages."""
    with closing(connect(":memory:")) as db:
        for number in range(60):
            db.execute(f"CREATE TABLE t{number}(a UNIQUE, b DEFAULT '{'x' * number * 20}')")
            db.execute(f"CREATE VIEW v{number} AS SELECT a FROM t{number}")
        expected = db.execute(
            "SELECT type, name, tbl_name, rootpage, coalesce(sql, '') FROM sqlite_schema"
        ).fetchall()
        schema = read_schema(pages_of(db))
    found = [(one.kind, one.name, one.table, one.root, one.sql) for one in schema.objects]
    assert sorted(found) == sorted(expected)
    assert len(schema.pgnos) > 60
    assert set(schema.others()) == {("view", f"v{number}") for number in range(60)}


def test_a_virtual_table_has_its_shadows() -> None:
    with closing(connect(":memory:")) as db:
        db.execute("CREATE VIRTUAL TABLE words USING fts5(body)")
        db.execute("CREATE TABLE words_more(x)")
        db.execute("CREATE TABLE c(id INTEGER PRIMARY KEY AUTOINCREMENT)")
        db.execute("CREATE TABLE _litestream_seq(id, seq)")
        schema = read_schema(pages_of(db))
    assert schema.tables["words"].module == "fts5"
    assert schema.owner("words_content") == schema.tables["words"]
    assert schema.owner("words_more") is None
    internal = {name for name, one in schema.tables.items() if one.is_internal}
    assert internal == {"sqlite_sequence", "_litestream_seq"}
