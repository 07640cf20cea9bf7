"""`pylitefs compare --bench`: everything in rounds, each contestant first in turn."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.compare.bench import rounds
from pylitefs.compare.bench.contestant import QUICK, Measure
from pylitefs.errors import ConfigError
from tests.compare.plain import OURS, THEIRS
from tests.compare.test_planted import launcher


class Played:
    """A contestant, and what was done with it."""

    def __init__(self, name: str, done: list[str]) -> None:
        self.name = name
        self.done = done

    def settle(self) -> None:
        self.done.append(f"settle {self.name}")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was measured of whom, in order: two measures, of which one means nothing to SQLite."""
    happened: list[str] = []

    def measure(name: str, most: int | None = None) -> Measure:
        def run(contestant: Played) -> float | None:
            happened.append(f"{name} {contestant.name}")
            return None if (name, contestant.name) == ("join", "SQLite") else float(len(happened))

        return Measure(name, "s", False, run, most)  # type: ignore[arg-type]

    contestants = [Played(name, happened) for name in ("SQLite", "pylitefs", "LiteFS")]
    monkeypatch.setattr(rounds, "measures", lambda size, base: [measure("commits"), measure("join", 1)])
    monkeypatch.setattr(rounds, "_contestants", lambda ours, theirs, base, stack: iter(contestants))
    monkeypatch.setattr(rounds, "prepare", lambda one, base, size: happened.append(f"prepare {one.name}"))
    return happened


def test_each_round_begins_with_another_one_and_nothing_is_left_over(done: list[str], tmp_path: Path) -> None:
    """Whoever was measured has settled before the next one begins."""
    size = replace(QUICK, rounds=2)
    names, lines = rounds.run(OURS, THEIRS, tmp_path, size, lambda text: None)
    assert names == ["SQLite", "pylitefs", "LiteFS"]
    assert done[:3] == ["prepare SQLite", "prepare pylitefs", "prepare LiteFS"]
    measured = done[3:]
    assert measured[1::2] == [f"settle {text.split()[1]}" for text in measured[::2]]
    assert measured[::2] == [
        *("commits SQLite", "commits pylitefs", "commits LiteFS"),
        *("join SQLite", "join pylitefs", "join LiteFS"),
        *("commits pylitefs", "commits LiteFS", "commits SQLite"),
    ]
    commits, join = lines
    assert {name: len(values) for name, values in commits.figures.items()} == dict.fromkeys(names, 2)
    assert set(join.figures) == {"pylitefs", "LiteFS"}, "what means nothing is no figure"


def test_one_measure_is_chosen_by_a_part_of_its_name(done: list[str], tmp_path: Path) -> None:
    _, [line] = rounds.run(OURS, THEIRS, tmp_path, QUICK, lambda text: None, only=["joi"])
    assert line.measure.name == "join"
    with pytest.raises(ConfigError, match="nothing is measured under nonsense; there are: commits, join"):
        rounds.run(OURS, THEIRS, tmp_path, QUICK, lambda text: None, only=["nonsense"])


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_quick_bench_measures_everything(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    arguments = ["--bench", "--quick", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", *arguments]) == 0
    report = json.loads(written.read_text())
    assert len(report["measures"]) > 15
    many = [one for one in report["measures"] if " 100 databases" in one["name"]]
    assert len(many) == 9, "of pylitefs alone"
    assert all(one["ratio"] > 0 for one in report["measures"] if one not in many)


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(600)
def test_one_thing_can_be_measured_alone(tmp_path: Path) -> None:
    """`--measure` takes a part of a measure's name; one that nothing has ends with the names there are."""
    written = tmp_path / "out.json"
    arguments = ["--bench", "--quick", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", *arguments, "--measure", "import of"]) == 0
    assert [one["name"] for one in json.loads(written.read_text())["measures"]] == ["import of 40 MB"]
    assert run(["compare", *arguments, "--measure", "nonsense"]) == 1
