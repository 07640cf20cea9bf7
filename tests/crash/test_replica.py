"""Replicas are killed with `kill -9` at the tracepoints of an apply; the primary goes on, and so do they."""

from itertools import pairwise

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.crash.harness import HANG_S, ROW, Writer, assert_equal_everywhere, write_row

pytestmark = pytest.mark.fuse

POINTS = ("stream.receive", "ltx.verify", "ltx.store", "page.apply", "pos.advance")
PAIRS = (("stream.receive", "ltx.verify"), ("ltx.store", "page.apply"), ("pos.advance", "ltx.store"))
"""At which point each of the two replicas is killed."""


@pytest.mark.parametrize(
    ("mode", "points", "snapshot"),
    [
        ("delete", PAIRS[0], False),
        ("wal", PAIRS[1], False),
        ("delete", PAIRS[1], True),
        ("wal", PAIRS[2], False),
        *(
            pytest.param(mode, points, snapshot, marks=pytest.mark.full)
            for mode in ("delete", "wal", "persist")
            for points in pairwise((*POINTS, POINTS[0]))
            for snapshot in (False, True)
        ),
    ],
)
def test_killed_replicas_catch_up_while_the_primary_goes_on(
    cluster: Cluster, request: pytest.FixtureRequest, mode: str, points: tuple[str, str], snapshot: bool
) -> None:
    """In the middle of a transaction, or (`snapshot`) of their first sight of a database."""
    name = f"replica-{mode}-{'-'.join(points)}-{snapshot}.db"
    if request.node.get_closest_marker("full"):
        name = f"full-{name}"
    writer = Writer(cluster.primary.database(name))
    try:
        writer.run(f"PRAGMA journal_mode={mode}")
        table = ["CREATE TABLE t (id INTEGER PRIMARY KEY, x)", ROW, ROW]
        if not snapshot:
            writer.run(*table)
            cluster.wait_synced(20)
        gates = []
        for replica, point in zip(cluster.replicas, points, strict=True):
            assert replica.control is not None
            gates.append(replica.control.gate(point, database="" if point == "stream.receive" else name))
        writer.run(*(table if snapshot else [ROW]))
        for gate, point in zip(gates, points, strict=True):
            event = gate.wait(HANG_S)
            assert event is not None and event["name"] == point
        for replica in cluster.replicas:
            replica.kill9()
        writer.run(ROW)
        ((rows,),) = writer.run("SELECT count(*) FROM t")
    finally:
        writer.end()
        for replica in cluster.replicas:
            if not replica.pid:
                replica.start()
        for replica in cluster.replicas:
            replica.wait_ready()
    assert rows == (3 if snapshot else 4)
    assert_equal_everywhere(cluster, [name])
    write_row(cluster.primary, name)
    assert_equal_everywhere(cluster, [name])
