"""`pylitefs compare`, as it is typed; what it finds is in tests/compare/."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pylitefs.cli.main import run
from pylitefs.compare import workload

Output = pytest.CaptureFixture[str]
COMPARE = "pylitefs.cli.compare"


def test_the_list_names_every_workload_and_runs_none(capsys: Output) -> None:
    assert run(["compare", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    known = workload.all_workloads()
    assert [line.split()[0] for line in lines] == [one.name for one in known]
    assert [line.endswith("(--slow)") for line in lines] == [one.slow for one in known]


def test_a_workload_or_program_that_is_not_there_is_one_line(tmp_path: Path, capsys: Output) -> None:
    assert run(["compare", "nothing-like-it", "--dir", str(tmp_path / "work")]) != 0
    assert run(["compare", "--litefs", str(tmp_path / "none"), "--dir", str(tmp_path / "work")]) != 0
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert not (tmp_path / "work").exists()


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], list[Any]]:
    """A comparison that finds these unknown differences; what it was asked to run."""
    program = SimpleNamespace(name="LiteFS", version="0.5", is_pylitefs=False)

    def make(unknown: list[str]) -> list[Any]:
        asked: list[Any] = []

        def fake(selected: Any, ours: Any, theirs: Any, known: Any, base: Path, **_: Any) -> Any:
            asked.append(([one.name for one in selected], theirs, base.exists()))
            return SimpleNamespace(unknown=unknown)

        monkeypatch.setattr(f"{COMPARE}.comparison.run", fake)
        monkeypatch.setattr(f"{COMPARE}.comparison.pin", lambda: None)
        monkeypatch.setattr(f"{COMPARE}.programs.find", lambda path: program)
        monkeypatch.setattr(f"{COMPARE}.report.show", lambda *_: None)
        monkeypatch.setattr(f"{COMPARE}.report.as_json", lambda result, known: {"unknown": result.unknown})
        return asked

    return make


@pytest.mark.parametrize(("unknown", "code"), [([], 0), (["a difference"], 1)])
def test_the_exit_code_says_whether_anything_unknown_was_found(
    tmp_path: Path, compared: Callable[[list[str]], list[Any]], unknown: list[str], code: int
) -> None:
    asked, out = compared(unknown), tmp_path / "out.json"
    name = workload.all_workloads()[0].name
    assert run(["compare", name, "--json", str(out)]) == code
    (found,) = asked
    assert found[0] == [name] and found[1].name == "LiteFS" and found[2], "in a folder that is there"
    assert json.loads(out.read_text()) == {"unknown": unknown}
