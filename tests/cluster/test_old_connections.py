"""Connections from before a crash of the node: what they do by name, they do to the mount that came after."""

import pytest

from tests.cluster.checks import assert_all_equal, txid, wait_level
from tests.cluster.clients import Clients
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

DB = "a.db"


def test_the_last_connection_to_a_dead_mount_takes_no_wal_away(
    cluster_factory: ClusterFactory, clients: Clients
) -> None:
    """It closes, finds itself alone on its own mount, and removes WAL and index by their names: refused, or
    what was committed on the new mount would be lost."""
    cluster = cluster_factory(replicas=1)
    primary = cluster.primary
    old = clients(primary, DB)
    old.sql("PRAGMA journal_mode=wal", "CREATE TABLE t (x)", "INSERT INTO t VALUES (0)")
    old.sql("PRAGMA wal_checkpoint(TRUNCATE)", "SELECT * FROM t")
    primary.kill9()
    primary.restart()
    writer = clients(primary, DB)
    for n in range(1, 4):
        writer.sql(f"INSERT INTO t VALUES ({n})")
    before = txid(primary, DB)
    old.ask("reconnect")
    assert txid(primary, DB) == before, primary.log_tail()
    writer.sql("INSERT INTO t VALUES (4)")
    wait_level(cluster, DB)
    for client in (old, writer, clients(primary, DB), clients(cluster.replicas[0], DB)):
        assert client.sql("SELECT group_concat(x) FROM t") == [["0,1,2,3,4"]]
    assert "removing a.db-wal" in primary.log.read_text()
    assert_all_equal(cluster, DB, clients)


def test_the_last_connection_of_all_takes_the_wal_away(
    cluster_factory: ClusterFactory, clients: Clients
) -> None:
    """As on a disk: whoever closes last leaves neither WAL nor index, and so does leaving WAL mode."""
    cluster = cluster_factory(replicas=0)
    one, other = clients(cluster.primary, DB), clients(cluster.primary, DB)
    one.sql("PRAGMA journal_mode=wal", "CREATE TABLE t (x)")
    other.sql("INSERT INTO t VALUES (0)")
    files = cluster.primary.data / "dbs" / DB
    one.close()
    assert (files / "wal").exists() and (files / "shm").exists()
    other.close()
    assert not (files / "wal").exists() and not (files / "shm").exists()
    one = clients(cluster.primary, DB)
    one.sql("INSERT INTO t VALUES (1)")
    assert (files / "wal").exists()
    one.sql("PRAGMA journal_mode=delete")
    assert not (files / "wal").exists() and not (files / "shm").exists()
