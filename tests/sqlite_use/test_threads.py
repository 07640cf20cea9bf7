"""A process with threads keeps its locks: what SQLite takes in one thread, no close in another gives back.

SQLite lets go of its mutex just before `close(2)`, and a close drops every `fcntl` lock of the process on
the file. So nothing may keep the kernel waiting there. The control: who has locked all of SQLite's lock
bytes is alone, and finds no journal that has content, and nobody who has the WAL index open.
"""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from pylitefs.mount.kernel_locks import F_OFD_GETLK, F_OFD_SETLK, FLOCK
from pylitefs.sqlite.locks import PENDING_BYTE
from tests.sqlite_use.pair import Pair, connect, fill, shell, trouble

pytestmark = pytest.mark.fuse

PROGRAM = Path(__file__).with_name("threads.py")
LOCK_BYTES = (PENDING_BYTE, 512)
DMS = (128, 1)
MODES = ["delete", "truncate", "persist", "wal"]
LONG = pytest.param(1500, marks=pytest.mark.full)


def lock(fd: int, command: int, kind: int, span: tuple[int, int]) -> bool:
    """Ask for a lock of an open file description's own; whether it was granted, or nobody is in its way."""
    with suppress(BlockingIOError):
        answer = fcntl.fcntl(fd, command, FLOCK.pack(kind, os.SEEK_SET, *span, 0))
        return command == F_OFD_SETLK or FLOCK.unpack(answer)[0] == fcntl.F_UNLCK
    return False


def is_used(path: Path) -> bool:
    """Whether someone is in the midst of something, by the database's side files."""
    with suppress(FileNotFoundError), open(f"{path}-journal", "rb", buffering=0) as journal:
        return journal.read(1) not in (b"", b"\0")
    with suppress(FileNotFoundError), open(f"{path}-shm", "r+b", buffering=0) as shm:
        return not lock(shm.fileno(), F_OFD_GETLK, fcntl.F_WRLCK, DMS)
    return False


def start(path: Path, rows: int, readers: int = 1) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), str(path), str(rows), str(readers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def watch(path: Path, program: "subprocess.Popen[str]") -> tuple[int, int]:
    """How often all of the locks could be had while the program ran, and was alone with them not the case."""
    had = broken = 0
    with open(path, "r+b", buffering=0) as file:
        fd = file.fileno()
        while program.poll() is None:
            if lock(fd, F_OFD_SETLK, fcntl.F_WRLCK, LOCK_BYTES):
                had += 1
                broken += is_used(path)
                lock(fd, F_OFD_SETLK, fcntl.F_UNLCK, LOCK_BYTES)
            time.sleep(0.0005)
    return had, broken


def finish(program: "subprocess.Popen[str]") -> int:
    """How many inserts were acknowledged; there was no error but "locked"."""
    out = program.communicate(timeout=100)[0].splitlines()
    assert program.returncode == 0
    assert out[1:] == []
    return int(out[0])


def control(path: Path, mode: str, rows: int) -> tuple[int, int]:
    """Make a database and run the program beside the control; (times alone, times not alone)."""
    with closing(connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE seen(a INTEGER PRIMARY KEY, b)")
    program = start(path, rows)
    try:
        found = watch(path, program)
        acknowledged = finish(program)
    finally:
        program.kill()
        program.wait()
    assert shell(path, "PRAGMA integrity_check;", "SELECT count(*) FROM seen;") == f"ok\n{acknowledged}"
    return found


@pytest.mark.parametrize("rows", [150, LONG])
@pytest.mark.parametrize("mode", MODES)
def test_who_has_all_locks_is_alone(pair: Pair, mode: str, rows: int) -> None:
    """In every journal mode, and nothing acknowledged is gone."""
    had, broken = control(pair.path(f"alone-{mode}-{rows}.db"), mode, rows)
    assert had, "the control never had the locks: it has shown nothing"
    assert broken == 0, f"{broken} of {had} times someone else was using the database"
    pair.check(f"alone-{mode}-{rows}.db")


@pytest.mark.parametrize("mode", MODES)
def test_the_control_finds_nothing_on_a_plain_disk(tmp_path: Path, mode: str) -> None:
    """So what it finds on a mount is the mount's."""
    had, broken = control(tmp_path / "plain.db", mode, 300)
    assert had and not broken


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_imports_beside_two_such_processes(pair: Pair, tmp_path: Path, mode: str) -> None:
    """No error but "locked", and each database seen is one that was imported, whole."""
    name = f"beside-{mode}.db"
    new = tmp_path / "new.db"
    shell(new, f"PRAGMA journal_mode={mode};", "CREATE TABLE seen(a INTEGER PRIMARY KEY, b);")
    shell(new, fill(50, table="seen") + ";")

    def import_() -> int:
        answer = pair.http.post(f"{pair.primary.url}/import", params={"name": name}, content=new.read_bytes())
        return answer.status_code

    assert import_() == httpx.codes.OK
    programs = [start(pair.path(name), 60) for _ in range(2)]
    try:
        codes = [import_()]
        while any(program.poll() is None for program in programs):
            codes.append(import_())
        for program in programs:
            finish(program)
    finally:
        for program in programs:
            program.kill()
            program.wait()
    assert httpx.codes.OK in codes and set(codes) <= {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}
    assert shell(pair.path(name), "PRAGMA integrity_check;") == "ok"
    assert not trouble(pair.primary)
    pair.check(name)
