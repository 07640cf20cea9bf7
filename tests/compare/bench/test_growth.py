"""How a commit's cost grows, measured on real nodes: the points, and the drawing of them."""

from pathlib import Path

import pytest

from pylitefs.compare.bench import growth
from pylitefs.compare.bench.growth import Point, drawing, with_database, with_pages, with_replicas


@pytest.mark.fuse
def test_each_kind_of_growth_is_measured_on_a_real_node() -> None:
    points = [with_database(2, commits=5), with_pages(20, commits=5), with_replicas(2, commits=5)]
    assert [point.size for point in points] == [2, 20, 2]
    assert all(point.wall_us > 0 and point.processor_us >= 0 for point in points)


def test_all_points_are_printed_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, int, int]] = []
    for name in ("with_database", "with_pages", "with_replicas"):

        def measured(size: int, commits: int, name: str = name) -> Point:
            asked.append((name, size, commits))
            return Point(size, size * 3.0, size * 2.0)

        monkeypatch.setattr(growth, name, measured)
    out = tmp_path / "growth.svg"
    monkeypatch.setattr(
        "sys.argv", ["growth", "--svg", str(out), "--megabytes", "1", "2", "--pages", "1", "100000"]
    )
    growth.main()
    assert asked[:2] == [("with_database", 1, 300), ("with_database", 2, 300)]
    assert asked[3] == ("with_pages", 100000, 5), "a long one is measured a few times"
    assert len(capsys.readouterr().out.splitlines()) == len(asked) == 9
    assert out.read_text() == drawing(
        [Point(1, 3, 2), Point(2, 6, 4)],
        [Point(1, 3, 2), Point(100000, 300000, 200000)],
        [Point(size, size * 3, size * 2) for size in growth.REPLICAS],
    )
