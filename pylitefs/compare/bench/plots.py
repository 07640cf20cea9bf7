"""Plots as inline SVG: no script, no file beside the page.

The rule: two systems, two colours that tell apart also in grey, and every mark has its numbers as a title.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 330, 150
_LEFT, _TOP, _BOTTOM = 52, 10, 22
CLASSES = ("ours", "theirs")


@dataclass(frozen=True, slots=True)
class Series:
    """One system's values, None where there is none."""

    name: str
    values: Sequence[float | None]


def dots(title: str, unit: str, series: Sequence[Series]) -> str:
    """Values in the order of the transactions, logarithmic where they span more than a factor of 100."""
    known = [value for one in series for value in one.values if value is not None]
    if not known:
        return ""
    top = max(known) or 1.0
    positive = [value for value in known if value > 0]
    logarithmic = bool(positive) and top / min(positive) > 100
    bottom = min(positive) if logarithmic else 0.0
    count = max(len(one.values) for one in series)

    def y(value: float) -> float:
        share = value / top
        if logarithmic:
            share = math.log(max(value, bottom) / bottom) / math.log(top / bottom)
        return _TOP + (1 - share) * (HEIGHT - _TOP - _BOTTOM)

    marks = []
    for css, one in zip(CLASSES, series, strict=False):
        for n, value in enumerate(one.values):
            if value is not None:
                x = _LEFT + (n + 0.5) * (WIDTH - _LEFT - 8) / count
                tip = escape(f"{one.name}, transaction {n + 1}: {figure(value)} {unit}")
                place = f'cx="{x:.1f}" cy="{y(value):.1f}" r="2.6"'
                marks.append(f'<circle class="{css}" {place}><title>{tip}</title></circle>')
    scale = "".join(_tick(y(value), figure(value)) for value in (bottom, top))
    kind = ", logarithmic" if logarithmic else ""
    return _svg(HEIGHT, f"{title}, {unit}{kind}", scale + "".join(marks))


def _tick(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


@dataclass(frozen=True, slots=True)
class Span:
    """One transaction on the timeline, in seconds from its beginning."""

    lane: int
    began: float
    ended: float
    arrived: float | None
    title: str


def timeline(names: Sequence[str], spans: Sequence[Span]) -> str:
    """A lane for each system: the statement as a bar, the arrival on the replica as a tick."""
    if not spans:
        return ""
    length = max(max(span.ended, span.arrived or 0) for span in spans) or 1.0
    width = 3 * WIDTH

    def x(seconds: float) -> float:
        return _LEFT + 30 + seconds / length * (width - _LEFT - 40)

    parts = []
    for lane, name in enumerate(names):
        parts.append(f'<text x="0" y="{26 + lane * 34}">{escape(name)}</text>')
    for span in spans:
        top = 12 + span.lane * 34
        tip = escape(span.title)
        parts.append(
            f'<rect class="{CLASSES[span.lane]}" x="{x(span.began):.1f}" y="{top}" height="18" '
            f'width="{max(x(span.ended) - x(span.began), 1):.1f}"><title>{tip}</title></rect>'
        )
        if span.arrived is not None:
            parts.append(
                f'<rect class="tick" x="{x(span.arrived):.1f}" y="{top - 3}" width="1.2" height="24">'
                f"<title>{tip}</title></rect>"
            )
    parts.append(f'<text x="{width - 4}" y="90" text-anchor="end">{length:.2f} s</text>')
    return _svg(96, "Timeline: statements, and arrivals on the replica (ticks)", "".join(parts), width)


def figure(value: float) -> str:
    """Three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _svg(height: int, caption: str, content: str, width: int = WIDTH) -> str:
    return (
        f'<figure><svg viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(caption)}">{content}</svg><figcaption>{escape(caption)}</figcaption></figure>'
    )
