"""The promise of a position: who has read `DB-pos`, and then reads the database, sees no older data.

Whoever clears a cache on an event, or waits for a position, counts on it: on the primary and on a replica.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from tests.cluster.checks import assert_history_adds_up, eventually, txid, wait_level
from tests.cluster.clients import Clients
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

DB = "counted.db"
SYNCHRONOUS = ("normal", "full")


@pytest.mark.parametrize(
    ("mode", "reads"),
    [
        ("wal", 500),
        ("delete", 100),
        pytest.param("wal", 20_000, marks=pytest.mark.full),
        *(pytest.param(mode, 3000, marks=pytest.mark.full) for mode in ("delete", "truncate", "persist")),
    ],
)
def test_no_reader_sees_older_data_than_the_position_it_read(
    cluster_factory: ClusterFactory, clients: Clients, mode: str, reads: int
) -> None:
    """One client counts as fast as it can; on each node another reads the position and then the count."""
    cluster = cluster_factory(replicas=1)
    writer = clients(cluster.primary, DB, role="counter")
    writer.sql(f"PRAGMA journal_mode={mode}", "CREATE TABLE counter (n)", "INSERT INTO counter VALUES (0)")
    wait_level(cluster, DB)
    ahead = txid(cluster.primary, DB)
    readers = [clients(node, DB, role="promise", ahead=ahead, timeout=10.0) for node in cluster]
    for synchronous in SYNCHRONOUS:
        writer.sql(f"PRAGMA synchronous={synchronous}")
        for client in (writer, *readers):
            client.ask("run")
        goal = reads * (1 + SYNCHRONOUS.index(synchronous)) // len(SYNCHRONOUS)
        for reader in readers:
            eventually(lambda one=reader, to=goal: one.ask("report")["steps"] >= to, "reads", 120)  # type: ignore[misc]
        assert writer.ask("pause")["steps"] > 0
        found = [one.ask("pause") for one in readers]
        assert [(one["older"], one["errors"]) for one in found] == [(0, {})] * len(readers)


def test_who_has_just_committed_reads_its_own_position(
    cluster_factory: ClusterFactory, clients: Clients
) -> None:
    """After each commit of its own a client finds a position that has it, in the very next read."""
    cluster = cluster_factory(replicas=0)
    maker = clients(cluster.primary, DB)
    maker.sql("PRAGMA journal_mode=wal", "CREATE TABLE counter (n)", "INSERT INTO counter VALUES (0)")
    for synchronous in SYNCHRONOUS:
        client = clients(cluster.primary, DB, role="counter", ahead=txid(cluster.primary, DB))
        client.sql(f"PRAGMA synchronous={synchronous}")
        client.ask("run")
        eventually(lambda asked=client: asked.ask("report")["steps"] >= 100, "commits")  # type: ignore[misc]
        found = client.ask("pause")
        assert (found["older"], found["errors"]) == (0, {})
        client.close()


@pytest.mark.parametrize("imports", [3, pytest.param(40, marks=pytest.mark.full)])
def test_each_commit_before_an_import_has_its_own_position(
    cluster_factory: ClusterFactory, clients: Clients, imports: int, tmp_path: Path
) -> None:
    """A client counts as fast as it can while its database is imported again and again: each commit that it
    was told of, and each import, has moved the position by one."""
    cluster = cluster_factory(replicas=1)
    writer = clients(cluster.primary, DB, role="counter", timeout=20.0)
    made = ("PRAGMA journal_mode=wal", "CREATE TABLE counter (n)", "INSERT INTO counter VALUES (0)")
    writer.sql(*made, "PRAGMA synchronous=normal")
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as db, db:
        for statement in made:
            db.execute(statement)
    before = txid(cluster.primary, DB)
    writer.ask("run")
    for number in range(imports):
        eventually(lambda more=number: writer.ask("report")["steps"] > 5 * more, "commits")  # type: ignore[misc]
        assert run(["import", "-name", DB, "-url", cluster.primary.url, str(source)]) == 0
    found = writer.ask("pause")
    assert found["errors"] == {}
    wait_level(cluster, DB)
    assert txid(cluster.primary, DB) == before + found["steps"] + imports
    for node in cluster:
        assert_history_adds_up(node, DB)
