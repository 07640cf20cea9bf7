"""Drawings of the docs: whole SVG files in which every mark has its numbers."""

from xml.etree import ElementTree

import pytest

from pylitefs.compare.bench.drawing import Line, Moment, Plot, ladder, plots

SVG = "{http://www.w3.org/2000/svg}"


def circles(text: str) -> list[tuple[float, float, str]]:
    """Where each mark that has a title is, and its title."""
    found = ElementTree.fromstring(text).iter(f"{SVG}circle")
    return [
        (float(one.get("cx", "")), float(one.get("cy", "")), title.text or "")
        for one in found
        for title in one.iter(f"{SVG}title")
    ]


def test_a_ladder_has_a_row_for_each_moment_and_its_dot_where_it_is_in_time() -> None:
    moments = [Moment(0, "begins <here>", 0), Moment(0, "half", 500), Moment(1, "there & done", 1000)]
    marks = circles(ladder("A & B", ["primary", "replica"], moments))
    assert [title for _, _, title in marks] == [
        "primary: begins <here> after 0 µs",
        "primary: half after 500 µs",
        "replica: there & done after 1,000 µs",
    ]
    (first, half, last) = (x for x, _, _ in marks)
    assert half - first == pytest.approx(last - half)
    assert [y for _, y, _ in marks] == sorted({y for _, y, _ in marks})


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_plot_puts_more_higher_and_names_every_point(logarithmic: bool) -> None:
    lines = [Line("client", [(1, 10), (10, 100), (100, 1000)]), Line("node", [(1, 5), (10, 6), (100, 7)])]
    marks = circles(plots("Growth", [Plot("size", "pages", "µs", lines, logarithmic)] * 2))
    assert len(marks) == 12 and marks[2][2] == "client, 100: 1,000 µs"
    heights = [y for _, y, _ in marks[:3]]
    assert heights == sorted(heights, reverse=True)
    if logarithmic:
        assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2])
