"""What nodes hold in memory beside clients that read nothing, and while a large database goes through."""

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.http import client
from tests.conftest import ClusterFactory
from tests.http.test_back_pressure import Client

pytestmark = [pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(600)]

EXPORTS = 8
LARGE_MB = 500
SETTLED_S = 3.0
"""So long the memory of exports has to stay as it is, to count as what they take."""


@pytest.fixture(scope="module")
def nursery() -> None:
    """A forked node shares memory."""


def memory(node: ClusterNode, key: str = "VmRSS") -> float:
    """MiB that the node's process has now, or (VmHWM) had at most since `forget_peak`."""
    for line in Path(f"/proc/{node.pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no {key}")


def forget_peak(node: ClusterNode) -> float:
    """Count the peak from now on; what there is now."""
    Path(f"/proc/{node.pid}/clear_refs").write_text("5")
    return memory(node)


def make(path: Path, megabytes: int) -> Path:
    """A database of about that size, whose bytes cannot be compressed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous=off")
        db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        db.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{megabytes * 256}) "
            "INSERT INTO t(b) SELECT randomblob(4000) FROM n"
        )
    return path


def load(node: ClusterNode, path: Path) -> None:
    with path.open("rb") as file:
        client.import_(node.url, "a.db", file, size=path.stat().st_size)


def test_exports_to_clients_that_read_nothing_take_no_memory(
    cluster_factory: ClusterFactory, tmp_path: Path
) -> None:
    """Eight exports of 50 MB to clients with a window of 0 take less than 4 MiB each: it was all of it."""
    node = cluster_factory(0).primary
    load(node, make(tmp_path / "source.db", 50))
    with closing(sqlite3.connect(node.database("a.db"))) as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (50 * 256,)
    before = forget_peak(node)
    with ExitStack() as stack:
        for _ in range(EXPORTS):
            stack.enter_context(Client(node.port, window=0, path="/export?name=a.db").socket)
        peak, since = memory(node, "VmHWM"), time.monotonic()
        while time.monotonic() - since < SETTLED_S:
            time.sleep(0.2)
            if memory(node, "VmHWM") > peak:
                peak, since = memory(node, "VmHWM"), time.monotonic()
    print(f"{before:.0f} to {peak:.0f} MiB")
    assert peak - before < 4 * EXPORTS


def test_a_large_database_takes_little_memory(cluster_factory: ClusterFactory, tmp_path: Path) -> None:
    """Import, start and join with 500 MB: what each takes beside an idle node, in MiB."""
    cluster = cluster_factory(1)
    (replica,) = cluster.replicas
    replica.stop()
    load(cluster.primary, make(tmp_path / "small.db", 1))  # What a node loads late is there by then.
    took = measure(cluster, make(tmp_path / "source.db", LARGE_MB))
    print(took)
    assert took["import"] < 24  # It was 30.
    assert took["start"] < 16  # 31.
    assert took["join, replica"] < 20  # 22.
    assert took["join, primary"] < 48  # 96.


def measure(cluster: Cluster, source: Path) -> dict[str, float]:
    primary, replica = cluster.nodes
    idle = forget_peak(primary)
    load(primary, source)
    took = {"import": memory(primary, "VmHWM") - idle}
    primary.restart(120)
    took["start"] = memory(primary, "VmHWM") - idle
    before = forget_peak(primary)
    replica.restart(120)
    cluster.wait_synced(120)
    took["join, primary"] = memory(primary, "VmHWM") - before
    took["join, replica"] = memory(replica, "VmHWM") - idle
    return took
