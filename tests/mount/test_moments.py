"""`DB@TXID` in a mount is the database as it was; it is never listed, written, or made."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import ClusterFactory

ON = {"fuse": {"moments": True}}


def grown(path: Path, mode: str = "delete") -> int:
    """A database with ten rows, each of its own transaction; how many there were before the rows."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE t (x)")
        first = int(path.with_name(f"{path.name}-pos").read_text()[:16], 16)
        for number in range(10):
            db.execute("INSERT INTO t VALUES (?)", (number,))
    return first


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_sqlite_reads_any_moment_with_plain_options(cluster_factory: ClusterFactory, mode: str) -> None:
    """Also on a replica, while the database goes on."""
    cluster = cluster_factory(replicas=1, settings=ON)
    first = grown(cluster.primary.database("a.db"), mode)
    cluster.wait_synced()
    for node in cluster.nodes:
        folder = node.database("a.db").parent
        for count in (1, 4, 10):
            txid = first + count
            for name in (f"a.db@{txid:x}", f"a.db@{txid:016X}"):
                with closing(sqlite3.connect(folder / name)) as db:
                    assert db.execute("SELECT count(*) FROM t").fetchall() == [(count,)]
                    with pytest.raises(sqlite3.OperationalError, match="readonly"):
                        db.execute("INSERT INTO t VALUES (1)")
        assert not [name for name in os.listdir(folder) if "@" in name]


def test_what_is_no_moment_is_not_there_and_is_not_made(cluster_factory: ClusterFactory) -> None:
    node = cluster_factory(replicas=0, settings=ON).primary
    path = node.database("a.db")
    first = grown(path)
    there, missing = path.with_name(f"a.db@{first:x}"), path.with_name("a.db@ffff")
    for call, code in (
        (lambda: os.stat(missing), errno.ENOENT),
        (lambda: os.open(missing, os.O_RDWR | os.O_CREAT), errno.EROFS),
        (lambda: os.open(there, os.O_RDWR), errno.EACCES),
        (lambda: os.unlink(there), errno.EROFS),
        (lambda: os.truncate(there, 0), errno.EROFS),
    ):
        with pytest.raises(OSError) as found:
            call()
        assert found.value.errno == code
    assert os.stat(there).st_mode & 0o777 == 0o444
    with closing(sqlite3.connect(path.with_name("b@12"))) as db:  # No database b: a name like any other.
        db.execute("CREATE TABLE t (x)")
    assert path.with_name("b@12").exists()


def test_without_the_key_there_are_none(cluster_factory: ClusterFactory) -> None:
    path = cluster_factory(replicas=0).primary.database("a.db")
    first = grown(path)
    assert not path.with_name(f"a.db@{first:x}").exists()
