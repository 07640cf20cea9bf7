"""The lease is handed over: nobody waits for its end, no write is lost, none is there twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise

import pytest

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.errors import RemoteError
from pylitefs.http import client
from tests.cluster.clients import Clients
from tests.cluster.leased import READONLY, Leased, opened, put, rows, sql

pytestmark = pytest.mark.fuse

MODES = ["wal", pytest.param("delete", marks=pytest.mark.full)]


class Writing:
    """A client on one node that inserts numbers of its own, one after the other, and notes the answers."""

    def __init__(self, clients: Clients, node: ClusterNode, first: int) -> None:
        self.acknowledged: list[int] = []
        self.times: list[float] = []
        self.errors: Counter[str] = Counter()
        self._client = clients(node, "a.db", timeout=5.0)
        self._next = first
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._next += 1
            said = put(self._client, self._next)
            if said == []:
                self.acknowledged.append(self._next)
                self.times.append(time.monotonic())
            else:
                self.errors[str(said)] += 1
                self._stop.wait(0.002)

    def has_more_than(self, count: int) -> bool:
        return len(self.acknowledged) > count

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def promoted(leased: Leased, target: ClusterNode) -> None:
    answer = leased.post(target, "/promote", wait="20s")
    assert (answer.status_code, answer.text) == (200, "")


def handoffs(
    leased: Leased, clients: Clients, count: int, promote: Callable[[Leased, ClusterNode], None]
) -> list[Writing]:
    """`count` handoffs under writes on both nodes, of which each first one goes to the second node."""
    a, b = leased.nodes
    writers = [Writing(clients, a, 0), Writing(clients, b, 1_000_000)]
    targets = [b, a]
    try:
        for number in range(count):
            target = targets[number % 2]
            promote(leased, target)
            writer = writers[(number + 1) % 2]
            leased.until(partial(writer.has_more_than, len(writer.acknowledged)), "the new primary writes")
    finally:
        for writer in writers:
            writer.stop()
    return writers


def to_and_fro(leased: Leased, clients: Clients, mode: str, count: int) -> None:
    """Afterwards everyone has each acknowledged row, once."""
    on_a = opened(clients, leased.nodes[0], mode)
    leased.wait_same()
    writers = handoffs(leased, clients, count, promoted)
    leased.wait_same()
    acknowledged = [n for writer in writers for n in writer.acknowledged]
    for writer in writers:
        assert set(writer.errors) <= set(READONLY), writer.errors
    times = sorted(moment for writer in writers for moment in writer.times)
    longest = max(later - one for one, later in pairwise(times))
    print(f"{count} handoffs, {len(acknowledged)} commits; the longest time without one: {longest:.3f} s")
    for node in leased.nodes:
        found = rows(clients(node, "a.db"))
        assert sorted(acknowledged) == found, set(found).symmetric_difference(acknowledged)
        assert not leased.lost(node)
    assert len(rows(on_a)) == len(acknowledged), "a connection that was there all the time"


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_the_lease_goes_to_and_fro_under_writes(
    made: Callable[..., Leased], clients: Clients, mode: str
) -> None:
    """Two writers, one on each node, and four handoffs."""
    to_and_fro(made(), clients, mode, 4)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["delete", "wal", "persist"])
def test_the_lease_goes_to_and_fro_fifty_times(
    made: Callable[..., Leased], clients: Clients, mode: str
) -> None:
    """The same, for long."""
    to_and_fro(made(), clients, mode, 50)


def test_a_node_is_promoted_at_its_start(made: Callable[..., Leased]) -> None:
    """`lease.promote`: it counts as started once it is the primary."""
    leased = made(2, node_settings={"n2": {"lease": {"promote": True}}})
    a, b = leased.nodes
    leased.wait_primary(b)
    leased.wait_follows(a, b)


@pytest.mark.parametrize("mode", MODES)
def test_a_handoff_waits_for_a_write_transaction_that_is_open(
    made: Callable[..., Leased], clients: Clients, mode: str
) -> None:
    """It commits, and is there. If it stays open the handoff is given up, with a line that says for whom."""
    leased = made(ttl=10.0)
    a, b = leased.nodes
    on_a = opened(clients, a, mode)
    leased.wait_same()
    assert sql(on_a, "BEGIN IMMEDIATE", "INSERT INTO t VALUES(1)") == []
    assert leased.post(b, "/promote").status_code == 200
    leased.until(lambda: "handoff unsuccessful" in a.log.read_text(), "it is given up")
    assert "locked" in a.log.read_text() or "holds" in a.log.read_text()
    assert leased.is_primary(a) and sql(on_a, "INSERT INTO t VALUES(2)") == []
    promoting = threading.Thread(target=leased.post, args=(b, "/promote"))
    promoting.start()
    leased.until(lambda: a.log.read_text().count("POST /handoff") == 2, "the handoff waits")
    assert sql(on_a, "COMMIT") == []
    promoting.join()
    leased.wait_primary(b)
    leased.wait_same()
    assert rows(clients(b, "a.db")) == [1, 2]


def test_who_watches_a_node_hears_of_each_change(made: Callable[..., Leased]) -> None:
    """`/events` on both nodes, in order; `/info` names the new primary on both."""
    leased = made()
    a, b = leased.nodes
    leased.wait_follows(b, a)
    heard: dict[str, list[dict[str, object]]] = {"n1": [], "n2": []}

    def listen(node: ClusterNode) -> None:
        with suppress(RemoteError):  # The node ends.
            for event in client.events(node.url):
                data = event["data"]
                assert isinstance(data, dict)
                heard[node.name].append(data)

    listeners = [threading.Thread(target=listen, args=(node,), daemon=True) for node in (a, b)]
    for one in listeners:
        one.start()
    leased.until(lambda: all(heard.values()), "both listen")
    assert leased.post(b, "/promote", wait="20s").status_code == 200
    leased.wait_follows(a, b)
    leased.until(lambda: heard["n1"][-1].get("hostname") == "n2", "n1 says who")
    assert heard["n1"][0] == {"isPrimary": True} and {"isPrimary": False} in heard["n1"]
    assert heard["n2"][0] == {"isPrimary": False, "hostname": "n1"} and heard["n2"][-1] == {"isPrimary": True}
    assert leased.info(a)["primary"] == leased.info(b)["primary"] == {"hostname": "n2"}
    leased.stop()
    for one in listeners:
        one.join(20)
        assert not one.is_alive()
