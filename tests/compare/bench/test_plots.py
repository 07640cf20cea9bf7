"""Plots as inline SVG: every value is a mark with its numbers as a title."""

import re

import pytest

from pylitefs.compare.bench.plots import HEIGHT, Series, Span, dots, figure, timeline


def marks(svg: str) -> list[tuple[str, float, float]]:
    found = re.findall(r'<circle class="(\w+)" cx="([\d.]+)" cy="([\d.]+)"', svg)
    return [(name, float(x), float(y)) for name, x, y in found]


def test_each_value_is_a_mark_in_its_system_s_colour() -> None:
    svg = dots("Commit", "ms", [Series("pylitefs", [1.0, None, 4.0]), Series("LiteFS", [2.0])])
    (first, x1, y1), (second, x2, y2), (other, x3, y3) = marks(svg)
    assert (first, second, other) == ("ours", "ours", "theirs")
    assert x1 == x3 < x2 and y2 < y3 < y1 < HEIGHT, "a greater value stands higher"
    assert "<title>pylitefs, transaction 3: 4 ms</title>" in svg and "logarithmic" not in svg


def test_a_wide_span_is_logarithmic() -> None:
    svg = dots("Commit", "ms", [Series("a", [1.0, 10.0, 1000.0])])
    low, middle, high = (y for _, _, y in marks(svg))
    assert "logarithmic" in svg and abs((low - middle) * 2 - (middle - high)) < 0.5
    assert marks(dots("Commit", "ms", [Series("a", [0.0, 0.0])])), "nothing is divided by"


def test_without_values_there_is_no_plot() -> None:
    assert dots("Commit", "ms", [Series("a", [None])]) == "" and timeline(["a"], []) == ""


def test_a_timeline_has_a_lane_for_each_system_and_ticks_for_arrivals() -> None:
    spans = [Span(0, 0.0, 0.5, 0.6, "<one>"), Span(1, 1.0, 2.0, None, "two")]
    svg = timeline(["pylitefs", "LiteFS"], spans)
    bars = re.findall(r'<rect class="(\w+)" x="([\d.]+)" y="(\d+)"', svg)
    assert [(name, int(y)) for name, _, y in bars] == [("ours", 12), ("tick", 9), ("theirs", 46)]
    assert float(bars[0][1]) < float(bars[1][1]) < float(bars[2][1])
    assert "&lt;one&gt;" in svg and "2.00 s" in svg


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (100, "100"), (99.94, "99.9"), (0.01234, "0.0123"), (0, "0")]
)
def test_three_digits_matter(value: float, text: str) -> None:
    assert figure(value) == text
