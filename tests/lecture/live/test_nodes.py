"""A lecture's nodes and their roles: who follows whom, and what is shown of it. None runs here."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from pylitefs.errors import LessonError
from pylitefs.lecture.language.commands import MakeCluster
from pylitefs.lecture.live.nodes import Role, Stage


def process(code: int | None = None) -> Any:
    return cast(Any, SimpleNamespace(pid=1, returncode=code, poll=lambda: code))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """n1, and n2 and n3 that follow it; all run, as far as anybody can tell."""
    one = Stage(tmp_path, MakeCluster(replicas=2), lambda name, control: None)
    for node in one.nodes:
        node.dir.mkdir(parents=True)
        node.log.write_text("starting\nthe last line\n")
        node.process = process()
    yield one
    for link in one.links.values():
        link.close()


def test_a_node_is_found_by_its_name_or_the_names_are_told(stage: Stage) -> None:
    assert stage.names == ["n1", "n2", "n3"] and stage.node("n2").name == "n2"
    with pytest.raises(LessonError, match="no node n9; there is: n1, n2, n3"):
        stage.node("n9")
    with pytest.raises(LessonError, match="n1 is a primary and follows nobody"):
        stage.replica("n1")
    assert stage.replica("n2") is stage.links["n2"] and stage.replicas_by_role == ["n2", "n3"]


def test_a_node_that_is_down_cannot_be_used(stage: Stage) -> None:
    stage.node("n2").process = process(-9)
    with pytest.raises(LessonError, match="n2 is down: start it again with `restart n2`"):
        stage.running("n2")
    assert [node.name for node in stage.alive] == ["n1", "n3"]
    assert (stage.role_shown("n2"), stage.role_shown("n3"), stage.role_shown("n1")) == (
        "down", "replica", "primary",
    )  # fmt: skip
    assert stage.last_words("n2") == "exit code -9: the last line"


def test_an_end_is_new_until_it_is_seen(stage: Stage) -> None:
    for name in stage.names:
        stage.seen_started(name)
    assert stage.newly_ended() == []
    stage.node("n3").process = process(1)
    assert stage.newly_ended() == ["n3"] == stage.newly_ended()
    stage.seen_ended("n3")
    assert stage.newly_ended() == []


@pytest.mark.parametrize(
    ("asked", "role"),
    [
        (("n2", "", ""), Role("n1")),
        (("n1", "", ""), Role()),
        (("n2", "primary", ""), Role()),
        (("n2", "replica", ""), Role("n1")),
        (("n2", "replica", "n3"), Role("n3")),
    ],
)
def test_a_role_is_what_was_asked_or_the_one_there_is(
    stage: Stage, asked: tuple[str, str, str], role: Role
) -> None:
    assert stage.role_asked(*asked) == role


def test_a_role_that_is_not_clear_is_asked_back(stage: Stage) -> None:
    """Of two primaries nobody guesses one; and none follows itself, or who is not there."""
    with pytest.raises(LessonError, match=r"whom is n1 to follow.*primaries: none"):
        stage.role_asked("n1", "replica", "")
    stage.set_role("n2", Role())
    stage.set_role("n3", Role())
    with pytest.raises(LessonError, match="primaries: n2, n3"):
        stage.role_asked("n1", "replica", "")
    for of in ("n9", "n1"):
        with pytest.raises(LessonError):
            stage.role_asked("n1", "replica", of)


def test_a_new_role_is_in_the_config_and_its_link_leads_there(stage: Stage) -> None:
    """The way to another node is whole, whatever was done to the one before."""
    link = stage.replica("n2")
    link.cut()
    stage.set_role("n2", Role("n1"))
    assert link.is_cut, "the same way as before"
    stage.set_role("n3", Role())
    stage.set_role("n2", Role("n3"))
    assert not link.is_cut and link.target_port == stage.node("n3").port
    lease = {name: yaml.safe_load(stage.node(name).config.read_text())["lease"] for name in ("n2", "n3")}
    assert (lease["n2"]["candidate"], lease["n3"]["candidate"]) == (False, True)
    assert str(link.port) in lease["n2"]["advertise-url"], "through the link, not past it"


def test_what_is_shown_of_a_link_is_how_it_stands(stage: Stage) -> None:
    assert stage.shown()["node/n1/link"] is None and stage.shown()["nodes"] == ["n1", "n2", "n3"]
    assert stage.link_shown("n2") == {"state": "up", "delay_ms": 0, "to": "n1"}
    assert stage.should_be_connected("n2") and not stage.should_be_connected("n1")
    stage.links["n2"].delay_ms = 200
    stage.links["n2"].cut()
    assert stage.link_shown("n2") == {"state": "cut", "delay_ms": 200, "to": "n1"}
    assert not stage.should_be_connected("n2")
    stage.node("n1").process = process(0)
    assert (stage.link_shown("n3") or {})["state"] == "down" and not stage.should_be_connected("n3")
