"""A process with threads keeps its locks: what SQLite takes in one thread, no close in another gives back.

SQLite lets go of its mutex just before `close(2)`, and a close drops every `fcntl` lock of the process on
the file. So nothing may keep the kernel waiting there. The control: who has locked all of SQLite's lock
bytes is alone, and finds no journal that has content, and nobody who has the WAL index open.

The moment in which a lock is gone is short. So the control asks without a pause, and each ask is one call.

SQLite's own gap is there on every disk: a thread that loses the processor just before its `close(2)` drops
the locks as well. That is rare, and a mount that waits there is not: with an empty `flush` two of three runs
in a rollback mode found someone. So a run that finds someone is repeated, and two of three must find nobody.
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
SHARED = (PENDING_BYTE + 2, 510)
DMS = (128, 1)
MODES = ["delete", "truncate", "persist", "wal"]
READERS = {"delete": 3, "truncate": 3, "persist": 3, "wal": 2}
ROWS = 300
SHORT_S = 0.8
LONG = pytest.param(15, marks=pytest.mark.full)


def lock(fd: int, command: int, kind: int, span: tuple[int, int]) -> bool:
    """Ask for a lock of an open file description's own; whether it was granted, or nobody is in its way."""
    with suppress(BlockingIOError):
        answer = fcntl.fcntl(fd, command, FLOCK.pack(kind, os.SEEK_SET, *span, 0))
        return command == F_OFD_SETLK or FLOCK.unpack(answer)[0] == fcntl.F_UNLCK
    return False


def start(path: Path, seconds: float, readers: int = 1) -> "subprocess.Popen[str]":
    command = [sys.executable, str(PROGRAM), str(path), str(seconds), str(readers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def has_journal(path: Path) -> bool:
    """Whether a transaction is under way: the journal's header is there, and valid."""
    with suppress(FileNotFoundError), open(f"{path}-journal", "rb", buffering=0) as journal:
        return journal.read(1) not in (b"", b"\0")
    return False


def watch_journal(path: Path, fd: int, program: "subprocess.Popen[str]") -> tuple[int, int]:
    """How often all of the locks could be had while the program ran, and a live journal was there."""
    had = broken = 0
    while program.poll() is None:
        if lock(fd, F_OFD_SETLK, fcntl.F_WRLCK, LOCK_BYTES):
            had += 1
            broken += has_journal(path)
            lock(fd, F_OFD_SETLK, fcntl.F_UNLCK, LOCK_BYTES)
            time.sleep(0.001)  # They wait for this one, too.
    return had, broken


def watch_wal(path: Path, fd: int, program: "subprocess.Popen[str]") -> tuple[int, int]:
    """How often the WAL index was in use while the program ran, and all of the locks could be had then.

    The caller has SHARED, as another process with a connection has: nobody else is the last to close.
    """
    shm = Path(f"{path}-shm")
    while program.poll() is None and not shm.exists():
        time.sleep(0.001)
    used = broken = 0
    with shm.open("r+b", buffering=0) as file:
        index = file.fileno()
        while program.poll() is None:
            if lock(index, F_OFD_GETLK, fcntl.F_WRLCK, DMS):
                continue
            used += 1
            if lock(fd, F_OFD_SETLK, fcntl.F_WRLCK, LOCK_BYTES):
                broken += not lock(index, F_OFD_GETLK, fcntl.F_WRLCK, DMS)
                lock(fd, F_OFD_SETLK, fcntl.F_RDLCK, LOCK_BYTES)
                lock(fd, F_OFD_SETLK, fcntl.F_UNLCK, (PENDING_BYTE, 2))
    return used, broken


def finish(program: "subprocess.Popen[str]") -> int:
    """How many inserts were acknowledged; there was no error but "locked"."""
    out = program.communicate(timeout=100)[0].splitlines()
    assert program.returncode == 0
    assert out[1:] == []
    return int(out[0])


def control(path: Path, mode: str, seconds: float) -> tuple[int, int]:
    """Make a database and run the program beside the control; (times looked, times not alone)."""
    with closing(connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE seen(a INTEGER PRIMARY KEY, b)")
        db.execute(fill(ROWS, table="seen"))
    with open(path, "r+b", buffering=0) as file:
        fd = file.fileno()
        if mode == "wal":
            assert lock(fd, F_OFD_SETLK, fcntl.F_RDLCK, SHARED)
        watch = watch_wal if mode == "wal" else watch_journal
        program = start(path, seconds, READERS[mode])
        try:
            found = watch(path, fd, program)
            acknowledged = finish(program)
        finally:
            program.kill()
            program.wait()
    count = ROWS + acknowledged
    assert shell(path, "PRAGMA integrity_check;", "SELECT count(*) FROM seen;") == f"ok\n{count}"
    return found


def check_alone(path: Path, mode: str, seconds: float) -> list[Path]:
    """Nobody is found, or in one of three runs alone; the databases."""
    paths = [path.with_name(f"{run}-{path.name}") for run in range(3)]
    found = []
    for done, each in enumerate(paths, 1):
        looked, broken = control(each, mode, seconds)
        assert looked, "the control never looked: it has shown nothing"
        if broken:
            found.append(f"{broken} of {looked}")
        elif not found:
            return paths[:done]
    assert len(found) < 2, f"someone else was using the database: {', '.join(found)} times"
    return paths


@pytest.mark.parametrize("seconds", [SHORT_S, LONG])
@pytest.mark.parametrize("mode", MODES)
def test_who_has_all_locks_is_alone(pair: Pair, mode: str, seconds: float) -> None:
    """In every journal mode, and nothing acknowledged is gone."""
    for path in check_alone(pair.path(f"alone-{mode}-{seconds}.db"), mode, seconds):
        pair.check(path.name)


@pytest.mark.parametrize("mode", MODES)
def test_the_control_finds_nothing_on_a_plain_disk(tmp_path: Path, mode: str) -> None:
    """So what it finds on a mount is the mount's."""
    check_alone(tmp_path / "plain.db", mode, SHORT_S)


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
    programs = [start(pair.path(name), 2) for _ in range(2)]
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
