"""Full load with random faults: everything adds up at the end, and nothing has grown meanwhile."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, is_mounted
from pylitefs.cluster.nursery import Nursery
from pylitefs.lecture.live.links import Link
from tests.cluster.clients import Clients
from tests.soak.soaking import SETTINGS, Soak, own_errors, transactions

pytestmark = pytest.mark.fuse

WARM_S = 600.0
"""Until what a node remembers of its databases is all there."""
SUM_OF_POOLS = 20
"""Threads that libfuse and the event loop keep at most for later, beyond those that run at first."""


@pytest.fixture
def soak(tmp_path: Path, nursery: Nursery | None, seed: int) -> Iterator[Soak]:
    """Three nodes, and a link that can be cut before each replica."""
    by_node: dict[str, dict[str, object]] = {"n1": {}}
    clients = Clients()
    with ExitStack() as stack:
        cluster = Cluster(tmp_path, 2, settings=SETTINGS, node_settings=by_node, nursery=nursery)
        links = {node.name: stack.enter_context(Link(cluster.primary.port)) for node in cluster.replicas}
        for name, link in links.items():
            by_node[name] = {"lease": {"advertise-url": link.url}}
        stack.enter_context(cluster)
        stack.callback(clients.discard_all)
        yield Soak(cluster, clients, links, seed)
    clients.wait_all()
    assert not any(is_mounted(node.mount) for node in cluster)


@pytest.mark.parametrize(
    ("seconds", "gap"),
    [
        pytest.param(120, 0.4, id="two-minutes", marks=pytest.mark.timeout(600)),
        pytest.param(1800, 0.002, id="half-an-hour", marks=[pytest.mark.full, pytest.mark.timeout(3600)]),
    ],
)
def test_nothing_grows_and_nothing_is_lost(soak: Soak, seconds: int, gap: float) -> None:
    """Of the nodes that live through it: memory, descriptors and threads, at most 5 % more.

    In two minutes caches and pools of threads are still filling: only a leak with each fault would be seen.
    That run leaves the processors to the tests beside it.
    """
    soak.run(seconds, gap)
    grown = soak.grown()
    print(f"{transactions(soak.cluster)} transactions, faults: {json.dumps(soak.faults)}")
    for name, found in grown.items():
        print(f"{name}: {', '.join(map(str, found))}")
    every = [one for found in grown.values() for one in found]
    if seconds > WARM_S:
        assert not [str(one) for one in every if one.is_too_much]
    counted = [one for one in every if one.what != "memory"]
    assert not [str(one) for one in counted if one.late > one.early + SUM_OF_POOLS]
    assert [line for node in soak.cluster for line in own_errors(node)] == []
