"""How every lock of a database is had: all or nothing, past readers that overlap, and nobody starved.

Readers are open file descriptions that lock as SQLite does. The clock is the test's: a wait is a step of it.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.errors import BusyError
from pylitefs.mount.applier import exclusive
from pylitefs.mount.applier.exclusive import GATED_S, LONGEST_STAYER_GATE_S, VAIN_GATES, Exclusive
from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.locks import (
    CKPT,
    DATABASE_LOCKS,
    DMS,
    PENDING,
    SHARED,
    WAL_LOCKS,
    WAL_READERS,
    WRITE,
    LockFile,
    Range,
)
from pylitefs.sqlite.locks import WAL_READ_LOCK0

from .test_files import make

MODES = ["delete", "wal"]
READ1 = Range(WAL_READ_LOCK0 + 1, 1)
Open = Callable[[], DatabaseFiles]


class Clock:
    """Time goes on only while the applier waits, and then `each` sees what there is to be seen."""

    def __init__(self) -> None:
        self.now = 100.0
        self.each: Callable[[], None] = lambda: None

    def pause(self, seconds: float) -> None:
        self.now += seconds or 0.00002
        self.each()
        if self.now > 160:
            raise BusyError("a minute is over")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(exclusive, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


@pytest.fixture
def view(tmp_path: Path) -> Iterator[Open]:
    """Makes holders of the one database, which must be there by then."""
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    views: list[DatabaseFiles] = []

    def open_one() -> DatabaseFiles:
        files = DatabaseFiles(root, "a.db")
        assert files.open()
        views.append(files)
        return files

    yield open_one
    for files in views:
        files.close()
    os.close(root)


class Client:
    """What a client of SQLite's does with the locks; it never waits."""

    def __init__(self, files: DatabaseFiles) -> None:
        self.files = files
        if files.uses_wal():
            assert files.join_wal()

    def begin(self) -> bool:
        """Begin to read; False is SQLITE_BUSY."""
        if not self.files.joined:
            return self.files.db.try_shared()
        if not self.files.index_is_valid():
            return False  # It wants the WRITE lock, which the applier has.
        assert self.files.shm.try_lock(READ1, exclusive=False), (
            "a reader here waits ten seconds: see the module"
        )
        return True

    def end(self) -> None:
        if self.files.joined:
            self.files.shm.unlock(READ1)
        else:
            self.files.db.unlock(SHARED)


def free(files: DatabaseFiles) -> bool:
    """Whether somebody else could have every lock."""
    if files.uses_wal():
        assert files.join_wal()
    file, what = (files.shm, WAL_LOCKS) if files.joined else (files.db, DATABASE_LOCKS)
    if not file.try_lock(what, exclusive=True):
        return False
    file.unlock(what)
    return True


def never(seconds: float) -> None:
    raise BusyError("it is not free")


@pytest.mark.parametrize("mode", MODES)
def test_all_of_it_is_had_at_once_and_given_back(view: Open, tmp_path: Path, mode: str) -> None:
    make(tmp_path, mode)
    files, other = view(), view()
    with Exclusive(files, replica=False) as locks:
        locks.acquire(never)
        assert locks.in_wal == (mode == "wal")
        file = other.shm if mode == "wal" and other.join_wal() else other.db
        for byte in range(WRITE.start, WRITE.start + 8) if mode == "wal" else [PENDING.start, SHARED.start]:
            assert not file.try_lock(Range(byte, 1), exclusive=False), byte
        if mode == "wal":
            assert locks.index == files.index_prefix() != b""
    assert free(other) and not files.joined and not locks.in_wal


def test_a_replica_stays_a_client_of_the_wal_and_others_do_not(view: Open, tmp_path: Path) -> None:
    """So that no client is the last, who removes the WAL, or the first, who makes its index."""
    make(tmp_path, "wal")
    files, other = view(), view()
    for replica in (True, False):
        with Exclusive(files, replica=replica) as locks:
            locks.acquire(never)
        assert files.joined == replica
        other.open_shm()
        assert other.shm.try_lock(DMS, exclusive=True) == (not replica)
        other.shm.unlock(DMS)


@pytest.mark.parametrize("mode", MODES)
def test_who_gives_up_has_locked_and_changed_nothing(
    view: Open, tmp_path: Path, clock: Clock, mode: str
) -> None:
    """Whenever that is: with the gate open, or shut."""
    make(tmp_path, mode)
    reader, files, other = Client(view()), view(), view()
    assert reader.begin()
    before = reader.files.index_prefix() if mode == "wal" else b""

    def give_up() -> None:
        if clock.now >= end:
            raise BusyError("enough")

    clock.each = give_up
    for after in (0.0, 0.002, 0.012, 0.025, 0.080, 0.150, 1.0):
        end = clock.now + after
        with pytest.raises(BusyError), Exclusive(files, replica=False) as locks:
            locks.acquire(clock.pause)
        reader.end()
        assert free(other) and not files.joined, after
        assert reader.begin()
        if mode == "wal":
            assert other.index_prefix() == before


@pytest.mark.parametrize("mode", MODES)
def test_readers_that_overlap_without_end_do_not_keep_it_out(
    view: Open, tmp_path: Path, clock: Clock, mode: str
) -> None:
    """Each reads for 20 ms, and the next begins before it ends: the gate is what lets the applier in."""
    make(tmp_path, mode)
    clients, files = [Client(view()) for _ in range(2)], view()
    reading: dict[int, float] = {0: clock.now + 0.020}
    assert clients[0].begin()
    turned_away = 0

    def read_on() -> None:
        nonlocal turned_away
        for one, end in list(reading.items()):
            other = 1 - one
            if other not in reading and clock.now >= end - 0.010:
                if clients[other].begin():
                    reading[other] = clock.now + 0.020
                else:
                    turned_away += 1
            if clock.now >= end:
                clients[one].end()
                del reading[one]

    clock.each = read_on
    with Exclusive(files, replica=False) as locks:
        locks.acquire(clock.pause)
        assert turned_away and clock.now < 100.1
        assert files.usual_gate >= 0.01, "the next transaction begins with the length that this one needed"
        assert not reading


