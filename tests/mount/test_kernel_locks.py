"""fcntl locks on the mount are as on a disk, whether the kernel keeps them or each one is a callback."""

import errno
import fcntl
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.mount.kernel_locks import (
    F_OFD_SETLK,
    FLOCK,
    KernelLock,
    all_locks,
    description_locks,
    parse,
    processes_with,
)
from tests.mount.conftest import Client, Mounted, refusal, until
from tests.slack import slack

pytestmark = pytest.mark.fuse

RESERVED = 0x40000000 + 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1: POSIX  ADVISORY  WRITE 4711 00:2d:3 10 20\n", KernelLock(True, True, 4711, "00:2d:3", 10, 20)),
        (
            "2: OFDLCK ADVISORY  READ -1 08:01:7 5 EOF",
            KernelLock(False, False, -1, "08:01:7", 5, (1 << 63) - 1),
        ),
        ("3: FLOCK  ADVISORY  WRITE 4711 00:2d:3 0 EOF", None),
        ("1: -> POSIX  ADVISORY  WRITE 4711 00:2d:3 10 20", None),
        ("", None),
    ],
)
def test_a_line_of_the_kernel_s_list_is_taken_apart(line: str, expected: KernelLock | None) -> None:
    """One that waits is none, and a lock of another kind is no lock of SQLite's."""
    assert parse(line) == expected


def test_a_description_s_lock_is_found_in_who_has_it(tmp_path: Path) -> None:
    """This process, and after a fork both; not an ordinary lock, and not when the file is closed."""
    with open(tmp_path / "file", "w+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 1, 7)
        before = description_locks(os.getpid())
        fcntl.fcntl(file, F_OFD_SETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 100, 10, 0))
        (lock,) = set(description_locks(os.getpid())) - set(before)
        assert (lock.write, lock.pid, lock.start, lock.end) == (True, -1, 100, 109)
        assert lock in all_locks() and lock.covers(100, 10) and not lock.covers(100, 11)
        assert os.getpid() in processes_with(lock)
    assert lock not in description_locks(os.getpid())
    assert not list(processes_with(lock))


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


OPEN_TWICE = f"""
import fcntl, os, sys
one, other = (os.open(sys.argv[1], os.O_RDWR) for _ in range(2))
fcntl.lockf(one, fcntl.LOCK_EX, 1, {RESERVED})
print("held")
sys.stdin.readline()
os.close(other)
print("closed")
sys.stdin.read()
"""

FORKS = f"""
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 1, {RESERVED})
pid = os.fork()
if pid == 0:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {RESERVED})
    except BlockingIOError:
        os._exit(7)
    os._exit(0)
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
sys.stdin.read()
"""

INTERRUPTED = f"""
import fcntl, os, signal, sys
def alarm(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, alarm)
fd = os.open(sys.argv[1], os.O_RDWR)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, {RESERVED})
except TimeoutError:
    print("interrupted")
sys.stdin.read()
"""


