"""A writer that never rests: one run gives all figures of a round, and the next round is another run."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.compare.bench import sustained
from pylitefs.compare.bench.contestant import Contestant


def test_the_first_figure_of_a_round_measures_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def measure(contestant: Contestant, commits: int, text: str) -> dict[str, float]:
        made.append(f"{contestant.name} {commits} {text}")
        return {key: 10.0 * len(made) + number for number, key in enumerate(sustained.FIGURES)}

    monkeypatch.setattr(sustained, "measure", measure)
    found = sustained.measures(3000, "INSERT")
    assert found[0].name == "behind after 3,000 commits at full speed"
    ours, theirs = (Contestant(name, tmp_path, SimpleNamespace()) for name in ("a", "b"))  # type: ignore[arg-type]
    rounds = [[one.run(contestant) for one in found for contestant in (ours, theirs)] for _ in range(2)]
    assert rounds == [[10, 20, 11, 21, 12, 22, 13, 23], [30, 40, 31, 41, 32, 42, 33, 43]]
    assert made == ["a 3000 INSERT", "b 3000 INSERT"] * 2
    assert {one.run(Contestant("SQLite", tmp_path, None)) for one in found} == {None}


def test_processor_time_is_of_each_node_and_for_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {1: iter((1.0, 2.0)), 2: iter((0.0, 0.5))}
    monkeypatch.setattr(sustained, "processor_time", lambda pid: next(times[pid]))
    nodes = [SimpleNamespace(pid=number, mount=tmp_path / str(number)) for number in (1, 2)]
    contestant = Contestant("a", tmp_path, SimpleNamespace(pair=nodes))  # type: ignore[arg-type]
    asked: list[object] = []

    def ask(client: str, op: str, **arguments: object) -> dict[str, float]:
        asked.extend((client, op, arguments["times"], arguments["primary"], arguments["replica"]))
        return {"behind": 7.0, "applied": 300.0}

    monkeypatch.setattr(contestant, "asked", ask)
    figures = sustained.measure(contestant, 1000, "INSERT")
    assert figures == {"behind": 7.0, "applied": 300.0, "primary": 1000.0, "replica": 500.0}
    assert asked == ["wal", "sustained", 1000, *(str(tmp_path / n / "wal.db-pos") for n in ("1", "2"))]
