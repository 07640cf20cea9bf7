"""The owners' table over a plain file: the kernel decides, and the table knows who."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylitefs.mount.observed.lock_table import (
    EVERYTHING,
    LAST_BYTE,
    Caller,
    Held,
    LockTable,
    Owner,
    Span,
    names_of,
)
from pylitefs.sqlite.locks import PENDING_BYTE, RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE, WAL_DMS_LOCK
from tests.open_files import open_below

SHARED = Span.of(SHARED_FIRST, SHARED_SIZE)
RESERVED = Span.of(RESERVED_BYTE, 1)


class Files:
    """Handles of one data file, and callers that ask through them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.touch()
        self.table = LockTable()
        self.fds: list[int] = []

    def caller(
        self, owner: int, *, fh: int | None = None, applier: bool = False, file: str = "database"
    ) -> Caller:
        """`owner` is also the process, and the handle unless that is told."""
        self.fds.append(os.open(self.path, os.O_RDWR))
        return Caller(owner, owner, applier, fh or owner, self.fds[-1], "a.db", file)

    def close(self) -> None:
        self.table.close()
        for fd in self.fds:
            os.close(fd)


@contextmanager
def opened(path: Path) -> Iterator[Files]:
    files = Files(path)
    try:
        yield files
    finally:
        files.close()


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    with opened(tmp_path / "a.db") as found:
        yield found


def pids(owners: tuple[Owner, ...] | None) -> list[int] | None:
    return None if owners is None else sorted(owner.caller.pid for owner in owners)


def test_a_refusal_names_those_who_are_in_the_way(files: Files) -> None:
    one, two, three = (files.caller(number) for number in (1, 2, 3))
    assert files.table.try_lock(one, SHARED, False) is None
    assert files.table.try_lock(two, SHARED, False) is None
    assert pids(files.table.try_lock(three, SHARED, True)) == [1, 2]
    assert pids(files.table.try_lock(two, SHARED, True)) == [1]
    assert files.table.unlock(one, SHARED) == [Held(SHARED, False)]
    assert files.table.try_lock(two, SHARED, True) is None
    assert pids(files.table.try_lock(one, SHARED, False)) == [2]


def test_a_refused_conversion_leaves_the_lock_held_before(files: Files) -> None:
    one, two = files.caller(1), files.caller(2)
    files.table.try_lock(one, SHARED, False)
    files.table.try_lock(two, SHARED, False)
    assert files.table.try_lock(one, SHARED, True) is not None
    assert files.table.holders("a.db") == [(one, [Held(SHARED, False)]), (two, [Held(SHARED, False)])]
    assert files.table.try_lock(two, SHARED, True) is not None


def test_an_unlocked_part_leaves_the_rest(files: Files) -> None:
    one = files.caller(1)
    files.table.try_lock(one, Span(10, 19), True)
    assert files.table.unlock(one, Span(13, 15)) == [Held(Span(13, 15), True)]
    assert files.table.unlock(one, Span(13, 15)) == []
    assert files.table.try_lock(one, Span(12, 13), False) is None
    rest = [Held(Span(10, 11), True), Held(Span(12, 13), False), Held(Span(16, 19), True)]
    assert files.table.holders("a.db") == [(one, rest)]
    assert files.table.unlock(one, EVERYTHING) == rest
    assert files.table.holders("a.db") == []


def test_an_owner_s_locks_are_the_same_through_each_of_its_handles(files: Files) -> None:
    """A process with two descriptors of a file is one owner."""
    first, second = files.caller(1, fh=7), files.caller(1, fh=8)
    files.table.try_lock(first, RESERVED, True)
    assert files.table.try_lock(second, RESERVED, True) is None
    assert files.table.forget_handle(8) == []
    assert pids(files.table.try_lock(files.caller(2), RESERVED, True)) == [1]
    assert [held for _, held in files.table.forget_handle(7)] == [[Held(RESERVED, True)]]
    assert files.table.try_lock(files.caller(2), RESERVED, True) is None


