"""The comparison for people, as a table, and for programs, as JSON.

The rule: what is unknown is never folded away; what is known is told once an entry, with who is right.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pylitefs.compare.bench.contestant import Line
from pylitefs.compare.bench.plots import figure
from pylitefs.compare.comparison import Comparison
from pylitefs.compare.findings import Difference, Known, MixedOutcome
from pylitefs.compare.runner import Outcome

_STYLES = {"unknown": "bold red", "known": "yellow", "consequence": "dim"}


def line(outcome: Outcome) -> str:
    """One workload's result in a line."""
    findings = outcome.findings
    counts = f"{findings.equal.total():5} equal"
    for state, text in (("known", "known"), ("consequence", "consequences"), ("unknown", "DIFFER")):
        if count := findings.count(state):  # type: ignore[arg-type]
            counts += f"  [{_STYLES[state]}]{count} {text}[/]"
    return f"{outcome.workload.name:26} {outcome.seconds:6.1f} s  {counts}"


def show(console: Console, comparison: Comparison, known: Sequence[Known]) -> None:
    """The table by aspect, then every difference that is not known, then the known ones by entry."""
    console.print(_table(comparison))
    differences = [one for outcome in comparison.outcomes for one in outcome.findings.differences]
    for difference in differences:
        if difference.state != "known":
            console.print(_described(difference, comparison), highlight=False)
    for entry in known:
        seen = [one for one in differences if one.known == entry.name]
        if seen:
            where = ", ".join(sorted({one.workload for one in seen}))
            text = f"[yellow]known[/] {escape(entry.name)} ({len(seen)}; {where}): right is {entry.right}"
            console.print(text, highlight=False)
    console.print(_verdict(comparison), highlight=False)


def mixed_lines(outcome: MixedOutcome) -> Iterator[str]:
    """A mixed cluster's result: a line, and each difference of the primary and its replica."""
    differing = len(outcome.findings.differences)
    verdict = f"[bold red]{differing} DIFFER[/]" if differing else "no difference"
    counts = f"{outcome.transactions} transactions, {outcome.findings.equal.total()} equal, {verdict}"
    yield f"{escape(outcome.title)} ({outcome.seconds:.0f} s): {counts}"
    for one in outcome.findings.differences:
        yield f"    {escape(one.aspect)}, {escape(one.where)}: {escape(one.ours)} | {escape(one.theirs)}"


def mixed_json(outcomes: Sequence[MixedOutcome]) -> list[dict[str, object]]:
    """What came of each mixed cluster; of a difference ours is the primary and theirs the replica."""
    return [
        {
            "title": one.title,
            "transactions": one.transactions,
            "seconds": round(one.seconds, 2),
            "equal": dict(one.findings.equal),
            "differences": [asdict(difference) for difference in one.findings.differences],
        }
        for one in outcomes
    ]


def bench_table(names: Sequence[str], lines: Sequence[Line]) -> Table:
    """Medians with their spread, and how many times as good as the other program pylitefs is."""
    table = Table(box=None, header_style="bold")
    table.add_column("median (least to most)")
    for name in names:
        table.add_column(name, justify="right")
    for head in ("ratio", "to reach", "to SQLite"):
        table.add_column(head, justify="right")
    for one in lines:
        cells = [_figures(one, name) for name in names]
        ratio, plain = one.ratio(names[1], names[2]), one.ratio(names[1], names[0])
        ratios = [f"{ratio:.2f}" if ratio else "", one.measure.target, f"{plain:.2f}" if plain else ""]
        table.add_row(f"{one.measure.name}, {one.measure.unit}", *cells, *ratios)
    return table


def bench_json(names: Sequence[str], lines: Sequence[Line], about: dict[str, str]) -> dict[str, object]:
    """Every figure, in the order of the rounds."""
    measured = [
        {"name": one.measure.name, "unit": one.measure.unit, "ratio": one.ratio(names[1], names[2])}
        | {"target": one.measure.target, "figures": one.figures}
        for one in lines
    ]
    return {**about, "names": list(names), "measures": measured}


def _figures(line: Line, name: str) -> str:
    values = line.figures.get(name)
    median = line.median(name)
    if not values or median is None:
        return ""
    return f"{figure(median)} ({figure(min(values))} to {figure(max(values))})"


def _table(comparison: Comparison) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("compared")
    for name in ("equal", "differs, known", "differs"):
        table.add_column(name, justify="right")
    equal: Counter[str] = Counter()
    known: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for outcome in comparison.outcomes:
        equal.update(outcome.findings.equal)
        for difference in outcome.findings.differences:
            (known if difference.state == "known" else unknown)[difference.aspect] += 1
    for aspect in sorted({*equal, *known, *unknown}):
        counts = [equal[aspect], known[aspect], unknown[aspect]]
        style = "red" if unknown[aspect] else None
        table.add_row(aspect, *(f"{count:,}" if count else "" for count in counts), style=style)
    table.add_row("in all", *(f"{counter.total():,}" for counter in (equal, known, unknown)), style="bold")
    return table


def _described(difference: Difference, comparison: Comparison) -> str:
    step = f" line {difference.step}" if difference.step else " at the end"
    head = f"[{_STYLES[difference.state]}]{difference.state}[/] {difference.workload}{step}: "
    return (
        f"{head}{escape(difference.aspect)}, {escape(difference.where)}\n"
        f"    pylitefs: {escape(difference.ours)}\n    {comparison.theirs.name}: {escape(difference.theirs)}"
        + "".join(f"\n    row {escape(row)}" for row in difference.rows)
    )


def _verdict(comparison: Comparison) -> str:
    outcomes = comparison.outcomes
    transactions = sum(len({(t.database, t.txid) for t in one.transactions}) for one in outcomes)
    head = f"{len(outcomes)} workloads, {transactions} transactions, SQLite {comparison.sqlite}: "
    if comparison.unknown:
        return head + f"[bold red]{comparison.unknown} unknown differences[/]"
    return head + "no unknown difference"


def as_json(comparison: Comparison, known: Sequence[Known]) -> dict[str, object]:
    """Everything that was seen, as plain values."""
    return {
        "date": datetime.fromtimestamp(comparison.began, UTC).isoformat(timespec="seconds"),
        "ours": f"{comparison.ours.name} {comparison.ours.version}",
        "theirs": f"{comparison.theirs.name} {comparison.theirs.version}",
        "names": [comparison.ours.name, comparison.theirs.name],
        "sqlite": comparison.sqlite,
        "machine": comparison.machine,
        "unknown": comparison.unknown,
        "known": [asdict(entry) for entry in known],
        "workloads": [_outcome_json(outcome) for outcome in comparison.outcomes],
    }


def _outcome_json(outcome: Outcome) -> dict[str, object]:
    return {
        "name": outcome.workload.name,
        "title": outcome.workload.title,
        "explanation": outcome.workload.explanation,
        "seconds": round(outcome.seconds, 2),
        "equal": dict(outcome.findings.equal),
        "differences": [{**asdict(one), "state": one.state} for one in outcome.findings.differences],
        "steps": [asdict(step) for step in outcome.steps],
        "transactions": [asdict(transaction) for transaction in outcome.transactions],
        "logs": {system: _tail(logs) for system, logs in outcome.logs.items()},
    }


def _tail(logs: dict[str, str]) -> dict[str, list[str]]:
    """What the nodes complained of: the lines that say so, and what stands around a panic."""
    marks = ("ERROR", "error", "panic", "WARN", "refused", "fatal", "goroutine")
    return {
        role: [line for line in text.splitlines() if any(mark in line for mark in marks)][-20:]
        for role, text in logs.items()
    }
