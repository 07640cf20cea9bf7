"""`pylitefs run`: the command runs where it should, with its own exit code, or not at all."""

import os
import subprocess
from pathlib import Path

import pytest

from pylitefs.child_python import python_module
from pylitefs.cli import run as run_module
from pylitefs.cli.main import EXIT_CONFIG, EXIT_ERROR, run
from pylitefs.http.client import NodeInfo
from tests.replication.stores import opened, serving


class Started(BaseException):
    """In place of a process that another program takes over."""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []

    def execvp(file: str, command: tuple[str, ...]) -> None:
        found.append(command)
        raise Started

    monkeypatch.setattr(os, "execvp", execvp)
    return found


def runs(*arguments: str) -> int | None:
    """The exit code; None if the command was started."""
    try:
        return run(["run", *arguments])
    except Started:
        return None


def info(monkeypatch: pytest.MonkeyPatch, *, candidate: bool, primary: bool) -> list[bool]:
    """What a node answers; each promotion makes it the primary at the second look."""
    state = [primary]
    promotions: list[bool] = []

    def ask(url: str) -> NodeInfo:
        answer = NodeInfo("A", None, is_primary=state[0], candidate=candidate, path="", primary_hostname=None)
        state[0] = state[0] or bool(promotions)
        return answer

    monkeypatch.setattr("pylitefs.cli.run.client.info", ask)
    monkeypatch.setattr("pylitefs.cli.run.client.promote", lambda url, wait: promotions.append(True))
    return promotions


def test_a_candidate_runs_it_and_another_node_says_why_not(
    monkeypatch: pytest.MonkeyPatch, started: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """In LiteFS's own words, and with exit code 0."""
    info(monkeypatch, candidate=False, primary=False)
    assert runs("-if-candidate", "--", "migrate", "-v") == 0 and not started
    assert capsys.readouterr().err == "node is not a candidate, skipping execution\n"
    info(monkeypatch, candidate=True, primary=True)
    assert runs("-if-candidate", "--", "migrate", "-v") is None
    assert started == [("migrate", "-v")]


def test_with_promote_it_starts_once_the_node_is_the_primary(
    monkeypatch: pytest.MonkeyPatch, started: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    promotions = info(monkeypatch, candidate=True, primary=False)
    assert runs("-promote", "-v", "--", "x") is None
    assert len(promotions) == 1 and started == [("x",)]
    assert capsys.readouterr().err.splitlines()[1:] == ["promoting node to primary", "promotion successful"]
    promotions = info(monkeypatch, candidate=True, primary=True)
    assert runs("-promote", "-v", "--", "x") is None and not promotions
    assert "already primary" in capsys.readouterr().err


def test_a_promotion_without_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, started: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_module, "PROMOTED_S", 0.01)
    info(monkeypatch, candidate=True, primary=False)
    monkeypatch.setattr("pylitefs.cli.run.client.promote", lambda url, wait: None)
    assert runs("-promote", "--", "x") == EXIT_ERROR and not started
    assert "is not the primary" in capsys.readouterr().err


def test_what_cannot_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert runs("-promote", "-with-halt-lock-on", "/m/a.db", "--", "x") == EXIT_ERROR
    assert "cannot specify both -promote & -with-halt-lock-on" in capsys.readouterr().err
    assert runs("-with-halt-lock-on", "/m/a.db", "--", "x") == EXIT_ERROR
    assert "database does not exist: /m/a.db" in capsys.readouterr().err
    assert runs("-if-candidate") == EXIT_CONFIG
    assert runs("--", "no-such-program-here") == EXIT_ERROR
    assert "no-such-program-here cannot be run" in capsys.readouterr().err


def test_the_exit_code_is_the_command_s(tmp_path: Path) -> None:
    """LiteFS makes 1 of it."""
    with opened(tmp_path / "p", primary=True) as store, serving(store) as node:
        command = python_module("pylitefs", "run", "-if-candidate", "-url", node.advertise_url, "--")
        done = subprocess.run([*command, "sh", "-c", "echo ran; exit 7"], stdout=subprocess.PIPE, check=False)
        assert (done.returncode, done.stdout) == (7, b"ran\n")
