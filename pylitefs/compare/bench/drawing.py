"""Drawings for the docs: a file of SVG by itself, without a script, that reads on white and on black.

The rule: each drawing says its axes and units in words, and each mark its numbers as a title.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from pylitefs.compare.bench.plots import figure

STYLE = (
    "text{font:12px sans-serif;fill:#222}.h{font-weight:600}.g{stroke:#bbb;stroke-width:1}"
    ".a{stroke:#0a62a9;fill:#0a62a9}.b{stroke:#b3541e;fill:#b3541e}"
    "polyline.a,polyline.b{fill:none;stroke-width:2}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}.g{stroke:#555}.a{stroke:#6bb1f0;fill:#6bb1f0}"
    ".b{stroke:#f09a5f;fill:#f09a5f}polyline.a,polyline.b{fill:none}}"
)
CLASSES = ("a", "b")
_ROW = 20
_PLOT, _LEFT, _GAP = (250, 150), 60, 40


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of the ladder: where it happens (0 or 1), what, and when, in µs from the beginning."""

    lane: int
    title: str
    at: float


def ladder(title: str, lanes: Sequence[str], moments: Sequence[Moment]) -> str:
    """Steps in the order of time, a row each, with a dot where it is on the axis."""
    left, width = 250, 900
    end = max(moment.at for moment in moments) or 1.0
    height = 58 + _ROW * len(moments)
    parts = [f'<text class="h" x="8" y="18">{escape(title)}</text>']
    for lane, name in enumerate(lanes):
        parts.append(f'<circle class="{CLASSES[lane]}" cx="{left + lane * 120}" cy="34" r="4"/>')
        parts.append(f'<text x="{left + 10 + lane * 120}" y="38">{escape(name)}</text>')
    for row, moment in enumerate(moments):
        y = 56 + _ROW * row
        x = left + moment.at / end * (width - left - 80)
        tip = f"{lanes[moment.lane]}: {moment.title} after {moment.at:,.0f} µs"
        parts.append(f'<line class="g" x1="{left}" x2="{x:.1f}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text x="8" y="{y + 4}">{escape(moment.title)}</text>')
        parts.append(
            f'<circle class="{CLASSES[moment.lane]}" cx="{x:.1f}" cy="{y}" r="5">'
            f"<title>{escape(tip)}</title></circle>"
        )
        parts.append(f'<text x="{x + 10:.1f}" y="{y + 4}">{moment.at:,.0f} µs</text>')
    return _svg(width, height, title, parts)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot: its name, and (x, y) pairs."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot; both axes are logarithmic where `logarithmic` says so, else y begins at 0."""

    title: str
    x: str
    y: str
    lines: Sequence[Line]
    logarithmic: bool = False


def plots(title: str, each: Sequence[Plot]) -> str:
    """Plots beside each other."""
    parts = [f'<text class="h" x="8" y="18">{escape(title)}</text>']
    for number, plot in enumerate(each):
        parts.append(f'<g transform="translate({number * (_PLOT[0] + _LEFT + _GAP)},26)">{_plot(plot)}</g>')
    return _svg(len(each) * (_PLOT[0] + _LEFT + _GAP), _PLOT[1] + 120, title, parts)


def _plot(plot: Plot) -> str:
    xs = sorted({x for line in plot.lines for x, _ in line.points})
    top = max(y for line in plot.lines for _, y in line.points)
    low = min(y for line in plot.lines for _, y in line.points) if plot.logarithmic else 0.0

    def place(x: float, y: float) -> tuple[float, float]:
        # By rank: the sizes that were measured are each a step, however far apart.
        across = xs.index(x) / max(1, len(xs) - 1)
        up = math.log(y / low) / math.log(top / low) if plot.logarithmic and top > low else y / top
        return _LEFT + across * _PLOT[0], 30 + (1 - up) * _PLOT[1]

    parts = [f'<text class="h" x="8" y="14">{escape(plot.title)}</text>']
    for value in {low, top}:
        _, y = place(xs[0], value)
        parts.append(f'<line class="g" x1="{_LEFT}" x2="{_LEFT + _PLOT[0]}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{figure(value)}</text>')
    for x in xs:
        at, _ = place(x, top)
        parts.append(f'<text x="{at:.1f}" y="{_PLOT[1] + 48}" text-anchor="middle">{figure(x)}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_PLOT[1] + 66}">{escape(f"{plot.x}; {plot.y}")}</text>')
    for css, line in zip(CLASSES, plot.lines, strict=False):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        parts.append(f'<polyline class="{css}" points="{path}"/>')
        for x, y in line.points:
            at, height = place(x, y)
            tip = escape(f"{line.name}, {figure(x)}: {figure(y)} {plot.y}")
            parts.append(
                f'<circle class="{css}" cx="{at:.1f}" cy="{height:.1f}" r="4"><title>{tip}</title></circle>'
            )
    for number, (css, line) in enumerate(zip(CLASSES, plot.lines, strict=False)):
        y = _PLOT[1] + 82
        parts.append(f'<circle class="{css}" cx="{_LEFT + 5 + number * 110}" cy="{y - 4}" r="4"/>')
        parts.append(f'<text x="{_LEFT + 14 + number * 110}" y="{y}">{escape(line.name)}</text>')
    return "".join(parts)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f"{''.join(parts)}</svg>\n"
    )
