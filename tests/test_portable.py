"""A system that lacks calls gets them, and they do what those of Linux do."""

import os
import re
import time
from pathlib import Path
from types import ModuleType

import pytest

from pylitefs import portable
from tests.house import ROOT, modules
from tests.vfs.poor_system import OF_OS

COMPLETED = {"pread", "pwrite", "pwritev", "fdatasync", "posix_fadvise", "O_ACCMODE"}
LOOKED_FOR = {
    "replication/snapshots.py": {"mkfifo", "O_NONBLOCK"},
    "store/directory_lock.py": {"O_DIRECTORY"},
    "store/disk_state.py": {"statvfs"},
    "store/files.py": {"O_DIRECTORY"},
    "store/privacy.py": {"fchmod"},
    "store/snapshot.py": {"copy_file_range"},
}
"""What Windows lacks, and is used after a look whether it is there."""


def poor_system() -> ModuleType:
    """`os` as on Windows: no call with an offset, and no `fdatasync`."""
    poor = ModuleType("poor")
    for name in ("lseek", "read", "write", "fsync"):
        setattr(poor, name, getattr(os, name))
    return poor


def test_what_is_missing_is_put_in(tmp_path: Path) -> None:
    poor = poor_system()
    portable.complete(poor)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | portable.BINARY)
    assert poor.pwrite(fd, b"abcdef\r\n", 3) == 8
    assert poor.pwritev(fd, [b"12", b"3"], 0) == 3
    assert poor.pread(fd, 100, 1) == b"23abcdef\r\n" == os.pread(fd, 100, 1)
    assert poor.pread(fd, 5, 50) == b""
    poor.fdatasync(fd)
    poor.posix_fadvise(fd, 0, 0, poor.POSIX_FADV_DONTNEED)
    assert poor.O_ACCMODE == os.O_ACCMODE
    os.close(fd)


def test_what_is_there_stays() -> None:
    """On Linux nothing is touched."""
    before = {name: getattr(os, name) for name in ("pread", "pwrite", "pwritev", "fdatasync")}
    portable.complete()
    assert before == {name: getattr(os, name) for name in before}


def test_the_clock_of_leases_goes_on() -> None:
    """The one that counts sleep, where the system tells; else the next best."""
    before = portable.awake_clock()
    assert portable.awake_clock() >= before
    if hasattr(time, "CLOCK_BOOTTIME"):
        assert abs(portable.awake_clock() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


@pytest.mark.parametrize(
    "folder", ["store", "vfs", "replication", "http", "lease", "roles", "rows", "sqlite"]
)
def test_what_windows_lacks_is_not_used_by_a_node_in_a_program(folder: str) -> None:
    """`os.O_CLOEXEC` neither: `portable.BINARY` is that, and what Windows needs in its place."""
    lacking = set(OF_OS) - COMPLETED
    for path in modules():
        if path.startswith(f"{folder}/"):
            used = set(re.findall(r"\bos\.(\w+)", (ROOT / path).read_text()))
            assert used & lacking <= LOOKED_FOR.get(path, set()), path