@pytest.mark.parametrize("mode", MODES)
def test_one_reader_that_stays_costs_the_others_little(
    view: Open, tmp_path: Path, clock: Clock, mode: str
) -> None:
    """No gate helps against it, so it is open nearly all the time; and once it is gone, the applier is in."""
    make(tmp_path, mode)
    stayer, visitor, files = Client(view()), Client(view()), view()
    assert stayer.begin()
    shut, last, gone = 0.0, clock.now, 0.0

    def look() -> None:
        nonlocal shut, last, gone
        if visitor.begin():
            visitor.end()
        else:
            shut += clock.now - last
        last = clock.now
        if clock.now > 110 and not gone:
            stayer.end()
            gone = clock.now

    clock.each = look
    with Exclusive(files, replica=False) as locks:
        locks.acquire(clock.pause)
        assert clock.now - gone < 0.01
    assert 0 < shut < 0.05 * 10, "the gate was shut for more than it may"


def test_the_gate_is_shut_for_longer_the_longer_it_waited(view: Open, tmp_path: Path) -> None:
    """For an eighth of it, up to a second; and as long as the newest transaction needed."""
    make(tmp_path)
    locks = Exclusive(view(), replica=False)
    assert [locks._gate_length(waited) for waited in (0.0, 0.2, 4.0, 60.0)] == [GATED_S, GATED_S, 0.5, 1.0]
    locks.files.usual_gate = 0.4
    assert [locks._gate_length(waited) for waited in (0.0, 0.7, 8.0)] == [0.4, 0.4, 1.0]


def test_who_outlasts_two_gates_without_a_break_stays() -> None:
    holder: int | None = 7
    stayer = exclusive._Stayer(lambda: holder)
    gates = []
    for _ in range(VAIN_GATES + 5):
        stayer.outlasted_a_gate()
        gates.append(stayer.next_gate)
    assert gates[:4] == [0.0, 2 * GATED_S, 4 * GATED_S, 8 * GATED_S] and gates[-1] == LONGEST_STAYER_GATE_S
    stayer.look()
    assert not stayer.has_left
    holder = 8
    stayer.look()
    assert stayer.has_left and stayer.next_gate == 0.0
    stayer.outlasted_a_gate()
    assert not stayer.has_left
    holder = None
    stayer.look()
    assert not stayer.has_left, "one gate makes nobody one that stays"


# The gate of a WAL: its index header.


def held(view: Open, tmp_path: Path) -> tuple[Exclusive, DatabaseFiles]:
    make(tmp_path, "wal")
    files, other = view(), view()
    assert other.join_wal()
    locks = Exclusive(files, replica=False)
    locks.acquire(never)
    return locks, other


def test_a_gate_that_nothing_came_of_leaves_the_index_as_it_was(view: Open, tmp_path: Path) -> None:
    locks, other = held(view, tmp_path)
    before = other.index_prefix()
    locks.shut_gate()
    locks.shut_gate()
    assert other.index_prefix() == bytes(96) + before[96:]
    locks.release()
    assert other.index_prefix() == before and other.index_is_valid()


def test_the_header_is_restored_before_the_locks_go(
    view: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a reader would meet zeros without anybody who holds WRITE, and make the index anew for nothing."""
    make(tmp_path, "wal")
    files, other = view(), view()
    assert other.join_wal()
    seen = []
    unlock = LockFile.unlock

    def look(file: LockFile, what: Range) -> None:
        if what == WAL_LOCKS:
            seen.append(other.index_is_valid())
        unlock(file, what)

    monkeypatch.setattr(LockFile, "unlock", look)
    with Exclusive(files, replica=False) as locks:
        locks.acquire(never)
        locks.shut_gate()
        assert not other.index_is_valid()
    assert seen == [True]


def test_a_change_that_came_to_no_end_leaves_zeros(view: Open, tmp_path: Path) -> None:
    """The next reader makes the index anew."""
    locks, other = held(view, tmp_path)
    locks.begin_change()
    locks.release()
    assert other.index_prefix()[:96] == bytes(96) and not other.index_is_valid()
    assert other.shm.try_lock(WAL_READERS, exclusive=True) and other.shm.try_lock(CKPT, exclusive=True)


def test_a_change_that_is_published_opens_the_gate(view: Open, tmp_path: Path) -> None:
    locks, other = held(view, tmp_path)
    before = other.index_prefix()
    locks.begin_change()
    locks.publish(4096, 9)
    published = other.index_prefix()
    locks.release()
    assert other.index_is_valid() and other.index_prefix() == published != before


def test_files_that_were_closed_leave_nothing_to_release(view: Open, tmp_path: Path) -> None:
    locks, other = held(view, tmp_path)
    locks.begin_change()
    locks.files.close()
    locks.forget()
    locks.release()
    assert other.shm.try_lock(WAL_LOCKS, exclusive=True)


def test_a_mount_that_is_gone_ends_with_every_descriptor_closed(
    view: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their end releases what the mount could not be asked to release."""
    locks, other = held(view, tmp_path)
    locks.shut_gate()

    def gone(headers: bytes) -> None:
        raise OSError(107, "Transport endpoint is not connected")

    monkeypatch.setattr(locks.files, "write_index_headers", gone)
    with pytest.raises(OSError, match="not connected"):
        locks.release()
    assert other.shm.try_lock(WAL_LOCKS, exclusive=True)
