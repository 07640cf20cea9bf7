"""A signal's handler runs at once, also when the kernel has given the signal to a thread that sleeps."""

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from pylitefs.child_python import python
from pylitefs.signals import handled

TGKILL = {"x86_64": 234, "aarch64": 131}.get(os.uname().machine)

#: The main thread waits in a lock, another one in a read. The first line of input is awaited by neither.
SLEEPER = """
import os, signal, sys, threading
from pylitefs.signals import handled

ended = threading.Event()
got = []

def end(number, frame):
    got.append(number)
    ended.set()

def sleep():
    print(threading.get_native_id(), flush=True)
    os.read(0, 1)

with handled([signal.SIGTERM], end):
    threading.Thread(target=sleep, daemon=True).start()
    ended.wait()
print(*got, flush=True)
"""


def signal_thread(pid: int, tid: int, number: int) -> None:
    """As `kill`, but it is this thread that gets the signal, not any."""
    if TGKILL is None:
        pytest.skip("the number of tgkill is not known for this processor")
    assert ctypes.CDLL(None).syscall(TGKILL, pid, tid, number) == 0


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Signals are the whole process's: they are put back as they were."""
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_main_thread_is_woken_when_another_one_took_the_signal() -> None:
    with subprocess.Popen(
        python("-c", SLEEPER), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        try:
            tid = int(process.stdout.readline())
            signal_thread(process.pid, tid, signal.SIGTERM)
            assert process.wait(10) == 0
            assert process.stdout.read().split() == [str(int(signal.SIGTERM))]
        finally:
            process.kill()


def test_a_handler_may_raise_and_all_is_as_before() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    outer = signal.getsignal(signal.SIGTERM)
    for _ in range(20):
        with pytest.raises(KeyboardInterrupt), handled([signal.SIGTERM], interrupt):
            threading.Timer(0.001, os.kill, (os.getpid(), signal.SIGTERM)).start()
            threading.Event().wait(10)
        assert signal.getsignal(signal.SIGTERM) is outer
        assert signal.set_wakeup_fd(-1) == -1
        assert "signals" not in {thread.name for thread in threading.enumerate()}
    os.kill(os.getpid(), signal.SIGUSR1)  # One that comes late does nothing.


def test_one_block_may_be_in_another() -> None:
    got: list[str] = []
    with handled([signal.SIGTERM], lambda number, frame: got.append("outer")):
        with handled([signal.SIGTERM], lambda number, frame: got.append("inner")):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert got == ["inner", "outer"]


def test_a_handler_that_is_not_python_s_is_no_obstacle() -> None:
    """`faulthandler` (PYTHONFAULTHANDLER=1) has SIGABRT's, which Python cannot name, nor put back."""
    code = "import signal; from pylitefs.signals import handled\n"
    code += "with handled([signal.SIGABRT], lambda *_: None): pass\n"
    code += "print(signal.getsignal(signal.SIGABRT).name)"
    command = python("-X", "faulthandler", "-c", code)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "SIG_DFL", "")
