"""What a store keeps for a replica: the next LTX file, and a database's whole history."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.replication import kept
from pylitefs.replication.catchup import CHEAP_FILES, Files, History, Snapshot
from pylitefs.store.store import Store
from tests.replication.stores import PAGE, Writer, opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


def test_the_next_file_is_the_store_s_or_the_one_that_came_along(store: Store) -> None:
    """Also the first one; None where it is gone."""
    writer = Writer(store)
    positions = [writer.commit({1: value}) for value in range(3)]
    database = store.require("made.db")
    assert (first := kept.next_file(database, 0)) is not None and (first.min_txid, first.max_txid) == (1, 1)
    header = database.ltx_header(3, 3)
    database.state.ltx.remove(3, 3)
    assert (third := kept.next_file(database, 2, header)) is not None
    assert third.pre_apply_checksum == positions[1].checksum
    assert kept.next_file(database, 2) is None


def test_a_history_is_whole_or_none(store: Store) -> None:
    """From TXID 1 to the position; a gap makes it none, and so does its length."""
    writer = Writer(store)
    for value in range(3):
        writer.commit({1: value, 2: value})
    database = store.require("made.db")
    size = sum(path.stat().st_size for path in database.ltx_dir.iterdir())
    assert kept.whole_history(database, writer.pos) == History(3, size, 2 * PAGE)
    database.ltx_path(2, 2).rename(database.ltx_dir / "aside")
    assert kept.whole_history(database, writer.pos) is None, "removed by hand"
    database.state.ltx.remove(2, 2)
    assert kept.whole_history(database, writer.pos) is None, "reaped, and the disk did not let the first go"
    database.state.ltx.remove(1, 1)
    assert kept.whole_history(database, writer.pos) is None


def test_a_history_that_is_too_long_is_not_even_measured(store: Store) -> None:
    writer = Writer(store)
    for value in range(CHEAP_FILES + 1):
        writer.commit({1: value})
    database = store.require("made.db")
    assert kept.whole_history(database, writer.pos) is None


def test_only_a_replica_that_listened_from_the_beginning_gets_the_history(store: Store) -> None:
    writer = Writer(store)
    writer.commit({1: 1})
    writer.commit({1: 2})
    database = store.require("made.db")
    assert isinstance(kept.decision(database, Pos(), None, born=True)[0], Files)
    assert isinstance(kept.decision(database, Pos(), None, born=False)[0], Snapshot)
