"""`pylitefs lecture LEVEL`: listed, played headless, and in the terminal on real nodes."""

import re
import subprocess
from pathlib import Path

import pytest

from pylitefs.child_python import python_module
from pylitefs.cli import lecture_level
from pylitefs.cli.main import run
from pylitefs.cluster.cluster import is_mounted
from pylitefs.lecture.language import level
from tests.lecture.level_sample import LEVEL


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is run headless, without nodes; `lost` fails."""
    found: list[str] = []

    def run_headless(one: level.Level, emit: object, base: Path) -> int:
        found.append(one.name)
        return 1 if one.name == "lost" else 0

    monkeypatch.setattr(lecture_level, "run_headless", run_headless)
    monkeypatch.setattr("pylitefs.cli.lecture_level.requirements.check", lambda: None)
    return found


def test_the_list_names_every_level(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lecture", "--list"]) == 0
    out = capsys.readouterr().out
    for name in level.names():
        found = level.load(name)
        assert re.search(rf"^ +{name} +{found.title} \(at most {found.terms.most}\)$", out, re.MULTILINE)


def test_headless_plays_solutions(played: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """One by its name; with --levels all of them, and it fails where one does."""
    assert run(["lecture", "between", "--headless"]) == 0
    assert re.search(
        r"^between: ok, with 2 of 4 commands, in [\d.]+ s$", capsys.readouterr().out, re.MULTILINE
    )
    assert run(["lecture", "--levels", "--headless"]) == 1
    out = capsys.readouterr().out
    assert played == ["between", *level.names()]
    assert "lost: FAILED" in out
    assert "11 of 12 levels are solved; broken: lost" in out


def test_a_name_that_is_neither_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lecture", "--levels", "--headless", "lots"]) == 1
    assert "there is no level 'lots'; there is: lost" in capsys.readouterr().err


@pytest.mark.fuse
@pytest.mark.full
def test_a_level_of_one_s_own_is_played_in_the_terminal(tmp_path: Path) -> None:
    """Typed through a pipe, recorded, and nothing is left."""
    (tmp_path / "two-rows.md").write_text(LEVEL)
    done = subprocess.run(
        [
            *python_module("pylitefs"),
            *("lecture", str(tmp_path / "two-rows.md"), "--terminal"),
            *("--dir", str(tmp_path / "nodes"), "--record", str(tmp_path / "run.jsonl.gz")),
        ],
        input="hint\nkil n1\nsql n1 INSERT INTO t VALUES (2)\nq\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Hint 1: It is SQL" in done.stdout
    assert "there is no command 'kil'" in done.stdout
    assert "The goal is reached, with 1 command: we know of no way with fewer." in done.stdout
    assert not is_mounted(tmp_path / "nodes" / "n1" / "mnt")
    assert (tmp_path / "run.jsonl.gz").stat().st_size > 1000
