"""The roles' thread against a lease service of ours, with a follower and streams that the test plays."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pylitefs.config.model import ConsulConfig, LeaseConfig
from pylitefs.http.lease_server import LeaseServer
from pylitefs.http.turnover import TurnoverError
from pylitefs.lease.base import PrimaryInfo, UnreachableError
from pylitefs.lease.consul import ConsulLease
from pylitefs.lecture.live.links import Link
from pylitefs.replication.followed import StreamRequest
from pylitefs.roles.candidates import Candidates
from pylitefs.roles.change import Changes
from pylitefs.roles.loop import RoleLoop
from pylitefs.roles.ports import Stream, Wake
from pylitefs.store.applying import DirectApplier
from pylitefs.store.status import lease_clock
from pylitefs.store.store import Store
from pylitefs.trace import Event, Gate
from tests.replication.stores import CLUSTER, opened

TTL = 1.0
TARGET = "00000000000000AA"


@dataclass
class Follows:
    """Follows whom it is told, until the test says that the connection ends."""

    handed: str = ""
    caught_up: bool = True
    is_level: bool = True
    followed: list[PrimaryInfo] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def follow(self, primary: PrimaryInfo) -> str | None:
        self.followed.append(primary)
        self.ended.wait(20)
        self.ended.clear()
        return "it ended"

    def rest(self, reason: str) -> float:
        return 0.02


@dataclass
class Target:
    """The stream of a replica."""

    request: StreamRequest = field(default_factory=lambda: StreamRequest(TARGET, {}, url="http://t:1"))
    takes: bool = True
    leases: list[str] = field(default_factory=list)

    def hand_over(self, lease_id: str, timeout: float) -> bool:
        if self.takes:
            self.leases.append(lease_id)
        return self.takes


@dataclass
class Streams:
    """The streams of a node; what it is told."""

    target: Target | None = None
    told: list[str] = field(default_factory=list)

    def stream_of(self, node_id: str) -> Stream | None:
        return self.target if node_id == TARGET else None

    def streams(self) -> tuple[Stream, ...]:
        return (self.target,) if self.target else ()

    def is_drained(self) -> bool:
        return True

    def demoted(self) -> None:
        self.told.append("demoted")

    def primary_changed(self) -> None:
        self.told.append("changed")


@dataclass
class Made:
    """One node's loop, and its parts."""

    store: Store
    loop: RoleLoop
    follows: Follows
    streams: Streams
    lease: ConsulLease


@pytest.fixture
def service(tmp_path: Path) -> Iterator[LeaseServer]:
    server = LeaseServer(tmp_path / "leases", ("127.0.0.1", 0))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def make(service: LeaseServer, tmp_path: Path) -> Iterator[Callable[..., Made]]:
    """Makes and starts a loop; stopped at the end."""
    nodes: list[Made] = []
    contexts = []

    def made(name: str, *, candidate: bool = True, cluster: str | None = CLUSTER, url: str = "") -> Made:
        context = opened(tmp_path / name, cluster=cluster)
        contexts.append(context)
        store = context.__enter__()
        store.status.candidate = candidate
        consul = ConsulConfig(url=url or service.url, key="k", ttl=TTL, lock_delay=0.1)
        config = LeaseConfig(type="consul", consul=consul, reconnect_delay=0.05, demote_delay=0.5)
        lease = ConsulLease(consul, hostname=name, advertise_url=f"http://{name}:1")
        follows, streams = Follows(), Streams()
        changes = Changes(store, DirectApplier(store.data_dir))
        candidates = Candidates(store, lease.advertise_url)
        loop = RoleLoop(store, lease, config, follower=follows, changes=changes, candidates=candidates)
        nodes.append(Made(store, loop, follows, streams, lease))
        loop.start(streams)
        return nodes[-1]

    yield made
    for node in nodes:
        node.loop._stopping.set()
        node.follows.ended.set()
        assert node.loop.stop()
    for context in contexts:
        context.__exit__(None, None, None)


Eventually = Callable[..., None]


