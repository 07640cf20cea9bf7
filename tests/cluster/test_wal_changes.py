"""What WAL mode does beyond plain commits: shrinking, leaving, frames without a checksum."""

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.cluster.checks import assert_all_equal, txid, wait_level
from tests.cluster.clients import Clients

pytestmark = pytest.mark.fuse


def test_a_vacuum_that_shrinks_past_256_pages_is_replicated(
    shared_cluster: Cluster, clients: Clients, database: str
) -> None:
    """From about 360 pages to 50 in WAL mode, then an INSERT: both reach every node."""
    writer = clients(shared_cluster.primary, database)
    writer.sql("PRAGMA journal_mode=wal", "CREATE TABLE t (id INTEGER PRIMARY KEY, b)")
    insert = "INSERT INTO t SELECT value, randomblob(3500) FROM generate(400)"
    writer.sql(insert.replace("FROM generate(400)", f"FROM json_each('{list(range(400))}')"))
    writer.sql("DELETE FROM t WHERE id >= 50")
    assert writer.sql("PRAGMA page_count")[0][0] > 350
    before = txid(shared_cluster.primary, database)
    writer.sql("VACUUM")
    assert writer.sql("PRAGMA page_count")[0][0] < 60
    writer.sql("INSERT INTO t VALUES (1000, 'after')")
    assert txid(shared_cluster.primary, database) == before + 2
    wait_level(shared_cluster, database)
    for node in shared_cluster:
        assert clients(node, database).sql("SELECT count(*), max(b) FROM t WHERE id = 1000") == [[1, "after"]]
        assert clients(node, database).sql("SELECT count(*) FROM t") == [[51]]
    assert_all_equal(shared_cluster, database, clients)


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist"])
def test_leaving_wal_mode_on_a_live_database_is_replicated(
    shared_cluster: Cluster, clients: Clients, database: str, mode: str
) -> None:
    """After writes in WAL mode the database goes over to a rollback mode, is written, and comes back."""
    writer = clients(shared_cluster.primary, database)
    writer.sql("PRAGMA journal_mode=wal", "CREATE TABLE t (x, b)", "INSERT INTO t VALUES (1, zeroblob(9000))")
    wait_level(shared_cluster, database)
    readers = [clients(node, database) for node in shared_cluster.replicas]
    for there in (mode, "wal", mode):
        assert writer.sql(f"PRAGMA journal_mode={there}") == [[there]]
        writer.sql(f"INSERT INTO t VALUES ('{there}', randomblob(9000))", "UPDATE t SET b = randomblob(9000)")
        rows = writer.sql("SELECT count(*), group_concat(x) FROM t")
        wait_level(shared_cluster, database)
        for reader in readers:
            assert reader.sql("SELECT count(*), group_concat(x) FROM t") == rows, reader.name
    assert_all_equal(shared_cluster, database, clients)


@pytest.mark.parametrize("before", [0, 20], ids=["nothing-before", "pages-before"])
@pytest.mark.parametrize("after", [0, 20, 300], ids=["shorter", "short", "longer"])
def test_a_savepoint_rolled_back_after_pages_were_spilled(
    shared_cluster: Cluster, clients: Clients, database: str, before: int, after: int
) -> None:
    """SQLite (3.40) leaves frames of such a commit without salts and checksum; its readers see it, and so
    do the replicas', and the transaction that follows."""
    writer = clients(shared_cluster.primary, database)
    writer.sql(
        "PRAGMA page_size=1024", "PRAGMA journal_mode=wal", "PRAGMA cache_size=5", "CREATE TABLE t (id, b)"
    )
    # Statement by statement: a prepared INSERT ... SELECT would keep its pages pinned.
    inserts = [f"INSERT INTO t VALUES ({n}, randomblob(900))" for n in range(100)]
    writer.sql("BEGIN", *inserts[:before], "SAVEPOINT s", *inserts)
    writer.sql("UPDATE t SET b = randomblob(900) WHERE id >= 50", "ROLLBACK TO s", "RELEASE s")
    writer.sql(*(inserts * 3)[:after], "INSERT INTO t VALUES ('end', 0)", "COMMIT")
    count = [[before + after + 1]]
    assert writer.sql("SELECT count(*) FROM t") == count
    wait_level(shared_cluster, database)
    for node in shared_cluster:
        assert clients(node, database).sql("SELECT count(*) FROM t") == count, node.name
    writer.sql("INSERT INTO t VALUES ('next', 0)", "DELETE FROM t WHERE id < 10")
    rows = writer.sql("SELECT count(*), sum(length(b)) FROM t")
    wait_level(shared_cluster, database)
    for node in shared_cluster:
        assert clients(node, database).sql("SELECT count(*), sum(length(b)) FROM t") == rows, node.name
    assert_all_equal(shared_cluster, database, clients)
