"""A line a transaction, and what is not known is said."""

from contextlib import closing
from pathlib import Path

from pylitefs.ltx.timeline import open_timeline
from pylitefs.rows.difference import Counts
from pylitefs.rows.history import history
from tests.ltx.histories import START_MS, LivingDatabase


def grown(folder: Path) -> LivingDatabase:
    living = LivingDatabase(folder)
    living.run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)", "INSERT INTO t VALUES(1, 1), (2, 2)")
    living.run("UPDATE t SET x = 5 WHERE id = 2", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES(9, 9)")
    living.run("CREATE TABLE u(x)")
    living.run("INSERT INTO u VALUES(1)")
    return living


def test_each_transaction_has_its_line(tmp_path: Path) -> None:
    with closing(grown(tmp_path)) as living, open_timeline(tmp_path) as timeline:
        lines = list(history(timeline))
        assert [line.file.max_txid for line in lines] == list(living.states)
        assert list(history(timeline, last=2)) == lines[2:]
    assert [line.tables for line in lines] == [{"t": Counts(2)}, {"t": Counts(1, 1, 1)}, {}, {"u": Counts(1)}]
    assert [line.notes for line in lines] == [("table t created",), (), ("table u created",), ()]
    assert [line.pages for line in lines] == [2, 2, 3 - 1, 2]
    assert lines[1].file.time_ms == START_MS + 2000 and lines[1].page_count == 2


def test_rows_whose_state_before_is_gone_are_not_guessed(tmp_path: Path) -> None:
    with closing(grown(tmp_path)) as living:
        living.forget(1)
        with open_timeline(tmp_path) as timeline:
            lines = list(history(timeline))
    assert lines[0].tables == {"t": None} and lines[0].counts is None
    assert lines[0].notes == ("rows unknown: the state before 0000000000000002 is gone",)
    assert [line.counts for line in lines[1:2]] == [Counts()]


def test_a_dropped_database_is_told(tmp_path: Path) -> None:
    from pylitefs.ltx.checksum import EMPTY_CHECKSUM
    from pylitefs.ltx.encoder import encode
    from pylitefs.ltx.header import Header
    from tests.ltx.samples import checksum_of

    with closing(grown(tmp_path)) as living:
        before = checksum_of(dict(enumerate(living.pages, 1)))
        header = Header(0, 4096, 0, 5, 5, START_MS, before)
        (living.folder / header.filename).write_bytes(encode(header, [], EMPTY_CHECKSUM))
        with open_timeline(tmp_path) as timeline:
            line = list(history(timeline))[-1]
    assert line.counts == Counts(removed=3) and line.notes[-1] == "the database was dropped"
