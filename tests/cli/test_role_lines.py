"""What the demo says of roles, from what nodes say and which processes run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pylitefs.cli import role_lines
from pylitefs.cli.feed import NodeEvent
from pylitefs.cli.role_lines import RoleTeller, invitation
from pylitefs.cluster.leased import LeasedCluster


@pytest.fixture
def cluster(tmp_path: Path) -> LeasedCluster:
    """Three candidates that run, as far as anybody can tell; n1 is the primary."""
    cluster = LeasedCluster(tmp_path, 3)
    for number, node in enumerate(cluster, 1):
        node.process = cast(Any, SimpleNamespace(pid=number, returncode=None, poll=lambda: None))
        node.dir.mkdir(parents=True)
    return cluster


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    one = SimpleNamespace(now=100.0)
    monkeypatch.setattr(role_lines, "time", SimpleNamespace(monotonic=lambda: one.now))
    return one


def said(name: str, at: float = 0.0, **data: object) -> NodeEvent:
    return NodeEvent(name, "primaryChange", "", data, at)


def end(cluster: LeasedCluster, number: int, code: int) -> None:
    ended = SimpleNamespace(pid=number, returncode=code, poll=lambda: code)
    cluster.nodes[number - 1].process = cast(Any, ended)


def test_a_killed_primary_its_successor_and_its_return_are_told(
    cluster: LeasedCluster, clock: SimpleNamespace
) -> None:
    """Each once, with the time, the path to write to, and the line that kills the next one."""
    teller = RoleTeller(cluster, "a.db")
    first, second, _ = cluster.nodes
    assert list(teller.tell(NodeEvent("n1", "init", "", {"isPrimary": True}, 99.0))) == []
    assert list(teller.tell(said("n3", hostname="n1", isPrimary=False))) == []
    end(cluster, 1, -9)
    waits = "n1 was killed: nobody can write until another node has the lease, for up to 4.5 s."
    assert list(teller.tell(None)) == [waits] and list(teller.tell(None)) == []
    assert list(teller.tell(said("n3", isPrimary=False))) == []
    assert list(teller.tell(said("n2", 102.14, isPrimary=True))) == [
        f"n2 is the primary now: lease taken 2.1 s after n1's death; writes go to {second.mount}/a.db",
        "  (its process: kill -9 2)",
    ]
    assert cluster.primary is second
    assert list(teller.tell(said("n3", hostname="n2", isPrimary=False))) == ["n3 is a replica of n2 now."]
    assert teller.due(8.0) == []
    clock.now = 108.0
    assert teller.due(8.0) == [first]
    first.process = cluster.nodes[2].process
    assert teller.started_again(first) == "n1 is started again, with what it has on its disk."
    assert teller.due(8.0) == []
    kept = first.data / "lost" / "x" / "a.db"
    kept.mkdir(parents=True)
    (kept / "one.ltx").write_bytes(b"")
    assert list(teller.tell(said("n1", hostname="n2", isPrimary=False))) == [
        "n1 is a replica of n2 now.",
        f"n1 had 1 transaction that no other node had got: kept aside in {first.data}/lost",
    ]


def test_a_handoff_is_told_and_a_replica_s_end_too(cluster: LeasedCluster, clock: SimpleNamespace) -> None:
    teller = RoleTeller(cluster, "a.db")
    told = list(teller.tell(said("n3", 100.0, isPrimary=True)))
    assert told[0].startswith("n3 is the primary now: n1 has the lease no longer; writes go to ")
    cluster.nodes[1].log.write_text("one\nthe last line\n")
    end(cluster, 2, 1)
    (line,) = teller.tell(None)
    assert line.startswith("n2 has ended with exit code 1; the end of its log:\n") and "the last line" in line
    assert "nobody can write" not in line


def test_the_invitation_has_lines_to_copy(cluster: LeasedCluster) -> None:
    text = invitation(cluster, "pylitefs")
    assert "\n  kill -9 1\n" in text and "ends after 3 s;\n0.5 s later" in text
    assert f"\n  pylitefs run -url {cluster.nodes[1].url} -promote -- " in text