def test_the_applier_s_descriptions_are_told_apart_by_handle(files: Files) -> None:
    """The kernel names an open file description by its address, which a new one may have."""
    old, new = files.caller(1, fh=7, applier=True), files.caller(1, fh=8, applier=True)
    files.table.try_lock(old, RESERVED, True)
    assert files.table.try_lock(new, RESERVED, True) is not None
    files.table.forget_handle(7)
    assert files.table.try_lock(new, RESERVED, True) is None


def test_an_owner_s_number_comes_again_with_another_process(files: Files) -> None:
    before = files.caller(1, fh=7)
    files.table.try_lock(before, RESERVED, True)
    files.table.unlock(before, EVERYTHING)
    after = before._replace(pid=4711)
    files.table.try_lock(after, RESERVED, True)
    assert [caller.pid for caller, _ in files.table.holders("a.db")] == [4711]


def test_a_conflict_is_told_with_its_process_and_own_locks_are_none(files: Files) -> None:
    one, two, stranger = files.caller(1), files.caller(2), files.caller(3)
    files.table.try_lock(one, RESERVED, True)
    assert files.table.find_conflict(one, RESERVED, True) is None
    assert files.table.find_conflict(two, RESERVED, False) == (Held(RESERVED, True), 1)
    files.table.try_lock(two, SHARED, False)
    assert files.table.find_conflict(two, EVERYTHING, False) == (Held(RESERVED, True), 1)
    assert files.table.find_conflict(stranger, SHARED, False) is None
    assert files.table.find_conflict(stranger, SHARED, True) == (Held(SHARED, False), 2)


def test_who_has_the_data_file_open_itself_is_in_the_way_and_unknown(files: Files) -> None:
    """As with SQLite on the data file, which nobody should do."""
    with opened(files.path) as others:
        others.table.try_lock(others.caller(9), RESERVED, True)
        assert files.table.try_lock(files.caller(1), RESERVED, True) == ()
        assert files.table.find_conflict(files.caller(1), RESERVED, True) == (Held(RESERVED, True), 0)


def test_write_locks_of_a_process(files: Files) -> None:
    one = files.caller(1)
    files.table.try_lock(one, Span(PENDING_BYTE, SHARED.last), True)
    files.table.try_lock(files.caller(2), Span(5, 5), False)
    assert files.table.is_write_locked(1, [(SHARED_FIRST, SHARED_SIZE)])
    assert files.table.is_write_locked(1, [(1, 1), (RESERVED_BYTE, 1)])
    assert not files.table.is_write_locked(1, [(1, 1)])
    assert not files.table.is_write_locked(2, [(5, 1)]), "a read lock"
    assert not files.table.is_write_locked(3, [(RESERVED_BYTE, 1)])


def test_description_for_people(files: Files) -> None:
    """The clients that read or write; the applier's own, and what every WAL client holds, say nothing."""
    assert files.table.describe("a.db") == "this node itself"
    me = files.caller(1)._replace(pid=os.getpid())
    files.table.try_lock(files.caller(2, applier=True), SHARED, False)
    assert files.table.describe("a.db") == "this node itself"
    files.table.try_lock(me, SHARED, False)
    with open("/proc/self/comm", encoding="utf-8") as file:
        who = f"{file.read().strip()} (process {os.getpid()})"
    assert files.table.describe("a.db") == f"{who} holds SHARED"
    with opened(files.path.with_name("a.db-shm")) as index:
        shm = index.caller(1, fh=9, file="shm")._replace(pid=os.getpid())
        files.table.try_lock(shm, Span(WAL_DMS_LOCK, WAL_DMS_LOCK), False)
        assert files.table.describe("a.db") == f"{who} holds SHARED"
        files.table.try_lock(shm, Span(124, 124), False)
        assert files.table.describe("a.db") == f"{who} holds READ1"
        files.table.close()
    assert files.table.describe("a.db") == "this node itself"


def test_an_unlinked_file_can_still_be_locked(files: Files) -> None:
    one, two = files.caller(1), files.caller(2)
    files.path.unlink()
    assert files.table.try_lock(one, RESERVED, True) is None
    assert pids(files.table.try_lock(two, RESERVED, True)) == [1]


