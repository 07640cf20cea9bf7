"""`DB-lock` in the mount: who opens it to write has the lock, until it is closed. (On real nodes:
tests/cluster/test_halt.py.)"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pylitefs.errors import HaltError
from pylitefs.mount.handles import SpecialHandle
from pylitefs.mount.lock_file import LockHandle, open_special
from pylitefs.mount.special_files import SpecialFile, SpecialKind, SpecialName
from pylitefs.store.halted import HeldHalt
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened


class Holder:
    """Gives `what`, or raises it."""

    def __init__(self, what: object) -> None:
        self.what = what
        self.given_back: list[object] = []

    def take(self, database: object, interrupted: Callable[[], bool]) -> object:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what

    def give_back(self, held: object) -> None:
        self.given_back.append(held)


class Mounted:
    opening_halts = True
    interrupted = staticmethod(lambda: False)

    def __init__(self, store: Store, holder: Holder) -> None:
        self.store = store
        self.halts = holder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node") as made:
        Writer(made, "a.db").commit({1: 1})
        yield made


def opening(
    store: Store, what: object, *, kind: SpecialKind = SpecialKind.LOCK, writing: bool = True
) -> SpecialHandle:
    file = SpecialFile(SpecialName(kind, "a.db"), store.status, store.get("a.db"))
    return open_special(file, Mounted(store, Holder(what)), writing=writing)  # type: ignore[arg-type]


def test_the_lock_is_had_from_the_open_to_the_close_or_a_sync(store: Store) -> None:
    """Once each: what was given back by `fsync` is not given back again."""
    held = HeldHalt.__new__(HeldHalt)
    handle = opening(store, held)
    assert isinstance(handle, LockHandle) and handle.held is held
    handle.sync(False)
    assert handle.held is None
    handle.release()
    holder = handle._holder
    assert isinstance(holder, Holder) and holder.given_back == [held]
    with pytest.raises(OSError) as error:
        handle.write(memoryview(b"x"), 0)
    assert error.value.errno == errno.EIO


def test_who_only_reads_it_and_who_is_the_primary_takes_nothing(store: Store) -> None:
    refusal = HaltError("asked for")
    assert isinstance(opening(store, refusal, writing=False), LockHandle)
    assert not isinstance(opening(store, refusal, kind=SpecialKind.POS), LockHandle)
    store.status.is_primary = True
    handle = opening(store, refusal)
    assert isinstance(handle, LockHandle) and handle.held is None
    handle.release()


def test_one_that_cannot_be_had_is_eio_and_a_line_in_the_log(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """But a signal is a signal."""
    with pytest.raises(OSError) as error:
        opening(store, HaltError("the primary refuses"))
    assert error.value.errno == errno.EIO
    assert "refused on a.db: the HALT lock: the primary refuses; try again" in caplog.text
    with pytest.raises(InterruptedError):
        opening(store, InterruptedError(errno.EINTR, "interrupted"))
