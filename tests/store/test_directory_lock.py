"""One node, one data directory: the other is told whose it is."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.errors import DataDirectoryError
from pylitefs.store.directory_lock import LOCK_NAME, DirectoryLock
from tests.store.crashes import watching


def test_a_directory_belongs_to_one_process_which_is_named(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from pylitefs.store.directory_lock import DirectoryLock; "
            "DirectoryLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()",
            tmp_path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin and holder.stdout and holder.stdout.readline() == "held\n"
    lock = DirectoryLock(tmp_path)
    with pytest.raises(DataDirectoryError, match=rf"in use by process {holder.pid} \(\w+"):
        lock.acquire()
    holder.kill()  # The lock goes with the process, however it ends.
    holder.wait()
    lock.acquire()
    lock.release()
    lock.release()


def test_without_flock_a_byte_of_a_file_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: no `fcntl`, no directory that can be opened, and `msvcrt.locking`."""

    def locking(fd: int, mode: int, size: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.delattr("os.O_DIRECTORY")
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    first.acquire()
    assert (tmp_path / LOCK_NAME).exists()
    with pytest.raises(DataDirectoryError, match="in use by"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_what_a_killed_owner_noted_is_durable_before_anybody_acts_by_it(tmp_path: Path) -> None:
    """It died between the rename of the note and the sync of the directory. Else the one before it may come
    back when the power fails: a node's cluster id or its term, or a lease that was given meanwhile."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "terms.json.tmp").write_text("{}")
    os.rename(directory / "terms.json.tmp", directory / "terms.json")
    assert calls_of_taking(directory) == ["fsync data"]
    os.utime(directory, (1_000_000_000, 1_000_000_000))
    assert calls_of_taking(directory) == [], "it was read from the disk"


def calls_of_taking(directory: Path) -> list[str]:
    calls: list[str] = []
    lock = DirectoryLock(directory)
    with watching(directory.parent, lambda call, name, fd: calls.append(f"{call} {name}")):
        lock.acquire()
    lock.release()
    return calls


def test_a_directory_that_cannot_be_synced_is_refused_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "failed by the test")))
    with pytest.raises(DataDirectoryError, match="failed by the test"):
        DirectoryLock(tmp_path).acquire()
    monkeypatch.undo()
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    lock.release()