def test_names() -> None:
    assert names_of(Held(EVERYTHING, False))[-3:] == ["PENDING", "RESERVED", "SHARED"]
    assert names_of(Held(Span(PENDING_BYTE, SHARED.last), True)) == ["PENDING", "RESERVED", "EXCLUSIVE"]
    assert names_of(Held(Span(120, 122), True)) == ["WRITE", "CKPT", "RECOVER"]
    assert names_of(Held(Span(123, 128), False)) == ["READ0", "READ1", "READ2", "READ3", "READ4", "DMS"]
    assert names_of(Held(Span(72, 72), True)) == ["72"]
    assert names_of(Held(Span(5, 9), True)) == ["5-9"]
    assert (Span.of(3, 0), Span.of(3, 0).length, Span.of(3, 2).length) == (Span(3, LAST_BYTE), 0, 2)


def test_nothing_stays_open(files: Files) -> None:
    caller = files.caller(1)
    files.table.try_lock(caller, RESERVED, True)
    files.table.forget_handle(1)
    files.table.try_lock(caller, RESERVED, True)
    files.table.close()
    os.close(files.fds.pop())
    assert open_below(files.path.parent) == []


STEPS = st.tuples(st.integers(1, 3), st.sampled_from("rwu"), st.integers(0, 7), st.integers(0, 7))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, max_size=30))
def test_the_kernel_and_the_table_agree(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int, int]]
) -> None:
    """Whatever three owners do, the table notes what a byte by byte model of `fcntl` locks holds."""
    with opened(tmp_path_factory.mktemp("locks") / "a.db") as files:
        callers = {number: files.caller(number) for number in (1, 2, 3)}
        model: dict[tuple[int, int], bool] = {}
        for number, what, one_end, other_end in steps:
            span = Span(min(one_end, other_end), max(one_end, other_end))
            byte_range = range(span.first, span.last + 1)
            if what == "u":
                files.table.unlock(callers[number], span)
                for byte in byte_range:
                    model.pop((number, byte), None)
            else:
                write = what == "w"
                in_the_way = {
                    owner
                    for (owner, byte), held in model.items()
                    if owner != number and byte in byte_range and (held or write)
                }
                refused = files.table.try_lock(callers[number], span, write)
                assert pids(refused) == (sorted(in_the_way) or None)
                if refused is None:
                    model.update({(number, byte): write for byte in byte_range})
            noted = {
                (caller.pid, byte): held.write
                for caller, all_held in files.table.holders("a.db")
                for held in all_held
                for byte in range(held.span.first, held.span.last + 1)
            }
            assert noted == model


def test_many_threads_share_a_table(files: Files) -> None:
    """Each takes and gives back a lock that only one can have at a time."""
    inside: list[int] = []
    overlaps: list[int] = []

    def work(caller: Caller) -> None:
        got = 0
        while got < 200:
            if files.table.try_lock(caller, RESERVED, True) is None:
                inside.append(caller.owner)
                if len(inside) != 1:
                    overlaps.append(caller.owner)
                inside.remove(caller.owner)
                files.table.unlock(caller, RESERVED)
                got += 1

    threads = [threading.Thread(target=work, args=(files.caller(number),)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []
    assert files.table.holders("a.db") == []


def test_a_close_gives_back_what_was_locked_through_that_open_file(files: Files) -> None:
    """SQLite has let go of its mutex by then: what the process has through another is another thread's."""
    table = LockTable()
    first, second = files.caller(1, fh=1), files.caller(1, fh=2)
    other = files.caller(2, fh=3)
    assert table.try_lock(first, Span(0, 9), True) is None
    assert table.try_lock(second, Span(5, 9), True) is None
    released = table.unlock_through(1, 1)
    assert [held for _, held in released] == [[Held(Span(0, 4), True)]]
    assert table.try_lock(other, Span(0, 4), True) is None
    assert table.try_lock(other, Span(5, 9), True) is not None
    table.unlock_through(1, 2)
    assert table.try_lock(other, Span(5, 9), True) is None
    table.close()
