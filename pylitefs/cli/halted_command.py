"""A command that runs while a database's HALT lock is held: `pylitefs run -with-halt-lock-on PATH -- CMD`.

The rule: the lock is held for exactly as long as the command runs, and its exit code is kept. As in LiteFS,
the lock file's handle goes to the command as descriptor 3. Signals are the command's.
"""

import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pylitefs.errors import PylitefsError
from pylitefs.signals import handled

HANDLE = 3
_HALT_BYTE = 72
_FLOCK = struct.Struct("hhqqi4x")
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_halted(path: str, command: Sequence[str], say: Callable[[str], None]) -> int:
    """The command's exit code, 128 + N after signal N. Raises PylitefsError if the lock cannot be had."""
    if not os.path.exists(path):
        raise PylitefsError(f"database does not exist: {path}")
    say("acquiring halt lock")
    began = time.perf_counter()
    fd = _take(path)
    try:
        say(f"halt lock acquired in {_since(began)}")
        return _run(fd, command)
    finally:
        say("releasing halt lock")
        began = time.perf_counter()
        _lock(fd, fcntl.F_UNLCK)
        os.fsync(fd)  # It is given back when this returns; after a close, some time later.
        os.close(fd)
        say(f"halt lock released in {_since(began)}")


def _since(began: float) -> str:
    return f"{(time.perf_counter() - began) * 1000:.6f}ms"


def _take(path: str) -> int:
    """The lock file, open and locked."""
    name = f"{path}-lock"
    try:
        fd = os.open(name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        where = str(Path(path).parent)
        raise PylitefsError(f'lock file not available, are you sure "{where}" is a LiteFS mount?') from None
    except OSError as error:
        raise _refused(path, error) from None
    try:
        _lock(fd, fcntl.F_WRLCK)
    except OSError as error:
        os.close(fd)
        raise _refused(path, error) from None
    return fd


def _refused(path: str, error: OSError) -> PylitefsError:
    why = os.strerror(error.errno or 0)
    return PylitefsError(
        f"the HALT lock of {path} cannot be had: {why}; the log of this machine's node says why"
    )


def _lock(fd: int, kind: int) -> None:
    fcntl.fcntl(fd, fcntl.F_SETLKW, _FLOCK.pack(kind, os.SEEK_SET, _HALT_BYTE, 1, 0))


def _run(fd: int, command: Sequence[str]) -> int:
    def as_handle() -> None:
        os.dup2(fd, HANDLE)
        os.set_inheritable(HANDLE, True)

    came: list[int] = []
    child: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, frame: object) -> None:
        came.append(number)
        if child is not None and child.poll() is None:
            child.send_signal(number)

    with handled(_PASSED_ON, pass_on):
        try:
            # All of ours are closed by exec, but for the handle. (Between fork and exec no thread matters.)
            child = subprocess.Popen(command, close_fds=False, preexec_fn=as_handle)  # noqa: PLW1509
        except OSError as error:
            raise PylitefsError(f"{command[0]} cannot be run: {error.strerror}") from None
        for number in came:
            child.send_signal(number)
        code = child.wait()
    return 128 - code if code < 0 else code
