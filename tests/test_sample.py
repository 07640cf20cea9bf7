"""The sample database: a few thousand rows, consistent, and the same bytes every time."""

import sqlite3
from contextlib import closing
from pathlib import Path

from pylitefs import sample


def test_it_holds_a_few_thousand_consistent_rows(tmp_path: Path) -> None:
    sample.create(tmp_path / "sample.db")
    with closing(sqlite3.connect(tmp_path / "sample.db")) as db:
        counts = [
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("customers", "invoices", "invoice_lines")
        ]
        assert counts == [300, 1200, 3029]
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("SELECT count(*) FROM invoice_totals WHERE cents > 0").fetchone() == (1200,)


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    assert sample.create(tmp_path / "a.db") == sample.create(tmp_path / "b.db") == 5
    assert (tmp_path / "a.db").read_bytes() == (tmp_path / "b.db").read_bytes()
