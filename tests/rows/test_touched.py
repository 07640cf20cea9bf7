"""No row that differs lies outside of the pages that are looked at, and these are few."""

from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import Counts, difference
from tests.ltx.histories import LivingDatabase


def filled(folder: Path, vacuum: str = "NONE") -> LivingDatabase:
    living = LivingDatabase(folder, setup=lambda db: db.execute(f"PRAGMA auto_vacuum={vacuum}"))
    living.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)", "CREATE TABLE u(x)")
    living.run(*(f"INSERT INTO t VALUES({n}, zeroblob(200))" for n in range(1500)))
    living.run(*(f"INSERT INTO u VALUES('{n}')" for n in range(1500)))
    return living


@pytest.mark.parametrize("vacuum", ["NONE", "FULL", "INCREMENTAL"])
def test_rows_of_pages_that_only_became_free_are_told(tmp_path: Path, vacuum: str) -> None:
    """SQLite does not write a page that it frees: DELETE of all, of a range, DROP TABLE."""
    with closing(filled(tmp_path, vacuum)) as living:
        living.run("DELETE FROM u")
        living.run("DELETE FROM t WHERE id BETWEEN 300 AND 1200")
        living.run("DROP TABLE t")
        with open_timeline(tmp_path) as timeline:
            for txid, name, count in ((4, "u", 1500), (5, "t", 901), (6, "t", 599)):
                found = difference(timeline, txid - 1, txid)
                counts = {pair.name: found.count(pair) for pair in found.pairs}
                assert counts.pop(name) == Counts(removed=count)
                assert not any(one.total for one in counts.values())
                assert not found.touched.walked


def test_one_row_of_many_costs_a_few_pages(tmp_path: Path) -> None:
    with closing(filled(tmp_path)) as living:
        living.run("UPDATE t SET x = 7 WHERE id = 800")
        with open_timeline(tmp_path) as timeline:
            found = difference(timeline, 3, 4)
            assert [found.count(pair) for pair in found.pairs] == [Counts(changed=1), Counts()]
    assert found.old.reads + found.new.reads < 20
    assert found.new.page_count > 80
