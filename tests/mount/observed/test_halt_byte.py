"""The HALT byte: what each `fcntl` on `DB-lock` means. (With real clients: tests/cluster/test_halt.py.)"""

import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.mount.libfuse import FileLock
from pylitefs.mount.lock_file import LockHandle
from pylitefs.mount.observed.halt_byte import HaltByte
from pylitefs.mount.special_files import SpecialFile, SpecialKind, SpecialName
from pylitefs.store.halted import HeldHalt
from pylitefs.store.store import Store
from tests.mount.test_lock_file import Holder
from tests.replication.stores import Writer, opened

OWNER, OTHER = 1, 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "node") as made:
        Writer(made, "a.db").commit({1: 1})
        yield made


@pytest.fixture
def holder() -> Holder:
    return Holder(HeldHalt.__new__(HeldHalt))


@pytest.fixture
def handle(store: Store, holder: Holder) -> LockHandle:
    file = SpecialFile(SpecialName(SpecialKind.LOCK, "a.db"), store.status, store.get("a.db"))
    return LockHandle(file, holder)  # type: ignore[arg-type]


@pytest.fixture
def byte(store: Store) -> HaltByte:
    return HaltByte(store, lambda: False)


def asked(kind: int, start: int = 72, length: int = 1) -> FileLock:
    return FileLock(l_type=kind, l_start=start, l_len=length)


def test_who_locked_it_gives_it_back_by_unlock_or_close(
    byte: HaltByte, handle: LockHandle, holder: Holder
) -> None:
    """A close by another process, which inherited the file, does not."""
    for end in ("unlock", "close"):
        request = asked(fcntl.F_WRLCK)
        byte.lock(handle, OWNER, fcntl.F_SETLKW, request)
        assert handle.held is not None and request.l_type == fcntl.F_UNLCK
        byte.flush(handle, OTHER)
        assert handle.held is not None
        if end == "unlock":
            byte.lock(handle, OWNER, fcntl.F_SETLK, asked(fcntl.F_UNLCK))
        else:
            byte.flush(handle, OWNER)
        assert handle.held is None
    assert len(holder.given_back) == 2
    byte.lock(handle, OWNER, fcntl.F_SETLK, asked(fcntl.F_UNLCK, 0, 0))
    byte.forget(handle)


@pytest.mark.parametrize(
    ("command", "request_", "code"),
    [
        (fcntl.F_SETLK, asked(fcntl.F_WRLCK), errno.ENOSYS),
        (fcntl.F_SETLKW, asked(fcntl.F_RDLCK), errno.ENOSYS),
        (fcntl.F_SETLKW, asked(fcntl.F_WRLCK, 71), errno.EINVAL),
        (fcntl.F_SETLKW, asked(fcntl.F_WRLCK, 72, 2), errno.EINVAL),
        (fcntl.F_SETLKW, asked(fcntl.F_WRLCK, 0, 0), errno.EINVAL),
    ],
)
def test_the_errors_are_litefs_s(
    byte: HaltByte, handle: LockHandle, command: int, request_: FileLock, code: int
) -> None:
    with pytest.raises(OSError) as caught:
        byte.lock(handle, OWNER, command, request_)
    assert caught.value.errno == code and handle.held is None


def test_who_has_it_may_not_have_it_again_and_who_asks_is_told(
    byte: HaltByte, handle: LockHandle, store: Store
) -> None:
    class Live:
        is_live = True

    question = asked(fcntl.F_WRLCK)
    byte.lock(handle, OWNER, fcntl.F_GETLK, question)
    assert question.l_type == fcntl.F_UNLCK
    byte.lock(handle, OWNER, fcntl.F_SETLKW, asked(fcntl.F_WRLCK))
    with pytest.raises(OSError) as caught:
        byte.lock(handle, OWNER, fcntl.F_SETLKW, asked(fcntl.F_WRLCK))
    assert caught.value.errno == errno.ENOLCK
    store.require("a.db").state.halt = Live()  # type: ignore[assignment]
    question = asked(fcntl.F_WRLCK)
    byte.lock(handle, OWNER, fcntl.F_GETLK, question)
    assert (question.l_type, question.l_pid) == (fcntl.F_WRLCK, -1)
