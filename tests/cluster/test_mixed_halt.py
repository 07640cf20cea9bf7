"""The HALT lock between pylitefs and real LiteFS: a replica of the one, a primary of the other.

For who has `litefs` v0.5.14 on the PATH: it is looked for as `pylitefs compare` does.
"""

import fcntl
import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, wait_until
from pylitefs.compare.programs import Program, ProgramError, find
from tests.cluster.halting import bump, connect, counted, made, wait_level
from tests.cluster.test_mixed_lease import RealNode

pytestmark = [pytest.mark.fuse, pytest.mark.full]


@pytest.fixture(scope="module")
def litefs() -> Program:
    try:
        return find(None)
    except ProgramError as error:
        pytest.skip(str(error))


@contextmanager
def mixed(directory: Path, litefs: Program, which: int) -> Iterator[Cluster]:
    """Two nodes, the one of that number (0: the primary) of real LiteFS."""
    cluster = Cluster(directory, 1)
    own = cluster.nodes[which]
    real = RealNode(own.name, own.dir, own.port, is_primary=own.is_primary)
    real.program = litefs
    cluster.nodes[which] = real
    with cluster:
        yield cluster
        for node in cluster:
            print(f"--- {node.name}\n{node.log_tail(60)}")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As LiteFS's client libraries do it, which is right on both."""
    fd = os.open(f"{path}-lock", os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLKW, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 72, 1, 0))
        yield
        fcntl.fcntl(fd, fcntl.F_SETLKW, struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 72, 1, 0))
    finally:
        os.close(fd)


@pytest.mark.parametrize("which", [0, 1], ids=["real-primary", "real-replica"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_replica_of_the_one_writes_on_a_primary_of_the_other(
    tmp_path: Path, litefs: Program, mode: str, which: int
) -> None:
    """Ten times to and fro: each update is counted once, and both nodes end where they should."""
    with mixed(tmp_path, litefs, which) as cluster:
        path = made(cluster, mode)
        replica = cluster.replicas[0].database("c.db")
        for number in range(1, 21, 2):
            with locked(replica), closing(connect(replica)) as here:
                assert bump(here) == number

            def on_primary(wanted: int = number + 1) -> bool:
                try:
                    with closing(connect(path)) as there:
                        return bump(there) == wanted
                except sqlite3.OperationalError:
                    return False

            assert wait_until(on_primary, 20)
            wait_level(cluster, "c.db")
        for node in cluster:
            with closing(connect(node.database("c.db"))) as db:
                assert counted(db) == 20
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert replica.with_name("c.db-pos").read_text() == path.with_name("c.db-pos").read_text()
