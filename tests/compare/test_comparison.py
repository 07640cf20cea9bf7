"""Workloads in turn on running systems, and what is left when it ends: nothing, however it ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pylitefs.cluster.cluster import ClusterError
from pylitefs.compare import comparison
from pylitefs.compare.backup_side import BackupSide
from pylitefs.compare.findings import Findings
from pylitefs.compare.leased import LeasedSystem
from pylitefs.compare.leased_side import LeasedSide
from pylitefs.compare.nodes import System
from pylitefs.compare.runner import Outcome
from pylitefs.compare.side import Side
from pylitefs.compare.workload import Workload, parse
from tests.compare.plain import OURS, THEIRS

SHARED = "# T.\n[open a {0}.db]"
OWN = "# T.\n[cluster own]\n[open a {0}.db]"


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run did, with systems that only say so."""
    done: list[str] = []

    class System:
        def __init__(self, base: Path, program: Any, *, settings: object) -> None:
            self.name = f"{base.parent.name}/{base.name}"
            assert (base.name == "ours") == (program is OURS)
            base.mkdir(parents=True)

        def start(self) -> None:
            done.append(f"start {self.name}")
            if "broken/theirs" in self.name:
                raise ClusterError("it does not start")

        def stop(self, seconds: float) -> None:
            done.append(f"stop {self.name}")

    class Runner:
        def __init__(self, workload: Workload, ours: Any, theirs: Any, *, salts: bool) -> None:
            assert salts
            self.workload = workload
            self.places = f"{ours.system.name} {theirs.system.name}"

        def run(self) -> Outcome:
            done.append(f"run {self.workload.name}")
            findings = Findings(self.workload.name)
            findings.same("mode", "x", ("1", "2"))
            return Outcome(self.workload, findings)

    monkeypatch.setattr(comparison, "System", System)
    monkeypatch.setattr(comparison, "Runner", Runner)
    monkeypatch.setattr(
        comparison, "Side", lambda system: SimpleNamespace(system=system, close=lambda: done.append("close"))
    )
    driver = SimpleNamespace(seeded=True, sqlite="3.46", close=lambda: None)
    monkeypatch.setattr(comparison, "Driver", lambda seed: driver)
    return done


def workloads(*texts: tuple[str, str]) -> list[Workload]:
    return [parse(name, text.format(name)) for name, text in texts]


def test_workloads_share_a_cluster_but_for_those_that_break_theirs(
    happened: list[str], tmp_path: Path
) -> None:
    told: list[str] = []
    chosen = workloads(("one", SHARED), ("own", OWN), ("two", SHARED))
    result = comparison.run(
        chosen, OURS, THEIRS, [], tmp_path, on_outcome=lambda outcome: told.append(outcome.workload.name)
    )
    ends = ["close", "close", "stop {0}/ours", "stop {0}/theirs"]
    assert happened == [
        *("start shared/ours", "start shared/theirs", "run one", "run two"),
        *(end.format("shared") for end in ends),
        *("start own/ours", "start own/theirs", "run own"),
        *(end.format("own") for end in ends),
    ]
    assert told == ["one", "two", "own"] and result.unknown == 3
    assert not (tmp_path / "own").exists(), "its files go once it is done"


def test_a_system_that_does_not_start_takes_the_other_down_with_it(
    happened: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ClusterError, match="does not start"):
        comparison.run(workloads(("broken", OWN)), OURS, THEIRS, [], tmp_path)
    assert happened[-3:] == ["close", "stop broken/ours", "stop broken/theirs"]


def test_files_of_a_cluster_of_its_own_may_be_kept(happened: list[str], tmp_path: Path) -> None:
    comparison.run(workloads(("own", OWN)), OURS, THEIRS, [], tmp_path, keep=True)
    assert (tmp_path / "own" / "ours").exists() and happened


def test_each_kind_of_workload_has_its_nodes_and_its_steps(tmp_path: Path) -> None:
    """A backup is in a folder of the system's own."""
    kinds = {
        kind: parse(kind, f"# T.\n[cluster {kind}]\n[open a a.db]") for kind in ("own", "lease", "backup")
    }
    systems = {kind: comparison._system(tmp_path / kind, OURS, one) for kind, one in kinds.items()}
    sides = {kind: comparison._side(systems[kind], one) for kind, one in kinds.items()}
    try:
        assert [type(one) for one in systems.values()] == [System, LeasedSystem, System]
        assert [type(one) for one in sides.values()] == [Side, LeasedSide, BackupSide]
        backup = systems["backup"].config_of(systems["backup"].pair[1])["backup"]
        assert backup == {"type": "file", "path": str(systems["backup"].backup)}
        assert "backup" not in systems["own"].config_of(systems["own"].pair[0])
    finally:
        for side in sides.values():
            side.close()


@contextmanager
def mounted_at(monkeypatch: pytest.MonkeyPatch, *paths: Path) -> Iterator[None]:
    monkeypatch.setattr(comparison, "is_mounted", lambda path: path in paths)
    yield


def test_the_directory_goes_unless_it_is_to_be_kept_or_something_is_mounted_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever removes files in a mount drops databases."""
    with comparison.work_directory(None, keep=False) as base:
        assert base.is_dir()
    assert not base.exists()
    for name, keep in (("kept", True), ("mounted", False)):
        with (
            mounted_at(monkeypatch, tmp_path / "mounted" / "n1" / "mnt"),
            pytest.raises(KeyboardInterrupt),
            comparison.work_directory(tmp_path / name, keep=keep) as base,
        ):
            (base / "n1" / "mnt").mkdir(parents=True)
            raise KeyboardInterrupt
        assert (tmp_path / name / "n1").exists()
    with (
        pytest.raises(ClusterError, match="kept is not empty: name a new directory with --dir"),
        comparison.work_directory(tmp_path / "kept", keep=False),
    ):
        pass
    assert (tmp_path / "kept" / "n1").exists(), "what was there before stays"


def test_the_process_is_pinned_and_the_machine_said() -> None:
    cpus = comparison.pin(1)
    assert os.sched_getaffinity(0) == set(cpus) and len(cpus) == 1
    assert comparison.machine().endswith(f"pinned to processors {cpus[0]}")
