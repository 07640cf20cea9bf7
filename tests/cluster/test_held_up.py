"""A reader that stays on one database of a replica: the others follow as ever, on real mounts."""

import sqlite3
from contextlib import ExitStack, closing

import pytest

from pylitefs.cluster.cluster import Cluster, wait_until
from tests.cluster.checks import txid, wait_level
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

COMMITS = 20


def writer(cluster: Cluster, stack: ExitStack, name: str, mode: str) -> sqlite3.Connection:
    db = stack.enter_context(closing(sqlite3.connect(cluster.primary.mount / name, isolation_level=None)))
    db.execute(f"PRAGMA journal_mode={mode}")
    db.execute("CREATE TABLE t (x)")
    return db


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_reader_that_stays_holds_up_its_own_database_alone(
    cluster_factory: ClusterFactory, mode: str
) -> None:
    """Its snapshot stays, the lag says that something waits, and then all comes in order."""
    cluster = cluster_factory(replicas=1)
    (replica,) = cluster.replicas
    with ExitStack() as stack:
        a, b = (writer(cluster, stack, name, mode) for name in ("a.db", "b.db"))
        for name in ("a.db", "b.db"):
            wait_level(cluster, name)
        reader = stack.enter_context(closing(sqlite3.connect(replica.mount / "a.db", isolation_level=None)))
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        before = txid(replica, "a.db")
        for number in range(COMMITS):
            a.execute(f"INSERT INTO t VALUES ({number})")
            b.execute(f"INSERT INTO t VALUES ({number})")
            wait_level(cluster, "b.db")
        assert txid(replica, "a.db") == before
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
        assert wait_until(lambda: int((replica.mount / ".lag").read_text()) > 1000, 10), "the lag"
        reader.execute("COMMIT")
        wait_level(cluster, "a.db")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (COMMITS,)
        assert wait_until(lambda: int((replica.mount / ".lag").read_text()) < 1000, 10), "the lag"
    assert "Traceback" not in replica.log.read_text()
