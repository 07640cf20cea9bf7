"""Who has committed finds the position, also in a database that was not there a moment before."""

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.mount import first_write
from tests.conftest import ClusterFactory


def position(path: Path) -> int:
    return int(Path(f"{path}-pos").read_text()[:16], 16)


@pytest.mark.fuse
def test_who_asked_before_there_was_a_database_finds_its_position_after_a_commit(
    cluster_factory: ClusterFactory,
) -> None:
    """The kernel says for a second that there is no such file; on a replica it would say so as well."""
    cluster = cluster_factory(replicas=1)
    for mode in ("delete", "wal"):
        for node in cluster:
            assert not Path(f"{node.database(mode)}-pos").exists()
        with closing(sqlite3.connect(cluster.primary.database(mode), isolation_level=None)) as db:
            db.execute("CREATE TABLE t (x)")
            assert position(cluster.primary.database(mode)) == 1
            db.execute(f"PRAGMA journal_mode={mode}")
            db.execute("INSERT INTO t VALUES (1)")
        cluster.wait_synced()
        assert [position(node.database(mode)) for node in cluster] == [2 + (mode == "wal")] * 2


def test_a_write_does_not_wait_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look may have to wait for who waits for the write."""
    monkeypatch.setattr(first_write, "WAIT_S", 0.01)
    go_on, done = threading.Event(), threading.Event()

    def look() -> None:
        assert go_on.wait(60)
        done.set()

    first_write._wait_for(look)
    assert not done.is_set()
    go_on.set()
    assert done.wait(60)


@pytest.mark.fuse
def test_an_unlink_beside_the_first_write_harms_neither(
    cluster_factory: ClusterFactory,
) -> None:
    """The unlink has the directory locked and waits for the write, which waits for a look there."""
    cluster = cluster_factory(replicas=0)
    for number in range(2):
        path = cluster.primary.database(f"{number}.db")
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            remover = threading.Thread(target=os.unlink, args=(path,))
            remover.start()
            os.pwrite(fd, bytes(512), 0)
            remover.join(60)
            assert not remover.is_alive()
        finally:
            os.close(fd)
    assert wait_until(lambda: not list(cluster.primary.mount.glob("*.db")), 10)
