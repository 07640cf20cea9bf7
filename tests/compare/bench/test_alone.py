"""The parts that docs/compare.md gives figures of are measured, each by itself."""

from pathlib import Path

import pytest

from pylitefs.compare.bench import alone
from pylitefs.compare.bench.alone import Figure, measure


def test_each_part_without_a_mount_gives_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small database and a few commits do: what is held is that the parts still fit the code."""
    monkeypatch.setattr(alone, "COMMITS", 20)
    monkeypatch.setattr(alone, "RUNS", 1)
    figures = {figure.name: figure for figure in measure(tmp_path, 1, ["snapshot", "checksum", "commit"])}
    assert len(figures) == 12 and all(figure.value >= 0 for figure in figures.values())
    shares = [figure.value for name, figure in figures.items() if "share" in name]
    assert len(shares) == 4 and 0 < sum(shares) <= 100
    assert figures["WAL checksum of a page of 4 KiB, a loop"].value > 0


@pytest.mark.fuse
@pytest.mark.full
def test_starts_and_reads_on_both_kinds_of_mount_are_measured(tmp_path: Path) -> None:
    """The figures are printed (`-s`); a busy machine makes any of them larger, so none is compared."""
    figures = list(measure(tmp_path, only=["start", "read"]))
    for figure in figures:
        print(figure)
    assert [figure.unit for figure in figures] == ["s", "µs", "µs"] and all(one.value > 0 for one in figures)


def test_a_figure_is_one_line() -> None:
    """So that the output can be put beside the docs."""
    assert str(Figure("a", 1.5, "s", "of it")).split() == ["a", "1.500", "s", "of", "it"]
