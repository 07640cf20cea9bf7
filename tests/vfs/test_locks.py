"""The table of SQLite's locks: who may have what beside whom, and how the applier gets its turn."""

import random
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from pylitefs.vfs.locks import FileLocks, Level, LockTable
from pylitefs.vfs.outside import Outside

NONE, SHARED, RESERVED, PENDING, EXCLUSIVE = Level


class Clock(Outside):
    """Time passes by waiting alone; `then` is what happens meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        self.now += seconds
        self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def locks(clock: Clock) -> FileLocks:
    return FileLocks(clock)


def test_connections_get_what_sqlite_s_own_vfs_gives_them(tmp_path: Path) -> None:
    """Three holders at random, asked as SQLite asks: the same answers as of its unix VFS on a disk."""
    flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    on_disk = [apsw.VFSFile("unix", str(tmp_path / "a.db"), [flags, 0]) for _ in range(3)]
    locks = FileLocks(Outside())

    def asked(file: apsw.VFSFile, level: Level) -> bool:
        try:
            file.xLock(level)
        except apsw.BusyError:
            return False
        return True

    chance = random.Random(17)
    for step in range(3000):
        who = chance.randrange(3)
        have = locks.level(who)
        if have and chance.random() < 0.3:
            level = chance.choice([NONE, SHARED])
            on_disk[who].xUnlock(level)
            locks.unlock(who, level)
        else:
            level = {NONE: SHARED, SHARED: chance.choice([RESERVED, EXCLUSIVE])}.get(have, EXCLUSIVE)
            assert locks.lock(who, level) == asked(on_disk[who], level), (step, who, have, level)
        assert locks.is_reserved == on_disk[0].xCheckReservedLock(), (step, who, have, level)
    for file in on_disk:
        file.xUnlock(NONE)
        file.xClose()


def test_the_applier_waits_for_readers_and_is_then_alone(locks: FileLocks, clock: Clock) -> None:
    locks.lock("reader", SHARED)
    clock.then = lambda: locks.unlock("reader")
    assert locks.wait_for("applier", EXCLUSIVE, 1.0)
    clock.then = lambda: None
    assert not locks.lock("reader", SHARED)
    before = locks.generation
    locks.end_apply("applier")
    assert locks.lock("reader", SHARED)
    assert locks.generation == before + 1, "connections are told to read anew"


def test_the_gate_is_shut_for_a_moment_and_open_for_longer(locks: FileLocks, clock: Clock) -> None:
    """So readers that overlap without end let the applier in, and it does not turn them away for good."""
    locks.lock("one that stays", SHARED)
    turned_away: list[float] = []
    came_in: list[float] = []

    def come() -> None:
        (came_in if locks.lock("another", SHARED) else turned_away).append(clock.now)
        locks.unlock("another")

    clock.then = come
    assert not locks.wait_for("applier", EXCLUSIVE, 2.0)
    assert turned_away and len(came_in) > 2 * len(turned_away)
    assert locks.level("applier") is NONE
    assert locks.lock("another", SHARED), "who gave up leaves no gate shut"


def test_a_writer_that_waits_for_readers_is_not_met_by_the_gate(locks: FileLocks, clock: Clock) -> None:
    """RESERVED and PENDING at once would be two who wait for each other."""
    locks.lock("writer", SHARED)
    locks.lock("writer", RESERVED)

    def write() -> None:
        assert locks.lock("writer", EXCLUSIVE)
        locks.unlock("writer")

    clock.then = write
    assert locks.wait_for("applier", EXCLUSIVE, 1.0)


def test_a_reader_that_meets_the_applier_at_work_waits_for_it(locks: FileLocks, clock: Clock) -> None:
    locks.wait_for("applier", EXCLUSIVE, 0)
    clock.then = lambda: locks.end_apply("applier")
    assert locks.lock("reader", SHARED)


def test_a_halt_lock_stays_while_more_is_wanted_and_given_back(locks: FileLocks) -> None:
    assert locks.wait_for("halt", RESERVED, 0)
    locks.lock("reader", SHARED)
    assert not locks.wait_for("halt", EXCLUSIVE, 0)
    assert locks.level("halt") is RESERVED
    locks.unlock("reader")
    assert locks.wait_for("halt", EXCLUSIVE, 0)
    locks.end_apply("halt", RESERVED)
    assert locks.level("halt") is RESERVED


def test_what_would_change_a_copy_waits_for_its_end(locks: FileLocks, clock: Clock) -> None:
    locks.pin()
    clock.then = locks.unpin
    locks.wait_unpinned()
    assert clock.now


def test_another_file_under_the_name_has_other_locks(clock: Clock) -> None:
    table = LockTable(clock)
    table.of("a.db").lock("reader", SHARED)
    assert table.of("a.db").level("reader") is SHARED
    table.removed("a.db")
    assert table.of("a.db").level("reader") is NONE
    before = table.of("a.db").generation
    table.forget_pages()
    assert table.of("a.db").generation > before
