"""Steps that change who is the primary, on two nodes of ours, and what they asked of their lease service."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cluster.nursery import Nursery
from pylitefs.compare import programs
from pylitefs.compare.leased import LeasedSystem
from pylitefs.compare.leased_side import NOBODY, LeasedSide
from pylitefs.compare.workload import KINDS, Step, parse

pytestmark = pytest.mark.fuse


@pytest.fixture
def system(tmp_path: Path, nursery: Nursery | None) -> Iterator[LeasedSystem]:
    one = LeasedSystem(tmp_path, programs.ours())
    for node in one.candidates:
        node.nursery = nursery
    yield one
    one.stop()
    for node in one.candidates:  # Shown where the test fails.
        print(f"--- {node.name}\n{node.log_tail(60)}")


@pytest.fixture
def side(system: LeasedSystem) -> Iterator[LeasedSide]:
    system.start()
    one = LeasedSide(system)
    one.begin("w")
    yield one
    one.close()


def step(text: str) -> Step:
    return parse("w", f"# T.\n[cluster lease]\n[open z z.db]\n{text}").steps[-1]


def said(side: LeasedSide, text: str) -> str:
    answer = side.perform(step(text))
    return str(answer.get("text", answer.get("error", answer.get("rows"))))


def parts(side: LeasedSide, text: str) -> dict[str, str]:
    found = side.perform(step(text))["parts"]
    assert isinstance(found, dict)
    return found


SESSION = 'PUT /v1/session/create application/json {"Behavior":"delete","LockDelay":"2500ms","Name":"litefs",'
HEAD = "PUT /v1/kv/compare/litefs/primary"
ID = "GET /v1/kv/compare/litefs/primary/clusterid"
WHO = "GET /v1/kv/compare/litefs/primary"


def test_a_handoff_a_promotion_and_an_end_ask_as_real_nodes_do(side: LeasedSide) -> None:
    """The order is the recording's; the form of each request is tests/lease/test_consul_calls.py's."""
    start = parts(side, "[requests]")
    first = start["n1"].splitlines()
    assert first[0].startswith("PUT /v1/catalog/register application/json")
    assert first[1:3] == [ID, WHO] and first[3].startswith(SESSION)
    assert first[4].startswith(f"{HEAD}?acquire=SESSION application/octet-stream") and "HOST:PORT" in first[4]
    assert first[4].endswith("-> true")
    assert first[5:] == [ID, f"{HEAD}/clusterid application/octet-stream CLUSTER-ID"], (
        "two questions, told once"
    )
    assert start["n2"].splitlines()[1:] == [ID, WHO]
    assert parts(side, "[look]")["n2"] == "a replica of n1, a candidate, cluster id: True; .primary: n1"

    assert said(side, "[open a a.db on n1]") == "[]"
    assert said(side, "a: CREATE TABLE t(x)") == "[]"
    assert side.new_ltx("a.db") and side.position("a.db").startswith("0000000000000001/")
    assert said(side, "[handoff to n2]") == "200  ['litefs-cluster-id', 'litefs-id'] ; n2 leads"
    assert side.primary.name == "n2" and side.replica.name == "n1"
    asked = parts(side, "[requests]")
    assert asked["n1"].splitlines() == ["PUT /v1/session/renew/SESSION", ID, WHO]
    renew, acquire = "PUT /v1/session/renew/n1's-SESSION", f"{HEAD}?acquire=n1's-SESSION"
    new = asked["n2"].splitlines()
    assert new[:2] == [ID, renew] and new[2].startswith(acquire) and new[2].endswith("-> true")
    assert new[3:] == [ID]

    assert said(side, "[http POST /handoff?nodeID={n1} on n1]").endswith("node is not currently primary\n")
    assert said(side, "[promote n1]").endswith("; n1 leads")
    assert said(side, "[promote n1]") == "200  ['litefs-cluster-id', 'litefs-id'] ; n1 leads", "it is already"
    parts(side, "[requests]")
    assert said(side, "[close a]") == "[]"
    assert said(side, "[stop n1]") == "ended with 0"
    assert said(side, "[led]") == "n2 leads"
    assert parts(side, "[look]")["n1"] == "does not run"
    asked = parts(side, "[requests]")
    assert asked["n1"].splitlines() == [
        f"{HEAD}?release=SESSION application/octet-stream -> true",
        "PUT /v1/session/destroy/SESSION",
    ]
    assert not side.replica_runs
    assert said(side, "[start n1]") == "started; n2 leads"
    assert side.ears[1].passed("a.db") == 1, "what it caught up with is no news"
    assert side.position("a.db", "replica") == side.position("a.db")


@pytest.mark.full
@pytest.mark.timeout(120)
def test_a_crash_is_noticed_and_the_lock_delay_refuses_whoever_asks_meanwhile(side: LeasedSide) -> None:
    said(side, "[requests]")
    assert said(side, "[crash n1]") == "killed, and missed"
    assert "no primary is currently available" in said(side, "[http POST /promote on n2]")
    assert said(side, "[led]") == "n2 leads"
    lines = parts(side, "[requests]")["n2"].splitlines()
    assert [line.rpartition(" ")[2] for line in lines if "?acquire=" in line] == ["false", "true"]
    assert said(side, "[start n1]") == "started; n2 leads"


def test_every_verb_of_a_lease_can_be_done_and_a_failure_is_an_answer(
    system: LeasedSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a node: nobody leads, and what does not start says so."""
    for verb in KINDS["lease"]:
        assert hasattr(LeasedSide, f"_do_{verb}"), verb
    system.leases.start()
    monkeypatch.setattr(LeasedSystem, "settle", lambda system, **options: None)
    side = LeasedSide(system)
    try:
        assert said(side, "[led]") == NOBODY
        assert parts(side, "[look]") == {"n1": "does not run", "n2": "does not run"}
        assert said(side, "[handoff to n2]") == f"ConnectError; {NOBODY}"
        system.node("n1").dir.mkdir(parents=True)
        system.node("n1").config.write_text("fuse: [\n")
        assert said(side, "[start n1]").startswith("does not start again: node n1 ended with exit code")
    finally:
        side.close()
