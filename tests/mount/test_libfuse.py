"""What is kept of libfuse's threads, and what is not."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import unmount

pytestmark = pytest.mark.fuse

THREADS = """
import ctypes
from pylitefs.mount.libfuse import Fuse

libc = ctypes.CDLL(None)
calls = []
body = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(lambda _: Fuse._wrapper(calls.append, 1))
libc.pthread_create.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
libc.pthread_join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
thread = ctypes.c_ulong()

def threads(count):
    for _ in range(count):
        libc.pthread_create(ctypes.byref(thread), None, body, None)
        libc.pthread_join(thread, None)
    with open("/proc/self/statm") as pages:
        return int(pages.read().split()[1]) * 4

before = threads(500)
print(threads(5000) - before, len(calls))
"""


def test_threads_that_libfuse_ends_leave_no_state_behind() -> None:
    """5,000 threads that came and went would leave 24 MiB; and the process ends without a crash."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    grown_kib, calls = map(int, done.stdout.split())
    assert calls == 5500
    assert grown_kib < 2048


def test_the_operations_need_no_libfuse() -> None:
    """Everything but mounting works, and can be explained, where libfuse 2 is missing."""
    code = "import sys; sys.modules['fuse'] = None; import pylitefs.mount.operations, pylitefs.mount.session"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_structures_are_as_large_as_libfuse_expects() -> None:
    import fuse

    assert ctypes.sizeof(fuse.fuse_file_info) == 40


STOPPED = """
import sys, threading
from pathlib import Path
import fuse
from pylitefs.mount import libfuse
from pylitefs.mount.operations import MountOperations
from pylitefs.mount.session import MountSession, install_signal_handlers
from pylitefs.store.status import Status
from pylitefs.trace import Tracer
from tests.mount.passthrough import PassthroughStore

gone, used = threading.Event(), threading.Event()
plain_exit, turns = libfuse.exit_session, []

def slow_signal(*_):
    # fusepy calls it before libfuse's loop, and again once libfuse has freed its session.
    turns.append(1)
    if len(turns) == 2:
        gone.set()
        used.wait(0.5)
    raise ValueError

def watched_exit(session):
    if gone.is_set():
        used.set()
    else:
        plain_exit(session)

fuse.signal, libfuse.exit_session = slow_signal, watched_exit
install_signal_handlers()
store = PassthroughStore(Path(sys.argv[1]), Status(is_primary=True), Tracer())
session = MountSession(MountOperations(store), Path(sys.argv[2]))
session.start()
session.stop()
print(gone.is_set(), used.is_set())
"""


def test_a_stop_does_not_touch_what_libfuse_has_freed(tmp_path: Path) -> None:
    """The mount's thread may be slow to come back from libfuse; a stop that goes on asking it to end must
    not use the session any more, or the node ends with a segmentation fault."""
    for name in ("data", "mnt"):
        (tmp_path / name).mkdir()
    arguments = [sys.executable, "-c", STOPPED, str(tmp_path / "data"), str(tmp_path / "mnt")]
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=30)
    finally:
        unmount(tmp_path / "mnt")
    assert done.stdout.split() == ["True", "False"]
