"""A primary and a replica of any program: how each is started, and when it serves."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.cluster.cluster import ClusterError
from pylitefs.compare.nodes import NEVER_SYNCED, ProgramNode, System
from pylitefs.errors import RemoteError
from tests.compare.plain import OURS, THEIRS


def test_a_system_has_one_of_each_role_and_may_mix_programs(tmp_path: Path) -> None:
    same, mixed = System(tmp_path / "a", THEIRS), System(tmp_path / "b", OURS, THEIRS)
    assert [(node.role, node.program) for node in same.pair] == [("primary", THEIRS), ("replica", THEIRS)]
    assert [(node.role, node.program) for node in mixed.pair] == [("primary", OURS), ("replica", THEIRS)]
    assert same.name == "LiteFS" and mixed.primary is mixed.pair[0]
    ours, theirs = (node.command() for node in mixed.pair)
    assert "--until-eof" in ours and "pylitefs.compare.guard" in theirs, (
        "no other program ends with its input"
    )


def test_only_the_database_s_ltx_files_are_listed_in_order(tmp_path: Path) -> None:
    node = System(tmp_path, OURS).pair[0]
    folder = node.databases_dir / "a.db" / "ltx"
    folder.mkdir(parents=True)
    for name in ("2-2.ltx", "1-1.ltx", "1-1.ltx.tmp"):
        (folder / name).touch()
    assert list(node.ltx_files("a.db")) == ["1-1.ltx", "2-2.ltx"]
    assert node.ltx_files("b.db") == {}


def test_a_restart_stops_the_node_first_and_waits_for_the_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica whose primary was away is not ready at once, whichever of them was started again."""
    done: list[str] = []
    for what in ("stop", "restart", "wait_ready"):
        monkeypatch.setattr(ProgramNode, what, lambda node, what=what: done.append(f"{what} {node.name}"))
    System(tmp_path, OURS).restart(0)
    assert done == ["stop n1", "restart n1", "wait_ready n2"]


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[System, SimpleNamespace]:
    """A system of another program, and what its nodes answer to `/info`."""
    system = System(tmp_path, THEIRS)
    said = SimpleNamespace(is_primary=True, primary_hostname=None, node_id="AB")
    monkeypatch.setattr("pylitefs.compare.nodes.is_mounted", lambda path: True)
    monkeypatch.setattr("pylitefs.compare.nodes.client.info", lambda url: said)
    monkeypatch.setattr(ProgramNode, "pid", 77)
    return system, said


def test_another_program_s_replica_serves_once_it_has_synced(
    foreign: tuple[System, SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows its primary, and `.lag` shows a lag: it has no `ready` to ask for."""
    system, said = foreign
    primary, replica = system.pair
    assert primary.is_ready() and not replica.is_ready()
    said.primary_hostname = "n1"
    replica.mount.mkdir(parents=True)
    (replica.mount / ".lag").write_bytes(NEVER_SYNCED)
    assert not replica.is_ready()
    (replica.mount / ".lag").write_bytes(b"+0000000012")
    assert replica.is_ready() and replica.node_id() == "AB"

    def nobody(url: str) -> None:
        raise RemoteError("no answer yet")

    monkeypatch.setattr("pylitefs.compare.nodes.client.info", nobody)
    assert not replica.is_ready()
    monkeypatch.setattr("pylitefs.compare.nodes.is_mounted", lambda path: False)
    assert not primary.is_ready()


def test_another_program_that_ended_is_an_error_with_its_log(
    foreign: tuple[System, SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = foreign[0].pair[0]
    monkeypatch.setattr(ProgramNode, "pid", 0)
    node.dir.mkdir(parents=True)
    node.log.write_text("cannot open config file\n")
    node.process = subprocess.Popen(["false"])
    node.process.wait(10)
    with pytest.raises(ClusterError, match=r"LiteFS ended with exit code 1:\n.*config file"):
        node.is_ready()