def is_free(path: Path, byte: int = RESERVED) -> bool:
    """Whether this process could lock the byte; it does not keep it."""
    with open(path, "r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except BlockingIOError:
            return False
        return True


def test_closing_any_descriptor_ends_the_process_s_locks(
    path: Path, client: Callable[..., Client], locks: str
) -> None:
    """As POSIX has it, and as SQLite therefore is careful about. With observed locks it ends only what was
    taken through the descriptor that is closed."""
    holder = client(OPEN_TWICE, path)
    assert holder.line() == "held"
    assert not is_free(path)
    holder.tell()
    assert holder.line() == "closed"
    assert is_free(path) == (locks == "kernel")
    holder.end()
    assert is_free(path)


def test_a_forked_child_has_no_locks_and_its_end_leaves_the_parent_s(
    path: Path, client: Callable[..., Client]
) -> None:
    parent = client(FORKS, path)
    assert parent.line() == "child 7"
    assert not is_free(path)
    parent.end()
    assert is_free(path)


def test_locks_are_gone_when_a_killed_process_is(path: Path, client: Callable[..., Client]) -> None:
    """Not a moment later: whoever waited for its end can have them."""
    for _ in range(10):
        holder = client(HOLDER, path)
        assert holder.line() == "held"
        holder.end()
        assert is_free(path)


def test_a_waiting_lock_ends_with_a_signal(path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiter = client(INTERRUPTED, path)
    assert waiter.line() == "interrupted"
    holder.end()
    assert is_free(path), "and it is not granted afterwards"


def test_a_killed_waiter_ends_at_once_and_gets_nothing(path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiter = client(WAITER, path)
    assert waiter.line() == "waiting"
    stat = Path(f"/proc/{waiter.process.pid}/stat")
    until(lambda: stat.read_text().rpartition(") ")[2][0] in "SD")  # Asleep: in the kernel.
    waiter.process.send_signal(signal.SIGKILL)
    waiter.process.wait(2)
    holder.end()
    assert is_free(path)


def test_unmounting_ends_those_who_wait(bare: Mounted, path: Path, client: Callable[..., Client]) -> None:
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiters = [client(WAITER, path) for _ in range(5)]
    assert [one.line() for one in waiters] == ["waiting"] * 5
    stopped = bare.ask("stop")
    assert isinstance(stopped["seconds"], float) and stopped["seconds"] < slack()
    for one in waiters:
        one.end()


def test_a_mount_that_is_detached_ends_with_its_clients(
    bare: Mounted, path: Path, client: Callable[..., Client]
) -> None:
    """`fusermount -uz` takes the name away; the end of the last client that has a file open does the rest."""
    holder = client(HOLDER, path)
    assert holder.line() == "held"
    waiters = [client(WAITER, path) for _ in range(2)]
    assert [one.line() for one in waiters] == ["waiting"] * 2
    subprocess.run(["fusermount", "-uz", str(bare.dir)], check=True)
    for one in (*waiters, holder):
        one.end()
    assert bare.answer() == {"unmounted": True}


def test_a_closed_description_s_lock_is_no_conflict_any_more(path: Path) -> None:
    """Nor is it told of: nobody unlocks an open file description that ends."""
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, RESERVED, 1, 0)

    def conflicts(file: int) -> bool:
        return bool(struct.unpack("hhqqi4x", fcntl.fcntl(file, 36, lock))[0] != fcntl.F_UNLCK)

    with open(path, "r+b") as asks:
        for _ in range(5):
            with open(path, "r+b") as one:
                fcntl.fcntl(one, 37, lock)
                assert conflicts(asks.fileno())
                assert not conflicts(one.fileno())
            until(lambda: not conflicts(asks.fileno()), 2)
        fcntl.fcntl(asks, 37, lock)


def test_files_that_the_mount_makes_itself_are_locked_like_others(bare: Mounted, path: Path) -> None:
    """A `-shm` is a file of its own. (Of `DB-lock` the HALT byte alone is locked, where locks are seen:
    `mount/observed/test_halt_byte.py`.)"""
    (bare.dir / "a.db-shm").touch()
    code = f"import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), {fcntl.LOCK_EX | fcntl.LOCK_NB}, 1, 72)"
    with open(bare.dir / "a.db-shm", "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 72)
        for name, is_refused in (("a.db-shm", True), ("a.db", False)):
            done = subprocess.run([sys.executable, "-c", code, bare.dir / name], stderr=subprocess.PIPE)
            assert (b"BlockingIOError" in done.stderr) is is_refused, done.stderr
            assert (done.returncode != 0) is is_refused
        fcntl.lockf(file, fcntl.LOCK_UN)
        done = subprocess.run([sys.executable, "-c", code, bare.dir / "a.db-shm"])
        assert done.returncode == 0


def test_flock_is_the_kernel_s_own_in_both_modes(path: Path) -> None:
    with open(path, "r+b") as one, open(path, "r+b") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        with refusal(errno.EAGAIN):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, RESERVED)
