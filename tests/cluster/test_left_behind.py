"""What a killed writer, or a damaged file, leaves behind on real nodes."""

import httpx
import pytest

from pylitefs.cluster.cluster import Cluster, wait_until
from tests.conftest import ClusterFactory
from tests.crash.harness import SPILL, Writer, ask, assert_equal_everywhere, exported

pytestmark = pytest.mark.fuse


def test_free_pages_of_a_killed_writer_reach_a_replica_and_the_next_start(
    cluster_factory: ClusterFactory,
) -> None:
    """An export rolls its journal back; what the free pages hold then is a transaction like any other."""
    cluster: Cluster = cluster_factory(replicas=1, settings={"data": {"retention": "1s"}})
    primary, name = cluster.primary, "a.db"
    path = primary.database(name)
    ask(path, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", *SPILL[1:], "COMMIT")
    ask(path, "DELETE FROM t WHERE id > 2", "INSERT INTO t VALUES (3, NULL)")
    before = primary.positions()[name]
    writer = Writer(path)
    writer.run(*SPILL)
    writer.end()
    exported(primary, name)
    assert primary.positions()[name].txid == before.txid + 1
    assert_equal_everywhere(cluster, [name])
    assert ask(path, "SELECT count(*) FROM t") == [[3]]
    # Again, and now nobody rolls it back before the node ends.
    ask(path, "DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (3, NULL)")
    writer = Writer(path)
    writer.run(*SPILL)
    writer.end()
    primary.kill9()
    for old in sorted((primary.dir / "data" / "dbs" / name / "ltx").iterdir())[:-1]:
        old.unlink()
    primary.restart()
    assert ask(path, "SELECT count(*) FROM t") == [[3]]
    assert_equal_everywhere(cluster, [name])


def test_a_damaged_database_is_set_aside_and_the_others_are_served(cluster_factory: ClusterFactory) -> None:
    cluster: Cluster = cluster_factory(replicas=1)
    primary, replica = cluster.primary, cluster.replicas[0]
    for name in ("bad.db", "good.db"):
        ask(
            primary.database(name),
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
            "INSERT INTO t VALUES (0, randomblob(20000))",
            "INSERT INTO t VALUES (1, 1)",
        )
    cluster.wait_synced(20)
    for node in (replica, primary):
        node.kill9()
        directory = node.dir / "data" / "dbs" / "bad.db"
        (directory / "database").write_bytes(b"SQLite format 3\0" + bytes(30))
        for old in sorted((directory / "ltx").iterdir())[:-1]:
            old.unlink()
        node.restart()
        with pytest.raises(OSError, match="Input/output error"):
            node.database("bad.db").open("rb")
        info = httpx.get(f"{node.url}/info", timeout=10, trust_env=False).json()
        assert list(info["setAside"]) == ["bad.db"]
        assert httpx.get(f"{node.url}/export?name=bad.db", timeout=10, trust_env=False).status_code == 503
    ask(primary.database("good.db"), "INSERT INTO t VALUES (2, 2)")
    assert wait_until(lambda: replica.positions().get("good.db") == primary.positions()["good.db"], 20), (
        "the replica follows the others"
    )
    assert ask(replica.database("good.db"), "SELECT count(*) FROM t") == [[3]]
