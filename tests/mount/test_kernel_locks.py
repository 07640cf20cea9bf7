"""fcntl locks on the mount are the kernel's own: between processes, and without a callback."""

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.conftest import Client, Mounted, refusal

pytestmark = pytest.mark.fuse

RESERVED = 0x40000000 + 1

HOLDER = f"""
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 1, {RESERVED})
print("held")
sys.stdin.readline()
fcntl.lockf(fd, fcntl.LOCK_UN, 1, {RESERVED})
print("released")
sys.stdin.read()
"""

WAITER = f"""
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
print("waiting")
fcntl.lockf(fd, fcntl.LOCK_EX, 1, {RESERVED})
print("got it")
sys.stdin.read()
"""


@pytest.fixture
def path(bare: Mounted) -> Path:
    (bare.dir / "a.db").touch()
    return bare.dir / "a.db"


def test_a_conflict_is_seen_by_another_process(path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    with open(path, "r+b") as file:
        with refusal(errno.EAGAIN):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RESERVED)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RESERVED + 1)
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, RESERVED, 1, 0)
        answer = struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        assert (answer[0], answer[4]) == (fcntl.F_WRLCK, holder.process.pid)
        holder.tell()
        assert holder.line() == "released"
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RESERVED)


def test_a_waiting_lock_is_granted_when_the_holder_lets_go(path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiter = client(WAITER, path)
    assert waiter.line() == "waiting"
    holder.tell()
    assert holder.line() == "released"
    assert waiter.line() == "got it"


def test_a_killed_holders_lock_is_gone(path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiter = client(WAITER, path)
    assert waiter.line() == "waiting"
    holder.end()
    assert waiter.line() == "got it"


def test_locks_of_open_file_descriptions_work_as_the_applier_uses_them(path: Path) -> None:
    """Two descriptions of one process conflict, and closing another descriptor keeps the lock."""
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, RESERVED, 1, 0)
    f_ofd_setlk = 37
    with open(path, "r+b") as one, open(path, "r+b") as other:
        fcntl.fcntl(one, f_ofd_setlk, lock)
        with refusal(errno.EAGAIN):
            fcntl.fcntl(other, f_ofd_setlk, lock)
        os.close(os.open(path, os.O_RDWR))
        with refusal(errno.EAGAIN):
            fcntl.fcntl(other, f_ofd_setlk, lock)
