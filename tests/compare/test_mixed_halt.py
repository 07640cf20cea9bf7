"""A replica that writes through a primary, by turns with it; here both are of ours."""

from pathlib import Path

import pytest

from pylitefs.cluster.nursery import Nursery
from pylitefs.compare import mixed_halt, programs
from pylitefs.compare.findings import Findings, MixedOutcome
from pylitefs.compare.nodes import System

pytestmark = pytest.mark.fuse


@pytest.fixture
def system(tmp_path: Path, nursery: Nursery | None) -> System:
    one = System(tmp_path, programs.ours())
    for node in one.pair:
        node.nursery = nursery
    return one


def written(system: System) -> MixedOutcome:
    outcome = MixedOutcome("halt", Findings("halt"))
    try:
        system.start()
        names = mixed_halt.write_on_the_replica(system, outcome)
        assert names == [f"{mode}.db" for mode in mixed_halt.MODES]
    finally:
        system.stop()
    return outcome


def test_each_write_counts_one_up_wherever_it_is_made(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed_halt, "ROUNDS", 2)
    outcome = written(system)
    assert not outcome.findings.differences and outcome.findings.equal["writes by turns"] == 4


def test_without_the_lock_there_is_a_difference(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica may not write, and nobody is kept out."""
    monkeypatch.setattr(mixed_halt, "ROUNDS", 1)
    monkeypatch.setattr(mixed_halt, "MODES", ("delete",))
    without = mixed_halt._ROUND.replace("[halt h {mode}.db on the replica]\n", "").replace("[unhalt h]\n", "")
    monkeypatch.setattr(mixed_halt, "_ROUND", without)
    assert written(system).findings.differences
