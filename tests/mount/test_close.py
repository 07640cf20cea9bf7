"""A close waits for nothing: between SQLite and the release of its locks there is no callback."""

import fcntl
import os
import signal
import threading
from collections.abc import Callable

from pylitefs.mount.kernel_locks import F_OFD_GETLK, FLOCK
from tests.mount.conftest import Client, Mounted, until

# Thread A closes one descriptor; as soon as it does, this one locks through another, as SQLite's threads do.
RACE = """
import fcntl, os, sys, threading
path = sys.argv[1]
first, second = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
print("open", flush=True)
for line in sys.stdin:
    closing = threading.Event()
    def close(fd):
        closing.set()
        os.close(fd)
    thread = threading.Thread(target=close, args=(first,))
    thread.start()
    closing.wait()
    threading.Event().wait(0.2)  # The close is in the kernel by now, and the node stands still.
    fcntl.lockf(second, fcntl.LOCK_EX, 10, 100)
    thread.join()
    print("closed", flush=True)
"""


def is_locked(path: str) -> bool:
    """Whether bytes 100 to 109 are locked by another process."""
    with open(path, "r+b", buffering=0) as file:
        answer = fcntl.fcntl(file.fileno(), F_OFD_GETLK, FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 100, 10, 0))
    return bool(FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def test_a_lock_taken_while_another_thread_closes_is_kept(
    mount: Mounted, client: Callable[..., Client]
) -> None:
    """Also where the node answers late: it is stopped for as long as both take."""
    path = str(mount.dir / "a.db")
    for _ in range(2):  # The kernel asks for a flush once, and never again.
        with open(path, "wb"):
            pass
    race = client(RACE, path)
    assert race.line() == "open"
    mount.process.send_signal(signal.SIGSTOP)
    go_on = threading.Timer(1.0, mount.process.send_signal, [signal.SIGCONT])
    go_on.start()
    try:
        race.tell("now")
        assert race.line() == "closed"
    finally:
        go_on.cancel()
        mount.process.send_signal(signal.SIGCONT)
    until(lambda: is_locked(path), 5)
