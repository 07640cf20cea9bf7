"""Very many databases: measured once for all figures, and only of pylitefs."""

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.compare.bench import many
from pylitefs.compare.bench.contestant import Contestant
from pylitefs.compare.nodes import System
from tests.compare.plain import OURS, THEIRS


def test_the_first_figure_that_is_asked_for_measures_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[System, int]] = []

    def measure(system: System, count: int) -> dict[str, float]:
        made.append((system, count))
        return {key: float(number) for number, key in enumerate(many.FIGURES)}

    monkeypatch.setattr(many, "measure", measure)
    found = many.measures(10_000, tmp_path)
    assert found[0].name == "first start with 10,000 databases" and all(one.rounds == 1 for one in found)

    def contestant(name: str, program: object) -> Contestant:
        return Contestant(name, tmp_path / name, SimpleNamespace(program=program))  # type: ignore[arg-type]

    ours, theirs = contestant("pylitefs", OURS), contestant("LiteFS", THEIRS)
    assert [one.run(ours) for one in found] == [float(number) for number in range(len(found))]
    assert [(system.base_dir.name, count) for system, count in made] == [("many-pylitefs", 10_000)]
    plain = Contestant("SQLite", tmp_path, None)
    assert {one.run(other) for one in found for other in (theirs, plain)} == {None} and len(made) == 1


def test_the_databases_lie_as_a_node_has_them(tmp_path: Path) -> None:
    many._make(tmp_path / "dbs", 3)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_dir()) == [
        *("db00000", "db00001", "db00002", "dbs")
    ]
    for folder in (tmp_path / "dbs").iterdir():
        assert [path.name for path in folder.iterdir()] == ["database"]
        with closing(sqlite3.connect(folder / "database")) as db:
            assert db.execute("SELECT length(b) FROM t").fetchall() == [(100,)]
    with pytest.raises(FileExistsError):
        many._make(tmp_path / "dbs", 1)


def test_a_system_that_fails_is_stopped_and_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(tmp_path / "many", OURS)
    stopped: list[float] = []
    monkeypatch.setattr(system, "stop", stopped.append)

    def started(node: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(many, "_started", started)
    with pytest.raises(KeyboardInterrupt):
        many.measure(system, 2)
    assert stopped == [many.STOP_SECONDS] and not (tmp_path / "many").exists()
