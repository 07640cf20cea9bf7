"""The node's own descriptors: those last used stay, and who works on a database keeps what it has open."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.store import descriptors
from pylitefs.store.descriptors import Descriptors
from pylitefs.store.files import open_data as open_data_file


class Owner:
    """A database with one descriptor at most."""

    def __init__(self, kept: Descriptors, path: Path) -> None:
        self.kept = kept
        self.path = path
        self.lock = threading.RLock()
        self.used = False
        self.fd: int | None = None
        path.touch()

    def use(self) -> None:
        with self.lock:
            if self.fd is None:
                self.fd = self.kept.open(self, self.path)
            self.used = True

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        self.kept.forget(self)


@pytest.fixture
def owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Owner]]:
    """Five databases, of which three may keep a descriptor."""
    monkeypatch.setattr(descriptors, "most_databases", lambda: 3)
    kept = Descriptors()
    made = [Owner(kept, tmp_path / f"{number}.db") for number in range(5)]
    yield made
    for one in made:
        one.close()


def open_ones(owners: list[Owner]) -> list[int]:
    return [number for number, one in enumerate(owners) if one.fd is not None]


def test_no_more_than_the_most_keep_theirs(owners: list[Owner]) -> None:
    for one in owners:
        one.use()
        assert len(open_ones(owners)) <= 3
    assert 4 in open_ones(owners), "never the user's own"


def test_who_was_used_since_has_a_second_chance(owners: list[Owner]) -> None:
    for one in owners[:3]:
        one.use()
        one.used = False
    owners[0].use()
    owners[3].use()
    assert open_ones(owners) == [0, 2, 3]


def test_a_database_at_work_keeps_what_it_has_and_nobody_waits_for_it(owners: list[Owner]) -> None:
    for one in owners[:3]:
        one.use()
        one.used = False
    held, done = threading.Event(), threading.Event()

    def work() -> None:
        with owners[0].lock:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    held.wait(30)
    owners[3].use()
    assert open_ones(owners) == [0, 2, 3]
    done.set()
    thread.join()


def test_where_the_system_is_short_all_others_give_theirs_up(
    owners: list[Owner], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in owners[:3]:
        one.use()
    refusals = [OSError(errno.EMFILE, "short")]
    real = open_data_file

    def open_data(path: Path) -> int:
        if refusals:
            raise refusals.pop()
        return real(path)

    monkeypatch.setattr(descriptors, "open_data", open_data)
    owners[4].use()
    assert open_ones(owners) == [4]


def test_another_error_is_the_caller_s_and_closes_nothing(owners: list[Owner]) -> None:
    owners[0].use()
    owners[1].path.unlink()
    with pytest.raises(FileNotFoundError):
        owners[1].use()
    assert open_ones(owners) == [0]
