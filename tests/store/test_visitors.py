"""An open and an apply wait for each other: shortly, and neither for good."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pylitefs.store import visitors
from pylitefs.store.applying import DirectApplier
from pylitefs.store.names import FileKind
from pylitefs.store.visitors import FRESH_S, OPEN_WAITS_S, REST, Visitors
from tests.store.serving import Served
from tests.store.support import opened


class Clock:
    """A clock that the test sets; nobody waits by it, so a wait that is due shows as a call of `wait`."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waits(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the waits asked for, in seconds; each lets the clock go on by as much.

    Of this module alone: threads of other tests would never wait again, and the list never end.
    """
    asked: list[float] = []

    class Condition(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None, "no wait without an end"
            asked.append(round(timeout, 6))
            clock.now += timeout
            return False

    monkeypatch.setattr(visitors, "threading", SimpleNamespace(Condition=Condition, Lock=threading.Lock))
    return asked


def test_an_open_waits_for_an_apply_that_is_expected_and_then_goes_on(
    clock: Clock, waits: list[float]
) -> None:
    one = Visitors(clock)
    one.come()
    assert waits == []
    one.expect_apply()
    clock.now += OPEN_WAITS_S / 4
    one.come()
    assert sum(waits) == pytest.approx(OPEN_WAITS_S * 3 / 4)


def test_no_open_waits_for_an_apply_that_a_reader_holds_up(clock: Clock, waits: list[float]) -> None:
    one = Visitors(clock)
    one.expect_apply()
    clock.now += OPEN_WAITS_S
    one.come()
    assert waits == []


def test_an_apply_waits_for_who_came_before_it_until_they_have_left(clock: Clock, waits: list[float]) -> None:
    one = Visitors(clock)
    one.come()
    one.expect_apply()
    one.begin_apply()
    assert waits == [FRESH_S]
    one.end_apply()
    clock.now += 1
    one.come()
    one.left()
    one.begin_apply()
    assert waits == [FRESH_S]


def test_applies_that_follow_each_other_wait_for_a_fifth_of_the_time(
    clock: Clock, waits: list[float]
) -> None:
    one = Visitors(clock)
    began = clock.now
    for _ in range(1000):
        one.come()
        one.begin_apply()
        clock.now += FRESH_S / 20
        one.end_apply()
    share = sum(waits) / (clock.now - began)
    assert 1 / (1 + REST) - 0.02 < share < 1 / (1 + REST) + 0.02


class HeldApplier(DirectApplier):
    """Each of its applies waits for the test."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def apply(self, database: str, ltx_path: Path, **how: Any) -> None:
        self.begun.set()
        assert self.go_on.wait(60)
        super().apply(database, ltx_path, **how)


@contextmanager
def in_background(work: threading.Thread) -> Iterator[threading.Thread]:
    work.start()
    yield work
    work.join(60)
    assert not work.is_alive()


def test_a_client_that_opens_a_replicas_database_meanwhile_gets_in_after_the_apply(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the primary, and for the applier itself, an open never waits."""
    monkeypatch.setattr(visitors, "OPEN_WAITS_S", 60.0)
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    db.close()
    source = served.store.require("a.db")
    files = [source.ltx_path(*span).read_bytes() for span in source.ltx_files()]
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter(files[:1]))
        held = replica.applier = HeldApplier(replica.data_dir)
        database, order = replica.require("a.db"), list[str]()

        def receive() -> None:
            replica.receive_ltx("a.db", iter(files[1:]))
            order.append("applied")

        def visit() -> None:
            fd = database.open_file(FileKind.DATABASE, os.O_RDWR, applier=False)
            order.append("opened")
            database.release(FileKind.DATABASE, fd)

        with in_background(threading.Thread(target=receive)):
            assert held.begun.wait(60)
            fd = database.open_file(FileKind.DATABASE, os.O_RDWR, applier=True)
            database.release(FileKind.DATABASE, fd, applier=True)
            with in_background(threading.Thread(target=visit)) as visitor:
                visitor.join(0.2)
                assert order == []
                held.go_on.set()
        assert sorted(order) == ["applied", "opened"]
        assert database.pos.txid == 2


def test_no_open_waits_for_a_drop(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libfuse unlinks no name whose open is being served: the two would wait for each other. The open would
    then be answered, the file be gone, and SQLite say "disk I/O error"."""
    monkeypatch.setattr(visitors, "OPEN_WAITS_S", 60.0)
    db = served.connect("a.db")
    db.execute("CREATE TABLE t (x)")
    db.close()
    source = served.store.require("a.db")
    source.remove(FileKind.DATABASE)
    made, dropped = (source.ltx_path(*span).read_bytes() for span in source.ltx_files())
    with opened(tmp_path / "replica", primary=False) as replica:
        replica.receive_ltx("a.db", iter([made]))
        held = replica.applier = HeldApplier(replica.data_dir)
        database, opens = replica.require("a.db"), threading.Event()

        def visit() -> None:
            fd = database.open_file(FileKind.DATABASE, os.O_RDWR, applier=False)
            opens.set()
            database.release(FileKind.DATABASE, fd)

        with in_background(threading.Thread(target=replica.receive_ltx, args=("a.db", iter([dropped])))):
            assert held.begun.wait(60)
            with in_background(threading.Thread(target=visit)):
                came = opens.wait(10)
                held.go_on.set()
        assert came
        assert not database.exists
