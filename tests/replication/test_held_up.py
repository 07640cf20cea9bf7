"""A reader that holds one database of a replica up holds up no other, and nothing is lost or mixed up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pylitefs.errors import ApplierError, BusyError
from pylitefs.lease.static import PrimaryInfo
from pylitefs.replication import held_up
from pylitefs.replication.replica import Replica
from pylitefs.store.applying import DirectApplier
from pylitefs.store.store import Store
from tests.replication.following import following
from tests.replication.scripted import wire
from tests.replication.stores import Writer, database_bytes, serving

Eventually = Callable[..., None]


class ReaderAt(DirectApplier):
    """An applier whose database `held` has a reader: an apply waits for it, or is told so in the end."""

    def __init__(self, data_dir: Path, held: str) -> None:
        super().__init__(data_dir)
        self.held = held
        self.gone = threading.Event()
        self.error: Exception | None = None
        """What the apply that waited says once the reader has gone."""
        self.waiting = 0

    def apply(self, database: str, ltx_path: Path, **how: Any) -> None:
        if database == self.held and not self.gone.is_set():
            if how.get("timeout") is not None:
                raise BusyError(f"{database} is locked by a reader")
            self.waiting += 1
            assert self.gone.wait(60)
            if self.error is not None:
                error, self.error = self.error, None
                raise error
        super().apply(database, ltx_path, **how)


@pytest.fixture
def reader(replica: Store) -> Iterator[ReaderAt]:
    """The replica's a.db is read by someone until `gone` is set."""
    reader = replica.applier = ReaderAt(replica.data_dir, "a.db")
    yield reader
    reader.gone.set()


@contextmanager
def two_writers(primary: Store) -> Iterator[tuple[Writer, Writer]]:
    a, b = Writer(primary, "a.db"), Writer(primary, "b.db")
    for one in (a, b):
        one.commit({1: 1})
    yield a, b


def has_pos(store: Store, writer: Writer) -> bool:
    database = store.get(writer.name)
    return database is not None and database.pos == writer.pos


def test_the_other_databases_follow_and_its_own_come_after_in_their_order(
    primary: Store, replica: Store, reader: ReaderAt, eventually: Eventually
) -> None:
    order: list[tuple[str, int]] = []
    replica.subscribe(lambda name, pos, _header: order.append((name, pos.txid)))
    with two_writers(primary) as (a, b), serving(primary) as info, following(replica, info) as node:
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        for value in range(2, 6):
            a.commit({1: value, value: value})
            b.commit({1: value})
            eventually(lambda: has_pos(replica, b), "the other database to follow")
        assert not has_pos(replica, a)
        assert replica.status.lag_ms() > 0, "not level as long as one database waits"
        reader.gone.set()
        eventually(lambda: replica.positions() == primary.positions(), "both to be level")
        assert [txid for name, txid in order if name == "a.db"] == [1, 2, 3, 4, 5]
        assert database_bytes(replica, "a.db") == database_bytes(primary, "a.db")
        a.commit({1: 9})
        eventually(lambda: has_pos(replica, a), "and to go on")
        assert node.fatal == []
    assert not [one for one in threading.enumerate() if one.name.startswith("held-up")]


def test_what_there_is_no_room_for_is_asked_for_again(
    *,
    primary: Store,
    replica: Store,
    reader: ReaderAt,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The memory that waiting transactions take has a bound."""
    caplog.set_level("INFO")
    monkeypatch.setattr(held_up, "QUEUE_BYTES", 1000)
    with two_writers(primary) as (a, b), serving(primary) as info, following(replica, info) as node:
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        for value in range(2, 12):
            a.commit({1: value})
        b.commit({1: 2})
        eventually(lambda: has_pos(replica, b), "the other database to follow")
        reader.gone.set()
        eventually(lambda: replica.positions() == primary.positions(), "both to be level")
        assert "is asked for again" in caplog.text
        assert node.fatal == []


def test_a_connection_that_ends_meanwhile_brings_nothing_twice(
    primary: Store, replica: Store, reader: ReaderAt, eventually: Eventually
) -> None:
    """The primary sends what waits again, for it was told the position; each is applied once."""
    order: list[int] = []
    replica.subscribe(lambda name, pos, _header: order.append(pos.txid) if name == "a.db" else None)
    reader.gone.set()
    with (
        two_writers(primary) as (a, b),
        serving(primary) as info,
        wire(info) as cable,
        following(replica, PrimaryInfo("p", f"http://127.0.0.1:{cable.port}")) as node,
    ):
        eventually(lambda: replica.positions() == primary.positions(), "both to be level")
        reader.gone.clear()
        a.commit({1: 2})
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        for value in (3, 4):
            a.commit({1: value})
            b.commit({1: value})
            eventually(lambda: has_pos(replica, b), "the other database to follow")
            cable.cut()
        a.commit({1: 5})
        b.commit({1: 5})
        eventually(lambda: has_pos(replica, b), "the other database to follow after the cuts")
        reader.gone.set()
        eventually(lambda: replica.positions() == primary.positions(), "both to be level")
        assert order == [1, 2, 3, 4, 5]
        assert node.fatal == []


@pytest.mark.parametrize("error", [ApplierError("the applier ended"), OSError(28, "No space left on device")])
def test_what_fails_after_the_wait_is_asked_for_again(
    primary: Store,
    replica: Store,
    reader: ReaderAt,
    eventually: Eventually,
    error: Exception,
) -> None:
    reader.error = error
    with two_writers(primary) as (a, _), serving(primary) as info, following(replica, info) as node:
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        a.commit({1: 2})
        reader.gone.set()
        eventually(lambda: replica.positions() == primary.positions(), "both to be level")
        assert node.fatal == []


def test_a_bug_of_our_own_stops_the_replica(
    primary: Store, replica: Store, reader: ReaderAt, eventually: Eventually
) -> None:
    reader.error = ZeroDivisionError()
    with two_writers(primary), serving(primary) as info, following(replica, info) as node:
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        reader.gone.set()
        eventually(lambda: bool(node.fatal), "the end")
        assert isinstance(node.fatal[0], ZeroDivisionError)


def test_stopping_says_that_a_database_still_waits(
    primary: Store, replica: Store, reader: ReaderAt, eventually: Eventually
) -> None:
    """The node then stops the applier, which ends the wait."""
    with two_writers(primary), serving(primary) as info:
        node = Replica(replica, lambda: info, on_fatal=lambda _: None)
        node.start()
        eventually(lambda: reader.waiting == 1, "the apply to wait")
        assert not node.stop(timeout=0.05)
        reader.gone.set()
        assert node.stop()
