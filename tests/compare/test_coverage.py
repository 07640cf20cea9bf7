"""docs/coverage.md names tests and workloads that there are, and leaves no row without one."""

import re
from pathlib import Path

from pylitefs.compare.workload import all_workloads

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "coverage.md").read_text()


def test_every_test_it_names_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 80
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(), f"{file} has no {name}"


def test_every_workload_it_names_is_there() -> None:
    names = {workload.name for workload in all_workloads()}
    named = re.findall(r"\b(\d\d-[a-z][\w-]+)", PAGE)
    assert named and set(named) <= names


def test_every_row_is_held_by_a_test_or_not_yet_there() -> None:
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] not in {"row", "---"}:
            assert cells[-1] or "not yet" in line, line
