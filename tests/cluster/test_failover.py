"""Each way in which a cluster loses its primary: who writes then, what is kept, and what clients notice."""

import signal
from collections.abc import Callable

import pytest

from pylitefs.ltx.decoder import open_ltx
from tests.cluster.clients import Clients
from tests.cluster.leased import LOCK_DELAY_S, READONLY, TTL_S, Leased, opened, put, rows

pytestmark = pytest.mark.fuse

MODES = ["wal", pytest.param("delete", marks=pytest.mark.full)]


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_primary_is_replaced_and_comes_back_as_a_replica(
    made: Callable[..., Leased], clients: Clients, mode: str
) -> None:
    """What the replica had is there, a connection that was open on it
    goes on and can write, and the killed node gets all of it when it comes back."""
    leased = made()
    a, b = leased.nodes
    on_a = opened(clients, a, mode)
    assert put(on_a, 1) == []
    leased.wait_same()
    on_b = clients(b, "a.db", timeout=5.0)
    assert rows(on_b) == [1] and put(on_b, 99) in READONLY
    a.kill9()
    print(f"primary after {leased.wait_primary(b):.2f} s; TTL and lock-delay are {TTL_S + LOCK_DELAY_S} s")
    assert put(on_b, 2) == [] and rows(on_b) == [1, 2]
    on_a.discard()
    leased.restart(a)
    leased.wait_follows(a, b)
    leased.wait_same()
    assert rows(clients(a, "a.db")) == [1, 2]
    assert not leased.lost(a)


def test_a_primary_that_is_stopped_gives_the_lease_back_at_once(
    made: Callable[..., Leased], clients: Clients
) -> None:
    """Nobody waits for the TTL, and what was committed last is shipped before."""
    leased = made(ttl=30.0)
    a, b = leased.nodes
    on_a = opened(clients, a, "wal")
    for n in range(20):
        assert put(on_a, n) == []
    on_a.discard()
    assert a.stop() == 0
    assert leased.wait_primary(b) < 30.0, "the TTL"
    assert rows(clients(b, "a.db")) == list(range(20))


@pytest.mark.parametrize("mode", MODES)
def test_a_paused_primary_is_none_when_it_wakes_and_its_last_commits_are_kept_aside(
    made: Callable[..., Leased], clients: Clients, mode: str
) -> None:
    """It was cut off from its replica, so it acknowledged what nobody else has; then it was stopped (SIGSTOP)
    past its TTL. Awake again it takes no write and ships nothing. Its own commits are LTX files in `lost`,
    the log says where, and its database is the new primary's. A connection that was open all the time reads
    that."""
    leased = made()
    a, b = leased.nodes
    on_a = opened(clients, a, mode)
    assert put(on_a, 1) == []
    leased.wait_same()
    on_b = clients(b, "a.db", timeout=5.0)
    leased.api_links["n1"].cut()
    assert put(on_a, 2) == [] and put(on_a, 3) == []
    pos = a.positions()["a.db"]
    a.signal(signal.SIGSTOP)
    leased.wait_primary(b)
    assert put(on_b, 7) == []
    leased.api_links["n1"].heal()
    a.signal(signal.SIGCONT)
    assert put(on_a, 4) in READONLY
    leased.wait_follows(a, b)
    leased.wait_same()
    assert rows(on_a) == [1, 7] == rows(on_b)
    kept = leased.lost(a)
    assert len(kept) == 2 and kept[-1].name == f"{pos.txid:016x}-{pos.txid:016x}.ltx"
    with open_ltx(kept[-1]) as decoder:
        list(decoder.pages())
    assert decoder.trailer.post_apply_checksum == pos.checksum
    assert str(kept[0].parent) in a.log.read_text()
    assert put(on_b, 8) == []
    leased.wait_same()
    assert rows(on_a) == [1, 7, 8]


def test_a_primary_without_its_lease_service_stops_before_another_begins(
    made: Callable[..., Leased], clients: Clients
) -> None:
    """It is cut off from the service alone. It takes no write any more before the other node takes one, and
    follows it as soon as it can ask again."""
    leased = made()
    a, b = leased.nodes
    on_a = opened(clients, a)
    assert put(on_a, 1) == []
    leased.wait_same()
    on_b = clients(b, "a.db", timeout=5.0)
    leased.lease_links["n1"].cut()
    count = 1
    while put(on_a, count + 1) == []:
        count += 1
        assert not leased.is_primary(b), "two primaries"
    leased.wait_primary(b)
    assert put(on_b, 1000) == [] and put(on_a, 2000) in READONLY
    leased.lease_links["n1"].heal()
    leased.wait_follows(a, b)
    leased.wait_same()
    assert rows(on_a) == [*range(1, count + 1), 1000]
    assert not leased.lost(a), "all of it had been shipped"


def test_a_primary_without_replicas_stays_the_primary(made: Callable[..., Leased], clients: Clients) -> None:
    """It has its lease, so nobody takes over; they get what they lack when they reach it again."""
    leased = made()
    a, b = leased.nodes
    on_a = opened(clients, a)
    leased.api_links["n1"].cut()
    for n in range(5):
        assert put(on_a, n) == []
    leased.until(
        lambda: "cannot reach the primary" in b.log.read_text() or not leased.info(b).get("primary"), "cut"
    )
    assert leased.is_primary(a) and not leased.is_primary(b)
    leased.api_links["n1"].heal()
    leased.wait_follows(b, a)
    leased.wait_same()
    assert rows(clients(b, "a.db")) == list(range(5))


def test_a_node_with_older_data_lets_the_newer_one_go_first(
    made: Callable[..., Leased], clients: Clients
) -> None:
    """The older one is quicker, and asks the other before it takes the free lease."""
    leased = made(3, node_settings={"n3": {"lease": {"reconnect-delay": "1500ms"}}})
    a, b, c = leased.nodes
    on_a = opened(clients, a)
    leased.wait_same()
    leased.until((b.data / "candidates.json").exists, "b knows the others")
    leased.until(lambda: leased.api_links["n3"].url in (b.data / "candidates.json").read_text(), "b knows c")
    assert b.stop() == 0
    for n in range(3):
        assert put(on_a, n) == []
    leased.wait_same()
    a.kill9()
    b.start()
    leased.wait_primary(c)
    leased.until(lambda: "has newer data than this node" in b.log.read_text(), "b says why it waits")
    leased.wait_follows(b, c)
    leased.wait_same()
    assert rows(clients(b, "a.db")) == [0, 1, 2]
