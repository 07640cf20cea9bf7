"""A lecture's candidates of one lease: who is the primary, and which ways can be cut. None runs here."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.language.commands import MakeCluster
from pylitefs.lecture.live.leased_stage import LeasedStage
from pylitefs.lecture.live.nodes import Role


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LeasedStage]:
    """n1, which has the lease, and n2 and n3; all run, as far as anybody can tell."""
    one = LeasedStage(tmp_path, MakeCluster(replicas=2, lease=10.0), lambda name, control: None)
    for node in one.nodes:
        node.dir.mkdir(parents=True)
        node.process = cast(Any, SimpleNamespace(pid=1, returncode=None, poll=lambda: None))
    one.lease_event("n1", "lease.acquire")
    yield one
    for link in one.all_links:
        link.close()


def test_who_is_the_primary_is_what_the_nodes_tell_of_their_lease(stage: LeasedStage) -> None:
    """Between the end of one lease and the next there is none."""
    assert stage.leader == "n1" and stage.primary.name == "n1"
    assert [stage.role_shown(name) for name in stage.names] == ["primary", "replica", "replica"]
    stage.lease_event("n1", "lease.lose")
    assert stage.leader == "" and stage.roles["n1"] == Role(waits=True)
    assert str(stage.roles["n1"]) == "a candidate" and stage.link_shown("n1") is None
    stage.lease_event("n2", "lease.acquire")
    assert stage.leader == "n2" and stage.roles["n1"] == stage.roles["n3"] == Role(of="n2")
    stage.lease_event("n1", "lease.handoff")
    assert stage.leader == "n2", "an end that is told late"
    stage.lease_event("n2", "lease.renew")
    stage.seen_ended("n2")
    assert stage.leader == "" and stage.roles["n3"] == Role(of="n2")


def test_the_lease_decides_who_is_the_primary_and_not_a_restart(stage: LeasedStage) -> None:
    with pytest.raises(LessonError, match=r"the lease decides .*`restart n2`, .*`promote n2`"):
        stage.role_asked("n2", "primary", "")
    assert stage.role_asked("n2", "", "") == Role(of="n1")
    lease = stage.config_of(stage.node("n2"))["lease"]
    assert isinstance(lease, dict)
    assert (lease["type"], lease["candidate"], lease["hostname"]) == ("consul", True, "n2")
    assert lease["advertise-url"] == stage.links["n2"].url
    assert lease["consul"]["url"] == stage.lease_links["n2"].url and lease["consul"]["ttl"] == "10000ms"


def test_the_primary_alone_can_be_cut_off_and_any_node_healed(stage: LeasedStage) -> None:
    """From the others and from the lease service at once."""
    with pytest.raises(LessonError, match="one for all: name n1"):
        stage.replica("n2")
    assert stage.replica("n1") is stage.links["n1"] and stage.over("n1") == ["n2", "n3"]
    assert stage.should_be_connected("n2") and not stage.should_be_connected("n1")
    assert stage.cut("n1") == "n1 is cut off from the other nodes, and from the lease service"
    assert stage.link_shown("n2") == {"state": "cut", "delay_ms": 0, "to": "n1"}
    assert stage.shown()["node/n1/lease"] == "cut" and stage.shown()["node/n2/lease"] == ""
    assert not stage.should_be_connected("n2")
    stage.lease_event("n2", "lease.acquire")
    assert not stage.should_be_connected("n1") and stage.should_be_connected("n3")
    assert stage.healable("n1") == ["n1"] and stage.healable("") == ["n1", "n2", "n3"]
    stage.heal("n1")
    assert stage.should_be_connected("n1") and stage.over("n1") == ["n1"]


def test_without_its_service_nobody_has_the_lease(stage: LeasedStage) -> None:
    assert stage.holder == ("", "")
    assert stage.shown()["lease"] == {"holder": "", "session": "", "ttl_s": 10.0}
