"""Runs a program that knows nothing of its parent, and ends it when the parent is gone.

    python -m pylitefs.compare.guard MOUNT PROGRAM ARGUMENTS…

The rule: neither the program nor its mount outlives the process that started the guard. When standard input
ends, or a signal comes, the guard sends the program SIGTERM, and kills it if that does not help. Then it
detaches what is still mounted at MOUNT. If the guard itself is killed, so is the program. The exit code is
the program's.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from pylitefs.cluster.cluster import unmount
from pylitefs.signals import handled

_PATIENCE = 8.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def guard(mount: Path, command: Sequence[str]) -> int:
    """Run `command`, which mounts at `mount`, until it ends or this process's standard input does."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)  # noqa: PLW1509

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        process.send_signal(signal.SIGTERM)

    def end_with_stdin() -> None:
        while os.read(0, 4096):
            pass
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

    with handled((signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGABRT), end):
        threading.Thread(target=end_with_stdin, daemon=True).start()
        code = process.wait()
        unmount(mount)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(guard(Path(sys.argv[1]), sys.argv[2:]))
