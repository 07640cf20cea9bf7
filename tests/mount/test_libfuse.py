"""What is kept of libfuse's threads, and what is not."""

import ctypes
import subprocess
import sys

import pytest

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
