"""A replica's disk is full: it keeps its position, nobody reads a half, and with room again it goes on.
On a real mount, over a small tmpfs."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pylitefs.cli import main
from pylitefs.cluster.cluster import Cluster, ClusterNode, node_facts, wait_until
from pylitefs.cluster.nursery import Nursery
from pylitefs.ltx.position import Pos
from tests.crash.harness import HANG_S, ROW, Writer, ask, assert_equal_everywhere
from tests.crash.test_full_disk import SIZE, fill

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk"),
]

NAME = "a.db"
ROWS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
    "INSERT INTO t (x) SELECT zeroblob(4000) FROM n"
)
UPDATE = "UPDATE t SET x = zeroblob(3000)"
STOP_S = 12.0


@pytest.fixture
def full_replica(tmp_path: Path, nursery: Nursery | None) -> Iterator[Cluster]:
    """A primary, and a replica whose data directory is a disk of its own."""
    settings = {"lease": {"reconnect-delay": "100ms"}}
    cluster = Cluster(tmp_path, replicas=1, controlled=True, settings=settings, nursery=nursery)
    data = cluster.replicas[0].data
    data.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", data], check=True)
    try:
        with cluster:
            yield cluster
    finally:
        subprocess.run(["umount", data], check=True)


def half_applied(cluster: Cluster, mode: str) -> tuple[dict[str, Pos], Path]:
    """A transaction is durable on the replica, and the disk takes a part of its pages: the position before
    it, and the file whose end makes room."""
    primary, replica = cluster.primary, cluster.replicas[0]
    ask(
        primary.database(NAME),
        f"PRAGMA journal_mode={mode}",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x)",
        ROW,
    )
    cluster.wait_synced()
    before = replica.positions()
    assert replica.control is not None
    gate = replica.control.gate("ltx.store", database=NAME)
    ballast = replica.data / "ballast"
    try:
        ask(primary.database(NAME), "BEGIN", UPDATE, ROWS, "COMMIT")
        assert gate.wait(HANG_S) is not None
        fill(ballast, leave=128 << 10)
    finally:
        gate.close()
    return before, ballast


def assert_nobody_reads_a_half(replica: ClusterNode, before: dict[str, Pos]) -> None:
    """The database is locked, or as it was: never "malformed", never a part of the rows."""
    for _ in range(3):
        reader = Writer(replica.database(NAME))
        try:
            reader.send("PRAGMA busy_timeout=100", "PRAGMA integrity_check", "SELECT count(*) FROM t")
            answer = reader.answer()
        finally:
            reader.end()
        assert answer.get("ok") == [[1]] or answer.get("error") == "database is locked", answer
        assert replica.positions() == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_an_apply_that_runs_out_of_room_is_finished_when_there_is_some(
    full_replica: Cluster, mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    primary, replica = full_replica.primary, full_replica.replicas[0]
    before, ballast = half_applied(full_replica, mode)
    waits = "written in part and waits: No space left"
    try:
        assert wait_until(lambda: waits in replica.log.read_text(), HANG_S)
        assert_nobody_reads_a_half(replica, before)
        assert main.run(["status", "--url", replica.url]) == 0
        told = capfd.readouterr().err
        assert f"the disk of {replica.data} is full: make room (since " in told
        assert "pylitefs_disk_trouble 1" in metrics(replica)
    finally:
        ballast.unlink()
    full_replica.wait_synced(20)
    assert ask(replica.database(NAME), "SELECT count(*) FROM t") == [[201]]
    assert_equal_everywhere(full_replica, [NAME])
    assert replica.log.read_text().count(waits) == 1
    assert node_facts(replica.url)["disk"] == "" and "pylitefs_disk_trouble 0" in metrics(replica)
    ask(primary.database(NAME), ROW)
    assert_equal_everywhere(full_replica, [NAME])


@pytest.mark.parametrize(("mode", "end"), [("delete", "kill"), ("wal", "stop")])
def test_a_replica_that_ends_in_the_middle_of_an_apply_starts_once_there_is_room(
    full_replica: Cluster, mode: str, end: str
) -> None:
    """Its end takes seconds, though the disk lasts in its state; a start without room says what is wrong."""
    replica = full_replica.replicas[0]
    _, ballast = half_applied(full_replica, mode)
    more = ballast.with_name("more")
    try:
        assert wait_until(lambda: "written in part and waits" in replica.log.read_text(), HANG_S)
        began = time.monotonic()
        if end == "kill":
            replica.kill9()
        else:
            assert replica.stop() == 0, replica.log_tail()
        assert time.monotonic() - began < STOP_S
        fill(more, leave=0)
        replica.start()
        assert replica.wait(HANG_S) == 1
        said = replica.log_tail(3)
        assert f"cannot start: the disk of {replica.data} is full: make room, then start again" in said
        assert "a bug in pylitefs" not in said
    finally:
        ballast.unlink()
        more.unlink(missing_ok=True)
    replica.restart()
    full_replica.wait_synced(20)
    assert ask(replica.database(NAME), "SELECT count(*) FROM t") == [[201]]
    assert_equal_everywhere(full_replica, [NAME])


@pytest.mark.full
def test_a_replica_on_a_full_disk_is_one_line_here_and_few_there(full_replica: Cluster) -> None:
    """However often it tries: its log says it once, the primary's that it comes again and again."""
    primary, replica = full_replica.primary, full_replica.replicas[0]
    ask(primary.database(NAME), "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW)
    full_replica.wait_synced()
    ballast = replica.data / "ballast"
    fill(ballast, leave=0)
    began, lines = sent(primary), len(replica.log.read_text().splitlines())
    told = len(primary.log.read_text().splitlines())
    try:
        ask(primary.database(NAME), ROWS)
        assert wait_until(lambda: sent(primary) - began >= 6, 60), "a first try, and five more"
        new = replica.log.read_text().splitlines()[lines:]
        assert len(new) == 1, new
        assert f"the disk of {replica.data} is full: make room. Until then commits fail" in new[0]
        new = primary.log.read_text().splitlines()[told:]
        assert len([line for line in new if "stream to replica" in line]) <= 4, new
        assert len([line for line in new if "connects again and again" in line]) == 1, new
        assert len(new) <= 5, new
    finally:
        ballast.unlink()
    full_replica.wait_synced(20)
    assert replica.log.read_text().count("takes transactions again") == 1
    assert wait_until(lambda: "lasts now, after" in primary.log.read_text(), 20)


def sent(primary: ClusterNode) -> int:
    """How many LTX files the primary has sent."""
    lines = [
        line for line in metrics(primary).splitlines() if line.startswith("litefs_http_frame_send_count{")
    ]
    return sum(int(line.rpartition(" ")[2]) for line in lines if 'type="ltx"' in line)


def metrics(node: ClusterNode) -> str:
    return httpx.get(f"{node.url}/metrics", timeout=10, trust_env=False).text
