"""Which nodes a command is about, and what each says of itself, in a word."""

import json
from pathlib import Path
from typing import Any

import pytest

from pylitefs.cli import nodes
from pylitefs.cli.nodes import NodeReport, ReplicaBehind, ask, ask_all, nodes_of_cluster, nodes_of_config
from pylitefs.errors import ConfigError, PylitefsError, RemoteError
from pylitefs.http.client import DatabaseFacts, NodeInfo
from pylitefs.ltx.position import Pos

DATABASES = {"a.db": DatabaseFacts(Pos(7, 1))}


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a replica answers in `/debug/vars`; a node at http://down answers nothing."""
    found: dict[str, Any] = {"lagMs": 12, "clockAheadMs": -5000, "disk": None, "setAside": {"b.db": "why"}}

    def node_facts(url: str, token: str = "") -> dict[str, Any]:
        if url == "http://down":
            raise RemoteError("http://down: refused")
        return found

    info = NodeInfo("id", None, is_primary=False, candidate=False, path="", primary_hostname="n1")
    monkeypatch.setattr(nodes, "node_facts", node_facts)
    monkeypatch.setattr("pylitefs.cli.nodes.client.info", lambda url, token="": info)
    monkeypatch.setattr("pylitefs.cli.nodes.client.databases", lambda url, token="": DATABASES)
    return found


def test_what_a_node_says_is_its_row(facts: dict[str, Any]) -> None:
    assert ask("n2", "http://2") == NodeReport(
        "n2", "http://2", primary_hostname="n1", lag_ms=12, clock_ahead_ms=-5000, databases=DATABASES,
        set_aside={"b.db": "why"},
    )  # fmt: skip
    facts.update(nodeID="AB", streams=[{"nodeID": "CD", "behind": {"a.db": {"transactions": 3, "bytes": 99,
                 "seconds": 1.5}, "odd.db": {"transactions": None}}}, {"behind": None}, "odd"])  # fmt: skip
    report = ask("n2", "http://2")
    assert (report.node_id, report.behind) == ("AB", (ReplicaBehind("CD", "a.db", 3, 99, 1.5),))
    facts.update(
        lease={"ttlSeconds": 3.0, "leftSeconds": 1.5}, roleChanges=[{"atMs": 0, "text": "primary"}, "odd"]
    )
    report = ask("n2", "http://2")
    assert (report.lease_ttl, report.lease_left) == (3.0, 1.5)
    assert [one.split(":")[2][3:] for one in report.role_changes] == ["primary"]
    facts.update(lease={"ttlSeconds": 3.0, "leftSeconds": None}, roleChanges=None)
    assert (ask("n2", "http://2").lease_left, ask("n2", "http://2").role_changes) == (None, ())
    facts.update(lease=None, backup={"troubles": {"a.db": "torn"}})
    facts.update(databases={"a.db": {"haltedBy": "CD"}, "b.db": {"haltedBy": None}, "odd.db": None})
    assert ask("n2", "http://2").halted == {"a.db": "CD"}
    assert ask("n2", "http://2").backup == {"a.db": "torn"}
    facts.update(backup={"isRunning": True, "url": "file:///b", "databases": {"a.db": "0005"}, "now": "x"})
    assert (
        ask("n2", "http://2").backup_told == "backs up into file:///b: lacks 2 transactions of a.db (now: x)"
    )
    facts.update(backup={"isRunning": True, "url": "file:///b", "databases": {"a.db": "0007"}})
    assert ask("n2", "http://2").backup_told == "backs up into file:///b: level"
    facts.update(backup=None)
    assert ask("n2", "http://2").backup == {}
    facts.update(disk="no room", lagMs=None, clockAheadMs=None, setAside=None)
    report = ask("n2", "http://2")
    assert (report.disk, report.lag, report.set_aside) == ("no room", "unknown", {})


def test_a_node_that_does_not_answer_is_a_row_too(facts: dict[str, Any]) -> None:
    """In the order in which they are named."""
    reports = ask_all({"n3": "http://down", "n1": "http://1"})
    assert [(one.name, one.role, one.error) for one in reports] == [
        ("n3", "unreachable", "http://down: refused"),
        ("n1", "replica", ""),
    ]
    assert ask_all({}) == []


@pytest.mark.parametrize(
    ("report", "lag"),
    [
        (NodeReport("n", "u", is_primary=True, lag_ms=5), ""),
        (NodeReport("n", "u", error="down", lag_ms=5), ""),
        (NodeReport("n", "u"), "unknown"),
        (NodeReport("n", "u", lag_ms=2**31 - 1), "never synced"),
        (NodeReport("n", "u", lag_ms=12_345), "12,345 ms"),
        (NodeReport("n", "u", lag_ms=1, clock_ahead_ms=1_999), "1 ms"),
        (NodeReport("n", "u", lag_ms=1, clock_ahead_ms=2_000), "1 ms (clock 2 s ahead)"),
        (NodeReport("n", "u", lag_ms=1, clock_ahead_ms=-3_600_000), "1 ms (clock 3,600 s behind)"),
    ],
)
def test_the_lag_is_told_for_people(report: NodeReport, lag: str) -> None:
    assert report.lag == lag


def test_a_demo_s_nodes_are_those_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    with pytest.raises(PylitefsError, match=r"no demo in .*: start one, or name nodes with --url"):
        nodes_of_cluster(tmp_path)
    path.write_text(
        json.dumps({"nodes": [{"name": "n1", "url": "http://1"}, {"name": "n2", "url": "http://2"}]})
    )
    assert nodes_of_cluster(tmp_path) == {"n1": "http://1", "n2": "http://2"}
    for wrong in ("no json", "{}", '{"nodes": [{}]}', "[]"):
        path.write_text(wrong)
        with pytest.raises(PylitefsError, match=r"cluster\.json cannot be read"):
            nodes_of_cluster(tmp_path)


CONFIG = """
fuse: {{dir: {0}/mnt}}
data: {{dir: {0}/data}}
http: {{addr: '{1}'}}
lease: {{type: static, {2}}}
"""

REPLICA = "candidate: false, advertise-url: 'http://n1:20202/'"


@pytest.mark.parametrize(
    ("addr", "lease", "expected"),
    [
        (":20203", "candidate: true", {"this node": "http://127.0.0.1:20203"}),
        ("0.0.0.0:1", "candidate: true", {"this node": "http://127.0.0.1:1"}),
        ("10.0.0.7:1", REPLICA, {"this node": "http://10.0.0.7:1", "n1": "http://n1:20202"}),
        (
            ":1", f"{REPLICA}, hostname: boss",
            {"this node": "http://127.0.0.1:1", "boss": "http://n1:20202"},
        ),
    ],
)  # fmt: skip
def test_a_config_names_its_own_node_and_the_primary_that_it_follows(
    tmp_path: Path, addr: str, lease: str, expected: dict[str, str]
) -> None:
    path = tmp_path / "litefs.yml"
    path.write_text(CONFIG.format(tmp_path, addr, lease))
    assert nodes_of_config(path) == (expected, "")


def test_a_replica_without_a_primary_s_address_is_a_wrong_config(tmp_path: Path) -> None:
    path = tmp_path / "litefs.yml"
    path.write_text(CONFIG.format(tmp_path, ":1", "candidate: false"))
    with pytest.raises(ConfigError, match="advertise-url"):
        nodes_of_config(path)
