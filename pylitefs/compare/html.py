"""The comparison as one page: the table, the known differences explained, each workload's plots.

The rule: it is made from the JSON report alone, and holds everything that it needs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from pylitefs.compare.bench.plots import Series, Span, dots, timeline

Report = Mapping[str, Any]

_STYLE = """
:root { color-scheme: light dark; --ours: #1f6feb; --theirs: #d9822b; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1020px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .15em .8em; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); } td.n { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; font: 11px system-ui; } svg text { fill: currentColor; }
.ours { fill: var(--ours); color: var(--ours); } .theirs { fill: var(--theirs); color: var(--theirs); }
circle.theirs { fill: none; stroke: var(--theirs); stroke-width: 1.4; }
.tick { fill: currentColor; } .grid { stroke: var(--line); } figure { display: inline-block; margin: .5em 0; }
figcaption { font-size: .85em; opacity: .8; } code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; border: 1px solid var(--line); padding: .6em; white-space: pre-wrap; }
.unknown { color: #cf222e; font-weight: 600; } .known { color: #9a6700; } .consequence { opacity: .7; }
details { margin: .4em 0; } summary { cursor: pointer; }
"""


def page(report: Report) -> str:
    """The whole page for a report (see `report.as_json`)."""
    verdict = f"{report['unknown']} unknown differences" if report["unknown"] else "no unknown difference"
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>pylitefs beside LiteFS</title>",
        "<meta name='viewport' content='width=device-width'>",
        f"<style>{_STYLE}</style>",
        f"<h1>{_text(report['ours'])} beside {_text(report['theirs'])}: {verdict}</h1>",
        f"<p>{_text(report['date'])}, SQLite {_text(report['sqlite'])}, {_text(report['machine'])}. ",
        f"<b class='ours'>■ {_text(report['names'][0])}</b> ",
        f"<b class='theirs'>■ {_text(report['names'][1])}</b></p>",
        *_overview(report),
        *_unknown(report),
        *_known(report),
        "<h2>Workloads</h2>",
        *(part for workload in report["workloads"] for part in _workload(report, workload)),
    ]
    return "\n".join(parts) + "</html>\n"


def _text(value: object) -> str:
    return escape(str(value))


def _overview(report: Report) -> Iterator[str]:
    heads = ("workload", "", "transactions", "compared and equal", "known", "unknown")
    yield "<table><tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"
    for workload in report["workloads"]:
        states = [one["state"] for one in workload["differences"]]
        ours = [one for one in workload["transactions"] if one["system"] == report["names"][0]]
        counts = (
            len(ours),
            sum(workload["equal"].values()),
            states.count("known"),
            states.count("unknown"),
        )
        cells = "".join(f"<td class='n'>{count:,}</td>" for count in counts)
        name = _text(workload["name"])
        yield f"<tr><td><a href='#{name}'>{name}</a></td><td>{_text(workload['title'])}</td>{cells}</tr>"
    yield "</table>"


def _differences(differences: Sequence[Report], names: Sequence[str]) -> Iterator[str]:
    yield f"<table><tr><th></th><th>at</th><th>{_text(names[0])}</th><th>{_text(names[1])}</th></tr>"
    for one in differences:
        at = f"line {one['step']}" if one["step"] else "at the end"
        where = f"{_text(one['aspect'])}<br>{_text(one['where'])} ({at})"
        where += "".join(f"<br><code>{_text(row)}</code>" for row in one.get("rows", ()))
        values = "".join(f"<td><code>{_text(one[side])}</code></td>" for side in ("ours", "theirs"))
        yield f"<tr><td class='{one['state']}'>{one['state']}</td><td>{where}</td>{values}</tr>"
    yield "</table>"


def _unknown(report: Report) -> Iterator[str]:
    for workload in report["workloads"]:
        found = [one for one in workload["differences"] if one["state"] != "known"]
        if found:
            yield f"<h2>Differs: {_text(workload['name'])}</h2>"
            yield from _differences(found, report["names"])


def _known(report: Report) -> Iterator[str]:
    """Each entry that was met: why, what was typed, what the other system said and held."""
    yield "<h2>Known differences</h2>"
    for entry in report["known"]:
        workloads = [
            (workload, [one for one in workload["differences"] if one["known"] == entry["name"]])
            for workload in report["workloads"]
        ]
        met = [(workload, found) for workload, found in workloads if found]
        if not met:
            continue
        yield f"<h3>{_text(entry['name'])}</h3>"
        yield f"<p>Right is <b>{_text(entry['right'])}</b>. {_text(entry['why'])}</p>"
        for workload, found in met:
            yield f"<details><summary>{_text(workload['name'])}: {len(found)} differences</summary>"
            yield from _transcript(report, workload)
            yield from _differences(found, report["names"])
            yield "</details>"


def _transcript(report: Report, workload: Report) -> Iterator[str]:
    """What was typed, and where the systems differ what each then said and held."""
    lines = []
    for step in workload["steps"]:
        lines.append(step["text"])
        ours, theirs = step["results"]
        for name, result in zip(report["names"], (ours, theirs), strict=True):
            if ours != theirs:
                lines.append(f"    {name}: {result}")
        for database, pair in step["positions"].items():
            if pair[0] != pair[1]:
                lines.extend(
                    f"    {name}: {database}-pos {one}"
                    for name, one in zip(report["names"], pair, strict=True)
                )
    yield f"<pre>{_text(chr(10).join(lines))}</pre>"
    for role, log in workload["logs"].get(report["names"][1], {}).items():
        if log:
            yield f"<p>{_text(report['names'][1])}'s {role} logged:</p><pre>{_text(chr(10).join(log))}</pre>"


def _workload(report: Report, workload: Report) -> Iterator[str]:
    yield f"<h3 id='{_text(workload['name'])}'>{_text(workload['name'])}: {_text(workload['title'])}</h3>"
    if workload["explanation"]:
        yield f"<p>{_text(workload['explanation'])}</p>"
    yield timeline(report["names"], list(_spans(report, workload)))
    plots: dict[str, tuple[str, Callable[[Report], float | None]]] = {
        "Commit": ("ms", lambda one: float(one["ended"] - one["began"]) * 1000),
        "Lag of the replica": ("ms", _lag),
        "LTX file": ("bytes", lambda one: float(one["size"])),
    }
    for title, (unit, value) in plots.items():
        series = [
            Series(name, [value(one) for one in workload["transactions"] if one["system"] == name])
            for name in report["names"]
        ]
        yield dots(title, unit, series)


def _lag(transaction: Report) -> float | None:
    """Milliseconds from the primary's event to the replica's."""
    if transaction["on_primary"] is None or transaction["on_replica"] is None:
        return None
    return max(float(transaction["on_replica"] - transaction["on_primary"]) * 1000, 0.0)


def _spans(report: Report, workload: Report) -> Iterator[Span]:
    transactions = [one for one in workload["transactions"] if one["began"]]
    start = min((one["began"] for one in transactions), default=0.0)
    for one in transactions:
        arrived = one["on_replica"]
        late = arrived - one["ended"] if arrived is not None else None
        yield Span(
            lane=report["names"].index(one["system"]),
            began=one["began"] - start,
            ended=one["ended"] - start,
            # A snapshot for a client that comes later is no arrival of this transaction.
            arrived=arrived - start if late is not None and late < 10 else None,
            title=f"{one['system']} {one['database']} TXID {one['txid']}: {one['pages']} pages, "
            f"{one['size']:,} bytes, {(one['ended'] - one['began']) * 1000:.1f} ms",
        )
