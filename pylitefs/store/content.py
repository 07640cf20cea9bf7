"""Whether a file that is to be imported is a database that SQLite can read, before it replaces anything.

    imports.py --> content.check --> quick_check.py, a process of its own --> SQLite

The rule: a whole header says nothing of what comes after it. The check has a bound in time, by the file's
size, and takes no memory of the node; its verdict comes before any lock is taken.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pylitefs.errors import BusyError, SqliteFormatError
from pylitefs.store import quick_check

CHECK_S = 60
"""Seconds for any file, and one more for each SLOW_RATE bytes."""
SLOW_RATE = 4 << 20
LOOK_S = 0.25
_REMEDY = "nothing was imported; see what `sqlite3 FILE 'PRAGMA integrity_check'` says"


def check(path: Path, name: str, stopping: Callable[[float], bool]) -> None:
    """Raise SqliteFormatError if SQLite cannot read the database at `path`, or comes to no end; BusyError
    if the node ends meanwhile."""
    seconds = CHECK_S + path.stat().st_size // SLOW_RATE
    command = _command(path, seconds)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
    ) as process:
        try:
            said = _wait(process, seconds, stopping)
        except BaseException:
            process.kill()
            raise
    if said is None:
        if stopping(0):
            raise BusyError(f"cannot import {name}: this node ends; send it again")
        raise SqliteFormatError(f"cannot import {name}: SQLite's check takes over {seconds} s: {_REMEDY}")
    if process.returncode:
        raise SqliteFormatError(f"cannot import {name}: {_verdict(process.returncode, said)}: {_REMEDY}")


def objection(path: Path) -> str:
    """What SQLite has against the database at `path`, in words; "" if nothing."""
    seconds = CHECK_S + path.stat().st_size // SLOW_RATE
    command = _command(path, seconds)
    try:
        found = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd="/", timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"SQLite's check of it takes over {seconds} s"
    said = found.stdout.decode("ascii", "replace").strip()
    return _verdict(found.returncode, said) if found.returncode else ""


def _command(path: Path, seconds: int) -> list[str]:
    return [sys.executable, "-I", "-S", quick_check.__file__, str(path), str(seconds)]


def _verdict(code: int, said: str) -> str:
    return said or f"SQLite's check of it ended with code {code}"


def _wait(
    process: "subprocess.Popen[bytes]", seconds: float, stopping: Callable[[float], bool]
) -> str | None:
    """What the process said; None if it had to be killed."""
    waited = 0.0
    while True:
        try:
            said, _ = process.communicate(timeout=LOOK_S)
            return said.decode("ascii", "replace").strip()
        except subprocess.TimeoutExpired:
            waited += LOOK_S
            if waited >= seconds or stopping(0):
                process.kill()
                process.communicate()
                return None
