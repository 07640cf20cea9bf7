"""The data directory is its owner's alone, from the first moment on, and closed where it was open before."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster
from pylitefs.store.directory_lock import DirectoryLock
from pylitefs.store.privacy import make_directory

AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter (pytest's own are root's alone)."""
    path = Path(tempfile.mkdtemp(prefix="pylitefs-privacy-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def open_to_others(directory: Path) -> list[str]:
    """What below a directory, and itself, has a right for others than the owner."""
    paths = [directory, *directory.rglob("*")]
    return [str(path) for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077]


def nobody_reads(path: Path) -> bool:
    return subprocess.run([*AS_NOBODY, "cat", str(path)], capture_output=True).returncode == 0


def old_tree(data: Path, databases: int = 1) -> None:
    """As a node of before made it, and a file of somebody else's beside."""
    for number in range(databases):
        ltx = data / "dbs" / f"{number}.db" / "ltx"
        ltx.mkdir(parents=True)
        (ltx / "0000000000000001-0000000000000001.ltx").write_bytes(b"")
        (ltx.parent / "database").write_bytes(b"secret")
    (data / "clusterid").write_text("LFSC0123456789ABCDEF\n")
    (data / "upload").write_text("not ours")
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def locked(data: Path) -> Iterator[None]:
    lock = DirectoryLock(data)
    lock.acquire()
    yield
    lock.release()


@as_root
def test_what_exists_is_closed_at_the_start(open_folder: Path) -> None:
    """The directory and what is ours below; a file of another program's keeps its mode."""
    data = open_folder / "data"
    data.mkdir()
    old_tree(data)
    secret = data / "dbs" / "0.db" / "database"
    assert nobody_reads(secret)
    with locked(data):
        assert not nobody_reads(secret)
        assert open_to_others(data) == [str(data / "upload")]


def test_a_new_directory_is_closed_from_the_first_moment(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "data"):
        make_directory(tmp_path / "a" / "data" / "dbs" / "x.db" / "ltx")
        assert open_to_others(tmp_path / "a" / "data") == []


def test_a_symlink_below_is_not_followed(tmp_path: Path) -> None:
    """What it leads to may be anybody's."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    old_tree(data)
    other.write_text("theirs")
    other.chmod(0o644)
    (data / "dbs" / "0.db" / "wal").symlink_to(other)
    (data / "tmp").symlink_to(tmp_path)
    with locked(data):
        assert other.stat().st_mode & 0o777 == 0o644


@pytest.mark.full
def test_ten_thousand_databases_are_closed_in_no_time_that_matters(tmp_path: Path) -> None:
    """Processor time of this process; and the second start looks at the directory alone."""
    data = tmp_path / "data"
    data.mkdir()
    old_tree(data, 10_000)
    began = time.process_time()
    with locked(data):
        first = time.process_time() - began
    began = time.process_time()
    with locked(data):
        second = time.process_time() - began
    assert open_to_others(data) == [str(data / "upload")]
    assert first < 3 and second < 0.1, (first, second)


def use(mount: Path) -> None:
    """Each journal mode, a super-journal, a drop."""
    for mode in ("delete", "wal", "off"):
        with contextlib.closing(sqlite3.connect(mount / f"{mode}.db", timeout=20)) as database:
            database.execute(f"PRAGMA journal_mode={mode}")
            database.execute("CREATE TABLE t (x)")
            database.execute("INSERT INTO t VALUES (randomblob(300000))")
            database.commit()
    with contextlib.closing(sqlite3.connect(mount / "delete.db", timeout=20)) as database:
        database.execute("ATTACH ? AS other", (str(mount / "second.db"),))
        database.execute("CREATE TABLE other.t (x)")
        database.execute("BEGIN")
        database.execute("INSERT INTO t VALUES (1)")
        database.execute("INSERT INTO other.t VALUES (1)")
        database.commit()


@as_root
@pytest.mark.fuse
def test_all_that_a_node_makes_is_closed_also_after_a_crash(open_folder: Path) -> None:
    """A primary and a replica that a stranger can walk up to: every file of both data directories."""
    with Cluster(open_folder / "nodes", replicas=1) as cluster:
        for path in (open_folder / "nodes", *(node.dir for node in cluster)):
            path.chmod(0o755)
        use(cluster.primary.mount)
        cluster.wait_synced(30)
        for node in cluster:
            assert open_to_others(node.data) == []
            assert not nobody_reads(node.data / "dbs" / "delete.db" / "database")
        with contextlib.closing(sqlite3.connect(cluster.primary.database("wal.db"))) as database:
            database.execute("INSERT INTO t VALUES (2)")
            database.commit()
            cluster.primary.kill9()
        cluster.primary.restart()
        cluster.wait_synced(30)
        for node in cluster:
            assert open_to_others(node.data) == []


@as_root
@pytest.mark.fuse
def test_others_are_served_through_the_mount_where_they_may(open_folder: Path) -> None:
    """`fuse.allow-other`: the data directory is closed, and the mount is not."""
    settings = {"fuse": {"allow-other": True}}
    with Cluster(open_folder / "nodes", replicas=0, settings=settings) as cluster:
        for path in (open_folder / "nodes", cluster.primary.dir):
            path.chmod(0o755)
        path = cluster.primary.database("a.db")
        sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
        assert nobody_reads(path)
        assert not nobody_reads(cluster.primary.data / "dbs" / "a.db" / "database")
        sql = ["sqlite3", str(path), "INSERT INTO t VALUES (1); SELECT count(*) FROM t"]
        done = subprocess.run([*AS_NOBODY, *sql], capture_output=True, text=True)
        assert done.stdout == "1\n", done.stderr
