"""Nodes whose mounts are told of every lock: what they tell, and what they know by it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode, is_mounted
from pylitefs.cluster.nursery import Nursery
from tests.cluster.checks import eventually, wait_level
from tests.cluster.clients import Client, Clients

pytestmark = pytest.mark.fuse


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery | None) -> Iterator[Cluster]:
    """A primary and a replica for the whole module."""
    cluster = Cluster(tmp_path_factory.mktemp("observed"), replicas=1, controlled=True, nursery=nursery)
    for node in cluster:
        node.arguments = ("--observed-locks",)
    with cluster:
        yield cluster
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.fixture
def clients(shared: Cluster) -> Iterator[Clients]:
    del shared
    made = Clients()
    yield made
    made.discard_all()


class Recorder:
    """What a node tells from now on, of one database."""

    def __init__(self, node: ClusterNode, database: str) -> None:
        self.database = database
        self.events: list[dict[str, Any]] = []
        assert node.control is not None
        node.control.record(self._keep)

    def _keep(self, message: Any) -> None:
        event = message["event"]
        if event["database"] == self.database:
            self.events.append(event)

    def locks(self, name: str, **payload: object) -> list[dict[str, Any]]:
        return [
            event
            for event in list(self.events)
            if event["name"] == name and payload.items() <= event["payload"].items()
        ]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [("delete", "PENDING+RESERVED+EXCLUSIVE"), ("wal", "WRITE+CKPT+RECOVER+READ0+READ1+READ2+READ3+READ4")],
)
def test_an_apply_is_told_between_its_locks(
    shared: Cluster, database: str, clients: Clients, mode: str, wanted: str
) -> None:
    """Every one of them at once, the pages, and the release: the applier's, by its process."""
    (replica,) = shared.replicas
    writer = clients(shared.primary, database)
    writer.sql(f"PRAGMA journal_mode={mode}", "CREATE TABLE t (x)")
    wait_level(shared, database)
    told = Recorder(replica, database)
    writer.sql("INSERT INTO t VALUES (1)")
    wait_level(shared, database)

    def applies() -> list[int]:
        """Where the newest transaction's pages are told; those of the one before may come late."""
        pages = [
            (event["txid"], at) for at, event in enumerate(list(told.events)) if event["name"] == "page.apply"
        ]
        return [at for txid, at in pages if txid == max(pages)[0]]

    def places(name: str) -> list[int]:
        return [told.events.index(event) for event in told.locks(name, lock=wanted)]

    eventually(
        lambda: bool(applies() and max(places("lock.release"), default=-1) > applies()[0]), "its release"
    )
    first = applies()[0]
    at = max((place for place in places("lock.acquire") if place < first), default=None)
    assert at is not None and not any(at < place < first for place in places("lock.release"))
    acquired = told.events[at]
    assert acquired["payload"]["applier"] is True and acquired["payload"]["kind"] == "write"
    assert acquired["payload"]["file"] == ("shm" if mode == "wal" else "database")
    assert b"applier.process" in Path(f"/proc/{acquired['pid']}/cmdline").read_bytes()
    writer.close()


def test_a_reader_in_the_way_of_an_apply_is_told_and_named_in_the_log(
    shared: Cluster, database: str, clients: Clients
) -> None:
    (replica,) = shared.replicas
    writer = clients(shared.primary, database)
    writer.sql("CREATE TABLE t (x)")
    wait_level(shared, database)
    reader = clients(replica, database)
    reader.sql("BEGIN", "SELECT * FROM t")
    told = Recorder(replica, database)
    writer.sql("INSERT INTO t VALUES (1)")
    eventually(lambda: f"(process {reader.pid}) holds SHARED" in replica.log.read_text(), "the log line")
    refusals = told.locks("lock.busy", applier=True)
    assert 1 <= len(refusals) < 10, "told once for each lock, however often it asks"
    assert f"(process {reader.pid})" in refusals[0]["payload"]["holder"]
    reader.sql("COMMIT")
    wait_level(shared, database)
    assert reader.sql("SELECT * FROM t") == [[1]]


@pytest.mark.parametrize("mode", ["memory", "off"])
def test_who_writes_without_a_journal_is_seen_by_his_locks(
    shared: Cluster, database: str, clients: Clients, mode: str
) -> None:
    """The capture waits for the writer's lock to go, which is asked for in a callback of its own here."""
    writer = clients(shared.primary, database)
    writer.sql("CREATE TABLE t (x)")
    writer.sql(f"PRAGMA journal_mode={mode}")
    for number in range(5):
        writer.sql(f"INSERT INTO t VALUES ({number})")
    wait_level(shared, database)
    reader = clients(shared.replicas[0], database)
    eventually(lambda: reader.sql("SELECT count(*) FROM t") == [[5]], "the rows on the replica")


def test_a_wal_is_removed_by_whom_the_database_is_locked_alone(
    shared: Cluster, database: str, clients: Clients
) -> None:
    """By the mount's own account of locks: `rm` is refused, SQLite at its last close is not."""
    node = shared.primary
    writer = clients(node, database)
    writer.sql("PRAGMA journal_mode=wal", "CREATE TABLE t (x)")
    wal = node.database(f"{database}-wal")
    done = subprocess.run(["rm", wal], stderr=subprocess.PIPE, timeout=10, env={"LC_ALL": "C"})
    assert b"busy" in done.stderr
    assert f"removing {database}-wal" in node.log.read_text()
    writer.close()
    assert not (node.data / "dbs" / database / "wal").exists()


def test_a_killed_writer_s_transaction_is_rolled_back_by_the_next(
    shared: Cluster, database: str, clients: Clients
) -> None:
    """Its locks are gone with it, so its journal is hot."""
    victim: Client = clients(shared.primary, database)
    victim.sql("CREATE TABLE t (x)", "INSERT INTO t VALUES (0)")
    told = Recorder(shared.primary, database)
    victim.sql("PRAGMA cache_size=1", "BEGIN IMMEDIATE")
    victim.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "INSERT INTO t SELECT randomblob(500) FROM n"
    )
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: bool(told.locks("lock.release", first=0)), "the release")
    other = clients(shared.primary, database)
    assert other.sql("SELECT count(*) FROM t") == [[1]]
    wait_level(shared, database)
