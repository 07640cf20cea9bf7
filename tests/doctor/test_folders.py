"""The folders: whose they are, how much room there is, what lies in them. Nothing is changed."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.doctor import folders
from pylitefs.mount import mountinfo
from pylitefs.mount.mountinfo import Mount
from tests.doctor.found import fine, noted, wrong


@pytest.fixture(autouse=True)
def _unchanged(tmp_path: Path) -> Iterator[None]:
    """What a test has made is still so when it ends."""
    yield
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "a start makes it" in fine(folders.data_directory(data, running=False))
    assert not data.exists()
    data.mkdir()
    assert "a node can have it" in fine(folders.data_directory(data, running=False))
    assert "its node runs" in fine(folders.data_directory(data, running=True))
    (data / "notes.txt").touch()
    (data / "kept" / "a.db").mkdir(parents=True)
    (data / "kept" / "a.db" / "5.ltx").touch()
    _, strangers, kept = folders.data_directory(data, running=False)
    assert "holds what is no node's: notes.txt; move it elsewhere" in strangers.text
    assert "a restore has kept" in kept.text
    (tmp_path / "file").touch()
    assert "no directory" in wrong(folders.data_directory(tmp_path / "file", running=False))
    assert wrong(folders.data_directory(tmp_path / "file" / "below", running=False))


def test_what_a_lease_and_a_failover_leave_in_a_data_directory_is_a_node_s(tmp_path: Path) -> None:
    for name in ("clusterid", "terms.json", "candidates.json"):
        (tmp_path / name).touch()
    assert "a node can have it" in fine(folders.data_directory(tmp_path, running=False))
    (tmp_path / "lost" / "a.db" / "20261127T180000.000000Z").mkdir(parents=True)
    _, left = folders.data_directory(tmp_path, running=False)
    assert "a failover has kept" in left.text and "lost/a.db/20261127T180000.000000Z" in left.text


def test_a_data_directory_that_somebody_has(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    text = wrong(folders.data_directory(tmp_path, running=False))
    assert f"in use by process {os.getpid()}" in text and "give one of the two nodes" in text
    os.close(fd)


def test_what_this_user_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's node may: that is to know, and not to mend."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "belongs to user" in noted(folders.data_directory(tmp_path, running=False))
    assert "as root: mkdir -p" in wrong(folders.data_directory(tmp_path / "none", running=False))
    assert "may not write" in wrong(folders.backup_folder(tmp_path, tmp_path, running=False))
    assert "may not write" in noted(folders.backup_folder(tmp_path, tmp_path, running=True))


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the largest database once more, which an import or a snapshot needs."""
    assert "MB are free" in fine(folders.room("disk", tmp_path / "not" / "there"))
    assert "needs 1,000,000,000 MB" in wrong(folders.room("disk", tmp_path, 10**15))

    def disk(**changed: int) -> None:
        figures = {"f_bavail": 10**6, "f_frsize": 4096, "f_flag": 0, "f_files": 10, "f_favail": 5, **changed}
        monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(**figures))

    disk(f_bavail=1000)
    assert "4 MB are free" in wrong(folders.room("disk", tmp_path))
    disk(f_favail=0)
    assert "no inodes" in wrong(folders.room("disk", tmp_path))
    disk(f_flag=os.ST_RDONLY)
    assert "read-only" in wrong(folders.room("disk", tmp_path))
    disk()
    assert fine(folders.room("disk", tmp_path))


def test_the_largest_database(tmp_path: Path) -> None:
    assert folders.largest_database(tmp_path) == 0
    for name, size in (("a", 10), ("b", 3000)):
        (tmp_path / "dbs" / name).mkdir(parents=True)
        (tmp_path / "dbs" / name / "database").write_bytes(bytes(size))
    assert folders.largest_database(tmp_path) == 3000


def test_a_mount_directory_and_what_lies_there(tmp_path: Path) -> None:
    mount = tmp_path / "mnt"
    assert "a start makes it" in fine(folders.mount_directory(mount, running=False))
    mount.mkdir()
    assert "is empty" in fine(folders.mount_directory(mount, running=False))
    (mount / "README").touch()
    assert "README will be hidden" in noted(folders.mount_directory(mount, running=False))
    with closing(sqlite3.connect(mount / "app.db")) as db:
        db.execute("CREATE TABLE t (x)")
    text = wrong(folders.mount_directory(mount, running=False))
    assert "app.db (a SQLite database" in text and "pylitefs import -name app.db" in text
    not_mounted, _ = folders.mount_directory(mount, running=True)
    assert not_mounted.is_wrong and "nothing is mounted" in not_mounted.text


def test_a_mount_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mounted(fstype: str, source: str, *, answers: bool = True) -> None:
        monkeypatch.setattr(mountinfo, "find", lambda path: Mount(str(path), fstype, source, -1))
        monkeypatch.setattr(mountinfo, "answers", lambda path: answers)

    mounted("fuse", "pylitefs")
    assert "served by pylitefs" in fine(folders.mount_directory(tmp_path, running=True))
    assert "end that node: it hangs" in wrong(folders.mount_directory(tmp_path, running=False))
    mounted("fuse.sshfs", "host:")
    assert "not this node's" in wrong(folders.mount_directory(tmp_path, running=False))
    mounted("ext4", "/dev/sdb")
    assert "/dev/sdb (ext4)" in wrong(folders.mount_directory(tmp_path, running=False))
    mounted("tmpfs", "pylitefs-guard")
    assert "closed since a crash" in noted(folders.mount_directory(tmp_path, running=False))
    mounted("fuse", "pylitefs", answers=False)
    assert list(folders.mount_directory(tmp_path, running=False)) == [], "machine.dead_mounts says it"


def test_a_backup_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a start makes it" in fine(folders.backup_folder(tmp_path / "b", tmp_path, running=False))
    assert "does not survive the loss" in noted(folders.backup_folder(tmp_path, tmp_path, running=False))
    assert "can be written" in fine(folders.backup_folder(tmp_path, Path("/proc"), running=False))
