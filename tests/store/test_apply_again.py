"""The newest transaction once more: an old WAL ends, and what counts of it is in the database."""

import pytest

from pylitefs.errors import BusyError
from pylitefs.store.apply_again import apply_again
from pylitefs.store.applying import KnownWal
from pylitefs.store.database import Database
from pylitefs.store.role_change import finish_stored, stop_writes
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience
from tests.store.test_known_wal import Told, applier, database, known

__all__ = ["applier", "database", "known"]


def test_a_node_that_follows_says_what_counts_of_its_wal(
    store: Store, database: Database, known: KnownWal, applier: Told
) -> None:
    store.status.is_primary = False
    pos = database.pos
    apply_again(store, database, "a test", 1.0)
    assert applier.known == [known] and database.pos == pos
    assert not database.wal_watch.tracker.unsummed


def test_a_primary_s_wal_is_its_clients(store: Store, database: Database, applier: Told) -> None:
    apply_again(store, database, "a test", 1.0)
    assert applier.known == []


def test_a_node_that_is_to_lead_again_ends_a_wal_that_only_its_index_tells(
    store: Store, database: Database, known: KnownWal, applier: Told
) -> None:
    """And no other: its clients copy that themselves, once they may write again."""
    stop_writes(database)
    store.status.is_primary = False
    finish_stored(store, database)
    finish_stored(store, database)
    assert applier.known == [known]


def test_somebody_who_is_at_work_is_waited_for(store: Store, database: Database, applier: Told) -> None:
    store.status.is_primary = False
    with (
        database.state.apply_lock.held_for(Patience("an export", 1.0)),
        pytest.raises(BusyError, match="a change of role waited"),
    ):
        apply_again(store, database, "a change of role", 0.1)
    assert applier.known == []
