"""SQLite 3.40 leaves frames in the WAL without checksums when a savepoint is taken back, and its readers see
them. So whoever ends that WAL copies them into the database as well."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from pylitefs.cluster.cluster import wait_until
from tests.cluster.clients import Clients
from tests.cluster.halting import bump, connect, halted, wait_level
from tests.cluster.halting import made as counter
from tests.cluster.leased import Leased
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

WRITES = (
    *("PRAGMA cache_size=1", "PRAGMA wal_autocheckpoint=0"),
    "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
    *("BEGIN", "SAVEPOINT s"),
    "INSERT INTO t (x) VALUES (randomblob(90000))",
    "INSERT INTO t (x) SELECT x FROM t",
    "UPDATE t SET x = randomblob(3000) WHERE id >= 2",
    *("ROLLBACK TO s", "INSERT INTO t (x) VALUES ('taken')", "COMMIT"),
)
"""Frames further on are written over and taken back, and the transaction is short."""
ROWS = "SELECT id, x FROM t ORDER BY id"


def write(db: sqlite3.Connection) -> None:
    for statement in WRITES:
        db.execute(statement)


def test_a_replica_s_transaction_with_the_halt_lock_keeps_what_the_primary_had(
    cluster_factory: ClusterFactory,
) -> None:
    """The primary's applier ends a WAL in which its clients have written."""
    cluster = cluster_factory(replicas=1)
    path = counter(cluster, "wal")
    replica = cluster.replicas[0]
    with closing(connect(path)) as there:
        write(there)
        wait_level(cluster, "c.db")
        with halted(replica, "c.db"), closing(connect(replica.database("c.db"))) as here:
            assert bump(here) == 1
            assert there.execute(ROWS).fetchall() == here.execute(ROWS).fetchall() == [(1, "taken")]
        assert there.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_replica_that_gives_the_halt_lock_back_keeps_what_it_wrote(
    cluster_factory: ClusterFactory,
) -> None:
    """Its applier ends the WAL that its client had."""
    cluster = cluster_factory(replicas=1)
    path = counter(cluster, "wal")
    replica = cluster.replicas[0]
    with closing(connect(replica.database("c.db"))) as here:
        with halted(replica, "c.db"):
            write(here)
            assert bump(here) == 1
        assert wait_until(lambda: (replica.data / "dbs" / "c.db" / "wal").stat().st_size == 0, 20)
        assert here.execute(ROWS).fetchall() == [(1, "taken")]
        with closing(connect(path)) as there:
            assert bump(there) == 2
        wait_level(cluster, "c.db")
        assert here.execute(ROWS).fetchall() == [(1, "taken")]
        assert here.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("stays", [True, False])
def test_an_old_primary_keeps_what_it_had(made: Callable[..., Leased], clients: Clients, stays: bool) -> None:
    """Its applier ends the WAL with the first transaction of the new one. Also where nobody has the WAL open
    any more, so that its index is lost: the client was killed."""
    leased = made()
    a, b = leased.nodes
    on_a = clients(a, "a.db", timeout=5.0)
    on_a.sql("PRAGMA journal_mode=wal", "CREATE TABLE other (x)", *WRITES)
    if not stays:
        on_a.kill9()
    leased.wait_same()
    assert leased.post(b, "/promote", wait="20s").status_code == 200
    leased.wait_primary(b)
    leased.wait_follows(a, b)
    assert clients(a, "a.db", timeout=5.0).sql(ROWS) == [[1, "taken"]]
    on_b = clients(b, "a.db", timeout=5.0)
    on_b.sql("INSERT INTO other VALUES ('next')")
    leased.wait_same()
    for client in (on_b, on_a if stays else clients(a, "a.db", timeout=5.0)):
        assert client.sql(ROWS) == [[1, "taken"]], client.name
        assert client.sql("SELECT x FROM other") == [["next"]]
        assert client.sql("PRAGMA integrity_check") == [["ok"]]


def test_a_primary_that_leads_again_keeps_what_it_had(made: Callable[..., Leased], clients: Clients) -> None:
    """It lost its lease, and its clients have closed the database meanwhile: they may not copy the WAL."""
    leased = made(1)
    (a,) = leased.nodes
    client = clients(a, "a.db", timeout=5.0)
    client.sql("PRAGMA journal_mode=wal", *WRITES)
    before = a.positions()
    leased.lease_links[a.name].cut()
    leased.until(lambda: not leased.is_primary(a), "the lease is over")
    client.close()
    leased.lease_links[a.name].heal()
    leased.wait_primary(a)
    again = clients(a, "a.db", timeout=5.0)
    assert again.sql(ROWS) == [[1, "taken"]]
    assert again.sql("PRAGMA integrity_check") == [["ok"]]
    assert a.positions() == before
