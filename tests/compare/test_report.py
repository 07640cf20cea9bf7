"""The comparison as a table and as JSON: what is unknown is shown whole, what is known once an entry."""

import io
import json
from typing import Any, cast

from rich.console import Console

from pylitefs.compare import report
from pylitefs.compare.bench.contestant import Line, Measure
from pylitefs.compare.findings import Findings, MixedOutcome
from tests.compare.reported import KNOWN, UNMET, comparison, outcome


def shown(*things: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    for one in things:
        console.print(one, highlight=False)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_a_workload_is_a_line_with_its_counts() -> None:
    words = shown(report.line(outcome())).split()
    assert words == ["w", "1.5", "s", "1", "equal", "1", "known", "1", "consequences", "1", "DIFFER"]


def test_the_table_counts_by_aspect_and_what_is_unknown_is_never_folded_away() -> None:
    console = Console(file=io.StringIO(), width=200)
    report.show(console, comparison(), [KNOWN, UNMET])
    file = console.file
    assert isinstance(file, io.StringIO)
    text = file.getvalue()
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["position"] == ["1", "1"] and rows["mode"] == ["1"]
    assert rows["in"] == ["all", "1", "1", "2"]
    assert (
        "unknown w line 3: page bytes, a.db TXID 2\n    pylitefs: <here>\n    LiteFS: [there]\n    row t 1"
        in text
    )
    assert "consequence w at the end: position" in text
    assert "known lag (1; w): right is pylitefs" in text and "unmet" not in text
    assert text.rstrip().endswith("1 workloads, 2 transactions, SQLite 3.46: 1 unknown differences")


def test_without_an_unknown_difference_the_verdict_says_so() -> None:
    fine = outcome()
    fine.findings = Findings("w")
    console = Console(file=io.StringIO(), width=200)
    report.show(console, comparison(fine), [])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().rstrip().endswith("no unknown difference")


def test_the_json_has_everything_that_was_seen() -> None:
    written = json.loads(json.dumps(report.as_json(comparison(), [KNOWN])))
    assert (written["unknown"], written["names"], written["theirs"]) == (
        1,
        ["pylitefs", "LiteFS"],
        "LiteFS 0.5.14",
    )
    [workload] = written["workloads"]
    assert [one["state"] for one in workload["differences"]] == ["known", "unknown", "consequence"]
    assert workload["steps"][0]["positions"] == {"a.db": ["1/a", "1/b"]}
    assert len(workload["transactions"]) == 4
    assert workload["logs"]["LiteFS"] == {"primary": ["panic: it broke"]}, "of a log, what it complains of"


def test_a_mixed_cluster_is_a_line_and_each_difference_another() -> None:
    mixed = MixedOutcome("LiteFS follows pylitefs", Findings("follow"), transactions=3)
    mixed.findings.same("position", "a.db", ("1", "1"))
    assert shown(*report.mixed_lines(mixed)) == (
        "LiteFS follows pylitefs (0 s): 3 transactions, 1 equal, no difference\n"
    )
    mixed.findings.same("LTX files", "a.db", ("[x]", "[y]"))
    assert shown(*report.mixed_lines(mixed)).endswith("1 DIFFER\n    LTX files, a.db: [x] | [y]\n")
    [one] = report.mixed_json([mixed])
    assert one["equal"] == {"position": 1} and one["transactions"] == 3


def test_a_bench_is_medians_with_their_spread_and_ratios_where_more_is_better() -> None:
    names = ["SQLite", "pylitefs", "LiteFS"]
    rate = Line(Measure("commits", "1/s", True, lambda one: None, target="≥ 3"))
    rate.figures = {"SQLite": [1000.0], "pylitefs": [400.0, 600.0, 500.0], "LiteFS": [250.0]}
    alone = Line(Measure("ls", "ms", False, lambda one: None))
    alone.figures = {"pylitefs": [2.0]}
    shown_lines = shown(report.bench_table(names, [rate, alone])).splitlines()
    assert [" ".join(line.split()) for line in shown_lines[1:]] == [
        "commits, 1/s 1,000 (1,000 to 1,000) 500 (400 to 600) 250 (250 to 250) 2.00 ≥ 3 0.50",
        "ls, ms 2 (2 to 2)",
    ]
    written = report.bench_json(names, [rate], {"machine": "m"})
    [measured] = cast(list[dict[str, Any]], written["measures"])
    assert measured["ratio"] == 2.0 and measured["figures"]["pylitefs"] == [400.0, 600.0, 500.0]
