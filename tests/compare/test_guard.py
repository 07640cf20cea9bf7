"""A guarded program ends with whoever started it, and its exit code is handed on."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pylitefs.child_python import python_module

PROGRAM = """
import signal, sys
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))
print("up", flush=True)
signal.pause()
"""


def guarded(tmp_path: Path, code: str) -> "subprocess.Popen[str]":
    command = [
        *python_module("pylitefs.compare.guard", str(tmp_path / "mnt")),
        sys.executable,
        "-c",
        code,
    ]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_when_standard_input_ends_the_program_is_told_to_end(tmp_path: Path) -> None:
    with guarded(tmp_path, PROGRAM) as guard:
        assert line(guard) == "up"
        assert guard.stdin is not None
        guard.stdin.close()
        assert guard.wait(20) == 7


def test_a_killed_guard_takes_its_program_along(tmp_path: Path, eventually: Callable[..., None]) -> None:
    """`kill -9` of the guard leaves it no time to tell anyone: the kernel does."""
    with guarded(tmp_path, f"import os\nprint(os.getpid(), flush=True)\n{PROGRAM}") as guard:
        program = int(line(guard))
        assert line(guard) == "up"
        guard.kill()
        try:
            eventually(lambda: not Path(f"/proc/{program}").exists() or is_zombie(program), "it has ended")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(program, signal.SIGKILL)


def is_zombie(pid: int) -> bool:
    """Killed, and not yet waited for by whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
