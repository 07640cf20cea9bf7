"""Candidates of one lease, and a lease service that notes who asked what."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pylitefs.cluster.cluster import ClusterError
from pylitefs.compare.lease_log import Request
from pylitefs.compare.leased import Candidate, LeasedSystem, RecordedLeases
from pylitefs.compare.nodes import NEVER_SYNCED
from pylitefs.http.client import NodeInfo
from tests.compare.plain import OURS, THEIRS


@pytest.fixture
def leases() -> Iterator[RecordedLeases]:
    one = RecordedLeases()
    one.start()
    yield one
    one.stop()


def test_each_request_is_noted_with_its_answer_and_whose_it_was(leases: RecordedLeases) -> None:
    """A node shows its name as the token."""
    url = httpx.URL(leases.url("n2"))
    assert url.password == "n2" and url.path == "/compare"
    with httpx.Client(trust_env=False, headers={"X-Consul-Token": "n2"}) as http:
        base = f"http://127.0.0.1:{url.port}/v1"
        session = http.put(f"{base}/session/create", json={"TTL": "10s"}).json()["ID"]
        http.put(f"{base}/kv/k?acquire={session}", content=b"me", headers={"Content-Type": "text/x"})
        assert http.get(f"{base}/kv/k").json()[0]["Session"] == session
        http.put(f"{base}/kv/k?acquire=none", content=b"me")
    create, acquire, get, refused = leases.requests
    assert (create.node, create.method, create.path) == ("n2", "PUT", "/v1/session/create")
    assert acquire == Request("n2", "PUT", f"/v1/kv/k?acquire={session}", "text/x", "me", 200, "true")
    assert (get.method, get.body, get.status) == ("GET", "", 200) and session in get.answer
    assert refused.status == 500 and leases.acquired == 1


@pytest.fixture
def system(tmp_path: Path) -> Iterator[LeasedSystem]:
    """Its nodes never run."""
    node_settings = {"n2": {"lease": {"candidate": False}, "log": {"debug": True}}}
    one = LeasedSystem(
        tmp_path, OURS, THEIRS, settings={"data": {"compress": False}}, node_settings=node_settings
    )
    one.leases.start()
    yield one
    one.leases.stop()


def test_each_node_s_config_names_the_lease(system: LeasedSystem) -> None:
    """What a workload sets for one node goes over what all have."""
    first, second = (system._settings_of(node)["lease"] for node in system.candidates)
    assert isinstance(first, dict) and isinstance(second, dict)
    assert (first["hostname"], second["hostname"]) == ("n1", "n2")
    assert (first["candidate"], second["candidate"]) == (True, False)
    assert first["consul"]["url"] == system.leases.url("n1") and second["type"] == "consul"
    assert system._settings_of(system.node("n2"))["log"] == {"debug": True}
    assert [node.program for node in system.candidates] == [OURS, THEIRS]


def says(primary: bool, of: str | None) -> NodeInfo:
    return NodeInfo(
        node_id="AB", cluster_id="c", is_primary=primary, candidate=True, path="", primary_hostname=of
    )


def running(monkeypatch: pytest.MonkeyPatch, told: dict[str, NodeInfo | None]) -> None:
    """Nodes that are said to run, and what each says."""
    monkeypatch.setattr(Candidate, "pid", property(lambda node: int(node.name in told)))
    monkeypatch.setattr(Candidate, "facts", lambda node: told.get(node.name))


def test_one_leads_where_everybody_who_runs_follows_it(
    system: LeasedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = {"n1": says(True, "n1"), "n2": says(False, "n1")}
    for told, leader in (
        (both, "n1"),
        ({"n2": says(True, "n2")}, "n2"),
        ({"n1": says(False, "n2"), "n2": says(True, "n2")}, "n2"),
        ({"n1": says(True, "n1"), "n2": says(False, None)}, ""),
        ({"n1": says(True, "n1"), "n2": says(False, "")}, ""),
        ({"n1": says(True, "n1"), "n2": says(True, "n2")}, ""),
        ({"n1": says(True, "n1"), "n2": None}, ""),
        ({}, ""),
    ):
        running(monkeypatch, dict(told))
        found = system.leader()
        assert (found.name if found else "") == leader, told


def test_the_pair_is_the_primary_and_the_other_one(
    system: LeasedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who does not run comes last, so that there is one to ask."""
    running(monkeypatch, {"n1": says(False, "n2"), "n2": says(True, "n2")})
    assert system.settle(seconds=0) is None, "nobody has acquired the lease yet"
    system.leases.requests.append(Request("n2", "PUT", "/v1/kv/k?acquire=s", "", "", 200, "true"))
    assert system.settle(after=1, seconds=0) is None, "nor since"
    assert system.settle(seconds=0) is system.node("n2")
    assert [(node.name, node.role) for node in system.pair] == [("n2", "primary"), ("n1", "replica")]
    running(monkeypatch, {"n1": says(False, None)})
    system.order()
    assert [node.name for node in system.pair] == ["n1", "n2"]


def test_a_crash_is_over_when_the_other_one_has_noticed(
    system: LeasedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []
    monkeypatch.setattr(Candidate, "kill9", lambda node: killed.append(node.name))
    monkeypatch.setattr("pylitefs.compare.leased.SETTLE_SECONDS", 0)
    running(monkeypatch, {"n2": says(False, None)})
    system.crash(system.node("n1"))
    running(monkeypatch, {"n2": says(False, "n1")})
    with pytest.raises(ClusterError, match="nobody notices that n1 is gone"):
        system.crash(system.node("n1"))
    assert killed == ["n1", "n1"]


def test_a_candidate_serves_as_the_primary_or_once_it_has_caught_up(
    system: LeasedSystem,
) -> None:
    node = system.node("n2")
    node.mount.mkdir(parents=True)
    lag = node.mount / ".lag"
    lag.write_bytes(NEVER_SYNCED)
    assert node.has_its_role(says(True, "n2"))
    assert not node.has_its_role(says(False, None)) and not node.has_its_role(says(False, "n1"))
    lag.write_bytes(b"+0000000001")
    assert node.has_its_role(says(False, "n1"))


def test_a_node_that_does_not_run_says_nothing(system: LeasedSystem) -> None:
    assert system.node("n1").facts() is None
