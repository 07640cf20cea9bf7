"""An overflow page that changed alone leads to its row: by the pointer map, or by reading tables."""

from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import Counts, difference
from tests.ltx.histories import LivingDatabase


@pytest.mark.parametrize(("vacuum", "walked"), [("NONE", True), ("FULL", False)])
def test_a_blob_written_in_its_middle_is_a_changed_row(tmp_path: Path, vacuum: str, walked: bool) -> None:
    """The page with the row does not change. With a pointer map no table has to be read."""
    with closing(
        LivingDatabase(tmp_path, setup=lambda db: db.execute(f"PRAGMA auto_vacuum={vacuum}"))
    ) as living:
        living.run(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x)", "CREATE TABLE other(x)", "CREATE INDEX i ON other(x)"
        )
        living.run(
            *(f"INSERT INTO t VALUES({n}, zeroblob(20000))" for n in range(20)),
            "INSERT INTO other VALUES(zeroblob(9000))",
        )
        living.db.execute("BEGIN")
        with living.db.blobopen("t", "x", 13) as blob:
            blob.seek(15000)
            blob.write(b"here")
        living.db.execute("COMMIT")
        living.commit()
        with open_timeline(tmp_path) as timeline:
            assert len(timeline.files) == 3
            found = difference(timeline, 2, 3)
            [pair] = [one for one in found.pairs if one.name == "t"]
            [change] = found.rows(pair)
            assert found.count(pair) == Counts(changed=1)
            assert not any(found.count(one).total for one in found.pairs if one.name != "t")
    assert (change.rowid, change.differing()) == (13, ["x"])
    assert found.touched.walked is walked


def test_overflow_pages_of_new_rows_and_indexes_make_nothing_be_read(tmp_path: Path) -> None:
    with closing(LivingDatabase(tmp_path)) as living:
        living.run("CREATE TABLE t(x)", "CREATE INDEX i ON t(x)")
        living.run("INSERT INTO t VALUES(hex(zeroblob(9000)))", "INSERT INTO t VALUES(zeroblob(9000))")
        living.run("DELETE FROM t WHERE rowid = 1")
        with open_timeline(tmp_path) as timeline:
            for txid in (2, 3):
                assert not difference(timeline, txid - 1, txid).touched.walked
