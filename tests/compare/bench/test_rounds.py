"""`--mixed` and `--bench`, with two pylitefs; they take a while."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from tests.compare.test_planted import launcher

pytestmark = [pytest.mark.fuse, pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def any_processor() -> Iterator[None]:
    """A comparison pins its process."""
    affinity = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, affinity)


def test_mixed_clusters_have_no_difference(tmp_path: Path) -> None:
    """Each follows the other, and data directories change hands without a snapshot, both ways."""
    written = tmp_path / "out.json"
    arguments = ["--mixed", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", "01-journal-delete", "04-wal", *arguments]) == 0
    outcomes = json.loads(written.read_text())
    assert len(outcomes) == 4
    assert all(one["equal"]["position"] and one["transactions"] for one in outcomes)
    assert all(one["equal"]["no snapshot"] for one in outcomes if "directories" in one["title"])


def test_a_quick_bench_measures_everything(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    arguments = ["--bench", "--quick", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", *arguments]) == 0
    report = json.loads(written.read_text())
    assert len(report["measures"]) > 15
    many = [one for one in report["measures"] if " 100 databases" in one["name"]]
    assert len(many) == 9, "of pylitefs alone"
    assert all(one["ratio"] > 0 for one in report["measures"] if one not in many)


def test_one_thing_can_be_measured_alone(tmp_path: Path) -> None:
    """`--measure` takes a part of a measure's name; one that nothing has ends with the names there are."""
    written = tmp_path / "out.json"
    arguments = ["--bench", "--quick", "--litefs", str(launcher(tmp_path, "none")), "--json", str(written)]
    assert run(["compare", *arguments, "--measure", "import of"]) == 0
    assert [one["name"] for one in json.loads(written.read_text())["measures"]] == ["import of 40 MB"]
    assert run(["compare", *arguments, "--measure", "nonsense"]) == 1
