"""Pages of a database that goes on are read from beside: what changed meanwhile does not count."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.errors import BusyError
from pylitefs.ltx.node_pages import pages_now
from pylitefs.ltx.source import open_source
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE, JOURNAL_MAGIC
from tests.ltx.histories import LivingDatabase


def made(folder: Path) -> LivingDatabase:
    """A node's: who reads its files beside has no lock that would keep a client out."""
    living = LivingDatabase(folder)
    living.db.close()
    living.db = sqlite3.connect(f"file:{living.path}?nolock=1", uri=True, isolation_level=None)
    living.run("CREATE TABLE t(x)", "CREATE TABLE u(x)")
    living.run("INSERT INTO t VALUES(1)")
    return living


def test_what_other_transactions_change_is_no_matter(tmp_path: Path) -> None:
    with closing(made(tmp_path)) as living:
        source = open_source(tmp_path)
        with pages_now(source, living.txid) as read:
            page = read(2)
            living.run("INSERT INTO u VALUES(1)")
        assert page == living.states[2][4096:8192]


def test_a_page_that_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    """Also where its bytes are the old ones again: the file that came says it."""
    with closing(made(tmp_path)) as living:
        source = open_source(tmp_path)
        with (
            pytest.raises(BusyError, match=r"page 2 of .* try again"),
            pages_now(source, living.txid) as read,
        ):
            read(2)
            living.run("INSERT INTO t VALUES(2)")
        with pytest.raises(BusyError, match="page 2 of"), pages_now(source, living.txid - 1) as read:
            read(2)


def test_a_transaction_that_is_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pylitefs.ltx.node_pages._PATIENCE_S", 0.05)
    with closing(made(tmp_path)) as living:
        journal = tmp_path / "journal"
        journal.write_bytes(JOURNAL_MAGIC + bytes(JOURNAL_HEADER_SIZE))
        with (
            pytest.raises(BusyError, match="within a transaction"),
            pages_now(open_source(tmp_path), living.txid),
        ):
            pass
        journal.unlink()
        with pages_now(open_source(tmp_path), living.txid) as read:
            assert read(1)
