"""One node, one data directory: the other is told whose it is."""

import fcntl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.errors import DataDirectoryError
from pylitefs.store.directory_lock import LOCK_NAME, DirectoryLock


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