def test_the_first_is_the_primary_and_the_second_follows_it(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """The cluster's id is in the lease service by then, and stays. The lease is renewed past its TTL."""
    a = make("a", cluster=None)
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    assert service.service.state.keys["k/clusterid"].value.decode() == a.store.cluster_id
    b = make("b", cluster=a.store.cluster_id)
    eventually(lambda: b.follows.followed == [PrimaryInfo("a", "http://a:1")], "b follows a")
    end = time.monotonic() + 2 * TTL
    while time.monotonic() < end:
        assert a.store.status.is_primary and not b.store.status.has_lease
        time.sleep(0.05)
    assert a.streams.told == ["changed"]


def test_each_step_is_told_and_a_node_can_be_held_just_before_it_asks(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """Held there, it has not asked; time that passes at once on the lease's clock is looked at at once."""
    gate = Gate(["lease.ask"])
    told: list[Event] = []
    b = make("b", candidate=False)
    b.store.tracer.listen(told.append)
    b.store.tracer.listen(gate)
    b.store.status.candidate = True
    assert gate.wait_held(20) is not None
    assert "k" not in service.service.state.keys and not b.store.status.has_lease
    gate.close()
    eventually(lambda: b.store.status.is_primary, "b is the primary")
    b.loop._inbox.put(Wake("look"))
    assert b.loop.stop()
    told = [one for one in told if one.name != "lease.renew"]
    assert [one.name for one in told if one.name.startswith("lease.")] == [
        "lease.ask",
        "lease.acquire",
        "lease.lose",
    ]
    assert told[1].payload["ttl"] == TTL and told[1].payload["session"]
    assert told[2].payload["why"] == "given back"


def test_who_may_not_be_the_primary_is_none(make: Callable[..., Made], eventually: Eventually) -> None:
    """No candidate; a node without the cluster's id where there is one; and one of another cluster."""
    a = make("a")
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    others = [make("b", candidate=False), make("c", cluster=None), make("d", cluster="LFSC0000000000000000")]
    assert a.loop.stop()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert not any(one.store.status.has_lease for one in others)
        time.sleep(0.02)
    assert not others[2].loop.eligible


def test_a_lease_that_cannot_be_renewed_ends_by_the_clock(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """The node is none before the service gives the lease to another; and asks again once it can."""
    link = Link(service.server.port)
    try:
        a = make("a", url=link.url)
        eventually(lambda: a.store.status.is_primary, "a is the primary")
        b = make("b")
        eventually(lambda: bool(b.follows.followed), "b follows")
        link.cut()
        for end in list(service.service._ends.values()):
            left = end - service.service._clock()
            assert a.store.status._until - lease_clock() < left, "the node's own end comes first"
        eventually(lambda: not a.store.status.is_primary, "a stops")

        def takes_over() -> bool:
            b.follows.ended.set()
            return b.store.status.is_primary

        eventually(takes_over, "b takes over")
        assert not a.store.status.has_lease
        link.heal()
        eventually(lambda: a.follows.followed == [PrimaryInfo("b", "http://b:1")], "a follows b")
        assert "demoted" in a.streams.told
    finally:
        link.close()


def test_a_handoff_keeps_the_lease_and_its_taker_is_the_primary(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """The old one is none before the new one is; the session lives on. Both can be asked again."""
    a = make("a")
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    b = make("b")
    eventually(lambda: bool(b.follows.followed), "b follows")
    with pytest.raises(TurnoverError, match="not currently connected"):
        a.loop.hand_off(TARGET)
    with pytest.raises(TurnoverError, match="not currently primary"):
        b.loop.hand_off(TARGET)
    with pytest.raises(TurnoverError, match="no primary is currently available"):
        b.loop.promote()
    a.streams.target = target = Target()
    (session,) = service.service.state.sessions
    a.loop.hand_off(TARGET)
    eventually(lambda: target.leases == [session], "the lease is sent")
    assert not a.store.status.has_lease
    b.follows.handed = session
    b.follows.ended.set()
    eventually(lambda: b.store.status.is_primary, "b is the primary")
    eventually(lambda: a.follows.followed == [PrimaryInfo("b", "http://b:1")], "a follows b")
    assert set(service.service.state.sessions) == {session} and a.store.terms.handed == a.store.positions()


def test_a_handoff_that_fails_leaves_the_primary_as_it_was(
    make: Callable[..., Made], eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    """The target does not take it: writers go on here."""
    a = make("a")
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    a.streams.target = Target(takes=False)
    a.loop.hand_off(TARGET)
    eventually(lambda: "handoff unsuccessful, continuing as primary" in caplog.text, "it is told")
    eventually(lambda: a.store.status.is_primary, "a goes on")


def test_a_lease_that_was_handed_to_a_node_that_may_not_have_it_is_free_at_once(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """It gives the lease back, so nobody waits for the TTL."""
    b = make("b", candidate=False)
    session = service.service.create({"Behavior": "delete", "LockDelay": "0s", "TTL": "30s"})
    service.service.acquire("k", b'{"hostname":"x","advertise-url":"http://x:1"}', session)
    eventually(lambda: bool(b.follows.followed), "b follows")
    b.follows.handed = session
    b.follows.ended.set()
    eventually(lambda: session not in service.service.state.sessions, "the lease is free")
    assert not b.store.status.has_lease


def test_a_demoted_node_rests(make: Callable[..., Made], eventually: Eventually) -> None:
    """It gives the lease up, and asks for none for `demote-delay`."""
    a = make("a")
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    a.loop.demote()
    eventually(lambda: not a.store.status.has_lease, "a is none")
    started = time.monotonic()
    eventually(lambda: a.store.status.is_primary, "and again")
    assert time.monotonic() - started > 0.3


def test_a_node_whose_readers_hold_a_transaction_up_is_no_candidate_yet(
    make: Callable[..., Made], eventually: Eventually, service: LeaseServer
) -> None:
    """It would lose what a primary has acknowledged. Once it is applied, the node takes the lease."""
    session = service.service.create({"Behavior": "delete", "LockDelay": "0s", "TTL": "30s"})
    service.service.acquire("k", b'{"hostname":"x","advertise-url":"http://x:1"}', session)
    a = make("a")
    eventually(lambda: bool(a.follows.followed), "a follows")
    a.follows.is_level = False
    service.service.destroy(session)
    a.follows.ended.set()
    eventually(lambda: not a.loop.eligible, "it says so")
    assert not a.store.status.has_lease
    a.follows.is_level = True
    eventually(lambda: a.store.status.is_primary, "a is the primary")


def test_one_lost_answer_of_the_lease_service_makes_no_node_ineligible(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a busy moment would let an older node go first. A service that stays silent does."""
    session = service.service.create({"Behavior": "delete", "LockDelay": "0s", "TTL": "30s"})
    service.service.acquire("k", b'{"hostname":"x","advertise-url":"http://x:1"}', session)
    a = make("a")
    eventually(lambda: bool(a.follows.followed), "a follows")
    said: list[bool] = []

    def silent(lease: ConsulLease) -> None:
        said.append(a.loop.eligible)
        raise UnreachableError("timed out")

    monkeypatch.setattr(ConsulLease, "cluster_id", silent)
    a.follows.ended.set()
    eventually(lambda: not a.loop.eligible, "a service that is gone makes it ineligible")
    assert len(said) > 3 and all(said[:3])


def test_a_clean_stop_gives_the_lease_back(
    make: Callable[..., Made], service: LeaseServer, eventually: Eventually
) -> None:
    """The key is free, with nothing in it, and the session gone, as real LiteFS leaves them."""
    a = make("a")
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    assert a.loop.stop()
    assert not a.store.status.has_lease and not service.service.state.sessions
    assert service.service.state.keys["k"].value == b""


def test_a_cluster_s_first_id_is_its_own_although_the_answer_was_lost(
    service: LeaseServer, make: Callable[..., Made], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service keeps it, and the node has not heard so. Otherwise nobody could ever become the primary."""
    real, lost = ConsulLease.set_cluster_id, threading.Event()

    def keep(lease: ConsulLease, text: str) -> None:
        real(lease, text)
        if not lost.is_set():
            lost.set()
            raise UnreachableError("timed out")

    monkeypatch.setattr(ConsulLease, "set_cluster_id", keep)
    a = make("a", cluster=None)
    eventually(lambda: a.store.status.is_primary, "a is the primary")
    assert service.service.state.keys["k/clusterid"].value.decode() == a.store.cluster_id
