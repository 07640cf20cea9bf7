"""What a replica's clients are told: who reads is not turned away for an apply, who writes is told why."""

import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.cluster.checks import wait_level
from tests.conftest import ClusterFactory

pytestmark = pytest.mark.fuse

MODES = ("delete", "truncate", "persist", "wal")
READ_ONLY = "attempt to write a readonly database"


@pytest.fixture
def made(shared_cluster: Cluster, database: str) -> Iterator[sqlite3.Connection]:
    """A database of the test's own, level on all nodes; the connection on the primary."""
    with closing(sqlite3.connect(shared_cluster.primary.mount / database, isolation_level=None)) as db:
        yield db


def said(run: "subprocess.CompletedProcess[str]") -> str:
    return run.stderr.strip() or "it reads"


def write_then_read(cluster: Cluster, mode: str, rounds: int) -> Counter[str]:
    """`sqlite3` on the primary, then on the replica, as one line of shell; what the reads said."""
    primary, replica = (node.mount / f"{mode}.db" for node in (cluster.primary, cluster.replicas[0]))
    subprocess.run(["sqlite3", primary, f"PRAGMA journal_mode={mode}; CREATE TABLE t (x)"], check=True)
    wait_level(cluster, f"{mode}.db")
    line = f"sqlite3 {primary} 'INSERT INTO t VALUES (1)'; sqlite3 {replica} 'SELECT count(*) FROM t'"
    return Counter(
        said(subprocess.run(line, shell=True, capture_output=True, text=True)) for _ in range(rounds)
    )


@pytest.mark.full
@pytest.mark.parametrize("mode", MODES)
def test_who_writes_on_the_primary_reads_on_the_replica_three_hundred_times(
    cluster_factory: ClusterFactory, mode: str
) -> None:
    """The shell has no busy timeout. Without waits about one read in ten is "database is locked"."""
    assert write_then_read(cluster_factory(replicas=1), mode, 300) == {"it reads": 300}


@pytest.mark.parametrize("mode", MODES)
def test_who_writes_on_a_replica_is_told_that_it_is_read_only(
    shared_cluster: Cluster, made: sqlite3.Connection, database: str, mode: str
) -> None:
    """Also the first client of a database in WAL mode, which finds neither WAL nor index; and it reads on."""
    made.execute(f"PRAGMA journal_mode={mode}")
    made.execute("CREATE TABLE t (x)")
    wait_level(shared_cluster, database)
    with closing(sqlite3.connect(shared_cluster.replicas[0].mount / database, isolation_level=None)) as db:
        for n in range(3):
            for statement in ("INSERT INTO t VALUES (0)", "CREATE TABLE u (x)", "VACUUM"):
                with pytest.raises(sqlite3.OperationalError, match=READ_ONLY):
                    db.execute(statement)
            made.execute("INSERT INTO t VALUES (1)")
            wait_level(shared_cluster, database)
            assert db.execute("SELECT count(*) FROM t").fetchone() == (n + 1,)
    log = shared_cluster.replicas[0].log.read_text()
    assert "the disk of" not in log


def outcome(db: sqlite3.Connection, statement: str) -> str:
    try:
        db.execute(statement)
    except sqlite3.OperationalError as error:
        return str(error)
    return "it goes through"


def test_what_programs_say_on_opening_goes_through_on_a_replica(
    shared_cluster: Cluster, made: sqlite3.Connection, database: str, tmp_path: Path
) -> None:
    """The settings that libraries and frameworks send first.

    `optimize` is what it is on a file that may only be read: from SQLite 3.46 on a write, where nobody has
    run ANALYZE yet.
    """
    plain = tmp_path / "plain.db"
    with ExitStack() as stack:
        writer = stack.enter_context(closing(sqlite3.connect(plain, isolation_level=None)))
        for one in (made, writer):
            one.execute("PRAGMA journal_mode=wal")
            one.execute("CREATE TABLE t (x)")
        wait_level(shared_cluster, database)
        reader = stack.enter_context(closing(sqlite3.connect(f"{plain.as_uri()}?mode=ro", uri=True)))
        path = shared_cluster.replicas[0].mount / database
        db = stack.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
        for statement in (
            "PRAGMA journal_mode=wal",
            "PRAGMA synchronous=NORMAL",
            "PRAGMA foreign_keys=ON",
            "PRAGMA busy_timeout=5000",
            "PRAGMA journal_size_limit=1000000",
            "PRAGMA wal_autocheckpoint=1000",
        ):
            assert outcome(db, statement) == "it goes through", statement
        for statement in ("PRAGMA optimize=0x10002", "PRAGMA optimize"):
            assert outcome(db, statement) == outcome(reader, statement), statement
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)


def test_a_mode_that_changes_under_an_open_connection_does_not_stop_it(
    shared_cluster: Cluster, made: sqlite3.Connection, database: str
) -> None:
    """From a rollback mode to WAL and back: a replica's connection reads on and is refused as before."""
    made.execute("CREATE TABLE t (x)")
    wait_level(shared_cluster, database)
    replica = shared_cluster.replicas[0].mount / database
    with closing(sqlite3.connect(replica, isolation_level=None)) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
        for n, mode in enumerate(("wal", "delete", "wal"), start=1):
            made.execute(f"PRAGMA journal_mode={mode}")
            made.execute("INSERT INTO t VALUES (1)")
            wait_level(shared_cluster, database)
            with closing(sqlite3.connect(replica)) as late:
                for one in (db, late):
                    assert one.execute("SELECT count(*) FROM t").fetchone() == (n,)
                    with pytest.raises(sqlite3.OperationalError, match=READ_ONLY):
                        one.execute("DELETE FROM t")


def test_with_replica_wal_writable_it_is_an_io_error_as_in_litefs(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory(replicas=1, settings={"fuse": {"replica-wal": "writable"}})
    with closing(sqlite3.connect(cluster.primary.mount / "a.db", isolation_level=None)) as made:
        made.execute("PRAGMA journal_mode=wal")
        made.execute("CREATE TABLE t (x)")
        wait_level(cluster, "a.db")
        with closing(sqlite3.connect(cluster.replicas[0].mount / "a.db")) as db:
            with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
                db.execute("INSERT INTO t VALUES (0)")
                db.commit()
            db.rollback()
            assert db.execute("SELECT count(*) FROM t").fetchone() == (0,)
