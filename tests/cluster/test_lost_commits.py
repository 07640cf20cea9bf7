"""A writer in WAL mode is killed between its commit frame and the WAL index: SQLite loses the transaction.

It is captured by then, and nobody was told. Whatever comes next (another writer, a checkpoint alone, another
journal mode, or nobody for a while), all nodes must end with what SQLite's own readers see on the primary,
and nothing that they do not see may ever have reached a replica.
"""

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.ltx.decoder import open_ltx
from tests.cluster.checks import assert_all_equal, ltx_files, txid, wait_level, wait_txid
from tests.cluster.clients import Client, Clients
from tests.cluster.halting import halted

pytestmark = pytest.mark.fuse

ROWS = "SELECT count(*), sum(length(b)), group_concat(x) FROM t"


Shared = tuple[Cluster, Clients, str]
"""The module's cluster, this test's clients and database."""

LOST = {
    "row": ["INSERT INTO t VALUES ('lost', randomblob(100))"],
    "grown": ["INSERT INTO t VALUES ('lost', randomblob(200000))"],
    "shrunk": ["DELETE FROM t", "VACUUM"],
    "table": ["CREATE TABLE u AS SELECT randomblob(9000) AS lost"],
    "changed": ["UPDATE t SET x = 'lost', b = randomblob(20000)"],
}
"""The last statement is the transaction that gets lost."""


@pytest.fixture
def shared(shared_cluster: Cluster, clients: Clients, database: str) -> Shared:
    return shared_cluster, clients, database


def keep_open(shared: Shared, lost: str, *, checkpointed: bool = False) -> Client:
    """A database in WAL mode and a connection to it that stays, with a WAL that goes on or begins anew."""
    cluster, clients, database = shared
    keeper = clients(cluster.primary, database)
    keeper.sql(
        "PRAGMA journal_mode=wal",
        "CREATE TABLE t (x, b)",
        "INSERT INTO t VALUES ('kept', randomblob(20000))",
        "INSERT INTO t VALUES ('kept', randomblob(20000))",
        *LOST[lost][:-1],
    )
    if checkpointed:
        keeper.sql("PRAGMA wal_checkpoint(RESTART)")
    return keeper


def lose_a_commit(shared: Shared, gate: str, sql: str, *, alone: bool = False) -> None:
    """Have a writer killed while it is held at the gate, its commit frame written, the index not."""
    cluster, clients, database = shared
    writer = clients(cluster.primary, database)
    writer.sql("SELECT count(*) FROM t")
    assert cluster.primary.control
    held = cluster.primary.control.gate(gate, database=database, pids=[writer.pid])
    before = txid(cluster.primary, database)
    try:
        writer.tell("sql", sql=[sql])
        event = held.wait(10)
        assert event and event["pid"] == writer.pid, event
        writer.kill9()
    finally:
        held.close()
    writer.process.wait(10)
    assert alone or txid(cluster.primary, database) == before, "SQLite's readers do not see it"


def assert_all_see(shared: Shared, rows: list[object]) -> None:
    """What SQLite's readers see on each node, before any checkpoint could mend it."""
    cluster, clients, database = shared
    wait_level(cluster, database)
    for node in cluster:
        assert clients(node, database).sql(ROWS) == rows, node.name
        assert_never_lost(node, database)


def assert_never_lost(node: ClusterNode, database: str) -> None:
    """No LTX file of this node holds a page with the word that was lost."""
    for path in ltx_files(node, database):
        with open_ltx(path) as decoder:
            assert not any(b"lost" in page for _, page in decoder.pages()), path


GATES = ("ltx.commit", "wal.commit")
FULL = pytest.mark.full
CASES = [
    pytest.param(gate, lost, id=f"{lost}-{gate}", marks=() if n % 2 == m % 2 else FULL)
    for n, lost in enumerate(LOST)
    for m, gate in enumerate(GATES)
]
"""Each loss at one of the gates; with --full at both."""


@pytest.mark.parametrize("checkpointed", [False, True], ids=["goes-on", "new-wal"])
@pytest.mark.parametrize(("gate", "lost"), CASES)
def test_another_writer_overwrites_it(shared: Shared, gate: str, lost: str, checkpointed: bool) -> None:
    """The next writer's transaction is made of what was published, on every node."""
    cluster, clients, database = shared
    keeper = keep_open(shared, lost, checkpointed=checkpointed)
    lose_a_commit(shared, gate, LOST[lost][-1])
    clients(cluster.primary, database).sql("INSERT INTO t VALUES ('next', randomblob(5000))")
    rows = keeper.sql(ROWS)
    assert "lost" not in str(rows) and "next" in str(rows)
    assert_all_see(shared, rows)
    assert_all_equal(cluster, database, clients)


@pytest.mark.parametrize(("gate", "lost"), CASES)
def test_a_replica_s_transaction_with_the_halt_lock_drops_it(shared: Shared, gate: str, lost: str) -> None:
    """The primary's applier ends that WAL: it copies what was told into the database, and no more."""
    cluster, clients, database = shared
    keeper = keep_open(shared, lost)
    lose_a_commit(shared, gate, LOST[lost][-1])
    replica = cluster.replicas[0]
    with halted(replica, database):
        clients(replica, database).sql("INSERT INTO t VALUES ('next', randomblob(5000))")
    rows = keeper.sql(ROWS)
    assert "lost" not in str(rows) and "next" in str(rows)
    assert_all_see(shared, rows)
    assert_all_equal(cluster, database, clients)


@pytest.mark.parametrize(("gate", "lost"), CASES)
def test_a_checkpoint_alone_drops_it(shared: Shared, gate: str, lost: str) -> None:
    """A TRUNCATE checkpoint takes the lost frames away, and every node goes back to what was published."""
    cluster, clients, database = shared
    keeper = keep_open(shared, lost)
    rows = keeper.sql(ROWS)
    lose_a_commit(shared, gate, LOST[lost][-1])
    assert clients(cluster.primary, database).sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0
    assert keeper.sql(ROWS) == rows
    assert_all_see(shared, rows)
    assert_all_equal(cluster, database, clients)


@pytest.mark.parametrize(("gate", "lost"), CASES)
def test_another_journal_mode_drops_it(shared: Shared, gate: str, lost: str) -> None:
    """The connection that kept the WAL alive leaves WAL mode; every node goes along."""
    cluster, clients, database = shared
    keeper = keep_open(shared, lost)
    lose_a_commit(shared, gate, LOST[lost][-1])
    assert keeper.sql("PRAGMA journal_mode=delete") == [["delete"]]
    keeper.sql("INSERT INTO t VALUES ('next', randomblob(5000))")
    rows = keeper.sql(ROWS)
    assert "lost" not in str(rows)
    assert_all_see(shared, rows)
    assert_all_equal(cluster, database, clients)


def test_where_nobody_is_left_the_next_client_brings_it_back(shared: Shared) -> None:
    """SQLite makes the index anew from the frames, with the commit in it: so it is told."""
    cluster, clients, database = shared
    keep_open(shared, "row").close()
    cluster_txid = txid(cluster.primary, database)
    lose_a_commit(shared, "ltx.commit", LOST["row"][-1], alone=True)
    next_client = clients(cluster.primary, database)
    rows = next_client.sql(ROWS)
    assert "lost" in str(rows)
    wait_txid(cluster.primary, database, cluster_txid + 1)
    wait_level(cluster, database)
    for node in cluster:
        assert clients(node, database).sql(ROWS) == rows, node.name
    assert_all_equal(cluster, database, clients)
