"""A cluster of real processes: it comes up, says why if it does not, and leaves nothing behind."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterError, is_mounted, wait_until
from tests.conftest import ClusterFactory
from tests.test_signals import signal_thread

pytestmark = pytest.mark.fuse


def execute(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db, db:
        return db.execute(sql).fetchall()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_rows_follow_to_every_replica(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory(replicas=2)
    execute(cluster.primary.database("a.db"), "CREATE TABLE t AS SELECT 7 AS x")
    cluster.wait_synced()
    position = cluster.primary.database("a.db-pos").read_text()
    for node in cluster.replicas:
        assert node.database("a.db-pos").read_text() == position
        assert execute(node.database("a.db"), "SELECT x FROM t") == [(7,)]
        assert (node.mount / ".primary").read_text() == "n1\n"


def test_after_stop_nothing_is_mounted_or_running(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, replicas=1)
    cluster.start()
    pids = [node.pid for node in cluster]
    children = [child for pid in pids for child in children_of(pid)]
    assert cluster.stop() == {"n1": 0, "n2": 0}
    assert not any(map(is_running, [*pids, *children]))
    assert not any(is_mounted(node.mount) for node in cluster)


def test_a_node_ends_whichever_of_its_threads_takes_the_signal(cluster_factory: ClusterFactory) -> None:
    """The kernel gives it to the main thread, but one that begins another thread just then takes it first."""
    (node,) = cluster_factory(replicas=0)
    tasks = Path(f"/proc/{node.pid}/task")
    takers = [int(task.name) for task in tasks.iterdir() if not blocks(task, signal.SIGTERM)]
    takers.remove(node.pid)
    assert takers
    signal_thread(node.pid, max(takers), signal.SIGTERM)
    assert node.wait(10) == 0


def blocks(task: Path, number: int) -> bool:
    (mask,) = (line.split()[1] for line in (task / "status").read_text().splitlines() if "SigBlk" in line)
    return bool(int(mask, 16) >> (number - 1) & 1)


def children_of(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()]  # fmt: skip


def test_a_killed_parent_takes_its_nodes_along(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, time; from pylitefs.cluster.cluster import Cluster; "
        f"c = Cluster(pathlib.Path({str(tmp_path)!r}), 1); c.start(); "
        "print(*(n.pid for n in c), flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2 and all(map(is_running, pids))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not any(map(is_running, pids)), 15)
    mounts = [tmp_path / name / "mnt" for name in ("n1", "n2")]
    assert not any(map(is_mounted, mounts))


def test_a_node_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, replicas=1, node_settings={"n2": {"lease": {"type": "consul"}}})
    with pytest.raises(
        ClusterError, match=r"node n2 ended with exit code 2:\n.*lease\.consul\.key: required"
    ):
        cluster.start()
    assert not any(is_mounted(node.mount) or node.pid for node in cluster)


def test_a_killed_primary_comes_back_over_its_dead_mount(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory(replicas=1)
    primary, replica = cluster.nodes
    execute(primary.database("a.db"), "CREATE TABLE t AS SELECT 1 AS x")
    primary.kill9()
    assert is_mounted(primary.mount), "as after a crash"
    primary.restart()
    execute(primary.database("a.db"), "INSERT INTO t VALUES (2)")
    cluster.wait_synced()
    assert execute(replica.database("a.db"), "SELECT x FROM t") == [(1,), (2,)]


def test_a_killed_replica_catches_up(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory(replicas=1)
    primary, replica = cluster.nodes
    execute(primary.database("a.db"), "CREATE TABLE t (x)")
    replica.kill9()
    for n in range(3):
        execute(primary.database("a.db"), f"INSERT INTO t VALUES ({n})")
    replica.restart()
    cluster.wait_synced()
    assert execute(replica.database("a.db"), "SELECT count(*) FROM t") == [(3,)]


def test_a_controlled_node_is_held_and_released(tmp_path: Path) -> None:
    """A gate holds a commit in the middle; the transaction's position is not moved until its release."""
    with Cluster(tmp_path, replicas=0, controlled=True) as cluster:
        node = cluster.primary
        assert node.control
        gate = node.control.gate("pos.advance")
        sql = "CREATE TABLE t AS SELECT 1 AS x"
        writer = subprocess.Popen(["sqlite3", str(node.database("a.db")), sql])
        event = gate.wait(10)
        assert event and event["name"] == "pos.advance"
        assert writer.poll() is None
        gate.release()
        gate.close()
        assert writer.wait(10) == 0
        assert cluster.stop() == {"n1": 0}


def test_settings_are_merged_over_every_node_s_config(tmp_path: Path) -> None:
    cluster = Cluster(
        tmp_path,
        replicas=1,
        settings={"data": {"compress": False}},
        node_settings={"n2": {"lease": {"databases": ["a.db"]}}},
    )
    first, second = (cluster.config_of(node) for node in cluster)
    assert first["data"] == {"dir": str(tmp_path / "n1/data"), "compress": False}
    assert first["lease"] != second["lease"]
    assert second["lease"] == {
        "type": "static",
        "hostname": "n1",
        "advertise-url": cluster.primary.url,
        "candidate": False,
        "databases": ["a.db"],
    }


def test_cluster_json_says_who_is_there(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, replicas=1)
    described = json.loads(json.dumps(cluster.description()))
    assert described["pid"] == os.getpid()
    assert [node["name"] for node in described["nodes"]] == ["n1", "n2"]
    assert described["nodes"][1]["mount"] == str(tmp_path / "n2/mnt")


@pytest.mark.fuse
def test_a_node_that_was_stopped_in_the_middle_ends_in_order(cluster_factory: ClusterFactory) -> None:
    """As after `kill -STOP`, by a class that tries what a sleeping primary does: it hears nothing then."""
    (node,) = cluster_factory(replicas=0)
    node.signal(signal.SIGSTOP)
    assert node.stop() == 0
    assert not is_mounted(node.mount)
