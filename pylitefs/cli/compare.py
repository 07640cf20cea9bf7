"""`pylitefs compare`: the same work on pylitefs and on real LiteFS, and every difference."""

import json
import os
from pathlib import Path

import click
from rich.console import Console

from pylitefs.cluster.ending import ended_by_signals
from pylitefs.compare import comparison, programs, report
from pylitefs.compare import mixed as mixed_clusters
from pylitefs.compare.bench import rounds as speed
from pylitefs.compare.bench.contestant import FULL, QUICK
from pylitefs.compare.findings import MixedOutcome, known_differences
from pylitefs.compare.programs import Program
from pylitefs.compare.runner import Outcome
from pylitefs.compare.workload import Workload, all_workloads, chosen
from pylitefs.config.token import VARIABLE

EXIT_UNKNOWN = 1
_WIDE = 160


@click.command(short_help="Run beside real LiteFS and show every difference.")
@click.argument("workloads", nargs=-1, metavar="[WORKLOAD]…")
@click.option("--litefs", type=click.Path(path_type=Path), help="The other program; else litefs on the PATH.")
@click.option("--mixed", is_flag=True, help="Mix both: each follows and takes over the other.")
@click.option("--bench", is_flag=True, help="Measure both, and plain SQLite, in turn.")
@click.option("--quick", is_flag=True, help="With --bench: less of everything, in under two minutes.")
@click.option("--measure", "only", multiple=True, metavar="TEXT", help="With --bench: only what is named so.")
@click.option("--list", "listing", is_flag=True, help="List the workloads and end.")
@click.option("--slow", is_flag=True, help="Also the workloads that take long.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write everything seen as JSON.")
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write a page with timelines.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where; else a temporary folder.")
@click.option("--keep", is_flag=True, help="Leave the nodes' files.")
def compare(
    *,
    workloads: tuple[str, ...],
    litefs: Path | None,
    mixed: bool,
    bench: bool,
    quick: bool,
    only: tuple[str, ...],
    listing: bool,
    slow: bool,
    json_path: Path | None,
    html_path: Path | None,
    directory: Path | None,
    keep: bool,
) -> int:
    """Run workloads on a primary and a replica of pylitefs and of another program, step by step.

    Without WORKLOADs all are run. Ends with 0 if every difference is a known one.
    """
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    if listing:
        for workload in all_workloads():
            click.echo(f"{workload.name:26} {workload.title}{' (--slow)' if workload.slow else ''}")
        return 0
    # LiteFS cannot show a token, and these nodes are on the loopback interface.
    os.environ.pop(VARIABLE, None)
    selected = chosen(workloads, slow=slow)
    theirs = programs.find(litefs)
    known = [] if theirs.is_pylitefs else known_differences()

    def tell(outcome: Outcome) -> None:
        console.print(report.line(outcome), highlight=False)

    with ended_by_signals(), comparison.work_directory(directory, keep=keep) as base:
        comparison.pin()
        console.print(f"pylitefs {programs.ours().version} beside {theirs.name} {theirs.version}")
        if html_path and (bench or mixed):
            console.print("--html shows workloads; of --bench and --mixed there is --json")
        if bench:
            return _bench(console, theirs, base, json_path, quick=quick, only=only)
        if mixed:
            return _mixed(console, selected, theirs, base, json_path)
        result = comparison.run(selected, programs.ours(), theirs, known, base, on_outcome=tell, keep=keep)
    report.show(console, result, known)
    if json_path:
        json_path.write_text(json.dumps(report.as_json(result, known), indent=1) + "\n")
    if html_path:
        from pylitefs.compare.html import page

        html_path.write_text(page(report.as_json(result, known)))
    return EXIT_UNKNOWN if result.unknown else 0


def _mixed(
    console: Console, workloads: list[Workload], theirs: Program, base: Path, json_path: Path | None
) -> int:
    def tell(outcome: MixedOutcome) -> None:
        for text in report.mixed_lines(outcome):
            console.print(text, highlight=False)

    outcomes = mixed_clusters.run(workloads, programs.ours(), theirs, base, tell)
    if json_path:
        json_path.write_text(json.dumps(report.mixed_json(outcomes), indent=1) + "\n")
    return EXIT_UNKNOWN if any(outcome.findings.differences for outcome in outcomes) else 0


def _bench(
    console: Console,
    theirs: Program,
    base: Path,
    json_path: Path | None,
    *,
    quick: bool,
    only: tuple[str, ...],
) -> int:
    size = QUICK if quick else FULL
    names, lines = speed.run(programs.ours(), theirs, base, size, console.print, only=only)
    about = {"machine": comparison.machine(), "theirs": f"{theirs.name} {theirs.version}"}
    console.print(report.bench_table(names, lines))
    console.print(f"{about['machine']}; {size.rounds} rounds; a ratio above 1 is better for pylitefs")
    if json_path:
        json_path.write_text(json.dumps(report.bench_json(names, lines, about), indent=1) + "\n")
    return 0
