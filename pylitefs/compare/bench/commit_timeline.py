"""The way of one commit, from its first write to a replica's readers, as a picture made from tracepoints.

    python -m pylitefs.compare.bench.commit_timeline [--svg DIRECTORY]

A primary and a replica note the time of each tracepoint, while a client commits one row at a time and rests
in between. Each moment is the median of all commits. The rule: what is drawn are the node's own tracepoints
and nothing else, so a lecture stops at the same ones. Where someone listens a node does some of its work in
other threads, and nothing in groups: without it a commit is quicker (`pylitefs compare --bench`).
"""

import argparse
import gc
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from pylitefs.child_python import python_module
from pylitefs.cluster.cluster import Cluster
from pylitefs.cluster.ending import ended_by_signals
from pylitefs.compare.bench.drawing import Moment, ladder
from pylitefs.config import load_config
from pylitefs.trace import Event, Tracer

COMMITS = 100
REST_S = 0.03
MODES = ("wal", "delete")
LANES = ("primary", "replica")
_NOTED = "events.json"

Noted = tuple[int, str]
"""When, on the clock that all processes have in common, in ns; and which tracepoint."""
Found = dict[tuple[int, str], list[float]]
"""For each lane and tracepoint: µs after the commit began, of each commit that had it."""


def serve(config: Path) -> None:
    """Be a node that notes its tracepoints, until it is told to end."""
    from pylitefs.node import Node  # libfuse is needed here only.

    noted: list[Noted] = []
    tracer = Tracer("node")

    def note(event: Event) -> None:
        if event.database and event.payload.get("frame") in (None, "ltx"):  # No Heartbeat.
            noted.append((event.monotonic_ns, event.name))

    tracer.listen(note)
    node = Node(load_config(config).config, tracer=tracer)
    gc.freeze()
    with suppress(KeyboardInterrupt), ended_by_signals():
        node.start()
        sys.stdin.read()
    node.stop()
    (config.parent / _NOTED).write_text(json.dumps(noted), encoding="utf-8")


def measure(mode: str, commits: int = COMMITS) -> list[Moment]:
    """The moments that most commits have, in the order of their medians."""
    with tempfile.TemporaryDirectory(prefix="pylitefs-timeline-") as folder:
        cluster = Cluster(Path(folder), replicas=1)
        for node in cluster.nodes:
            command = python_module("pylitefs.compare.bench.commit_timeline", "--node", str(node.config))
            node.command = lambda command=command: command  # type: ignore[method-assign, misc]
        with cluster, closing(sqlite3.connect(cluster.primary.database("t.db"), isolation_level=None)) as db:
            db.execute(f"PRAGMA journal_mode={mode}")
            db.execute("CREATE TABLE t (x)")
            db.execute("INSERT INTO t VALUES (0)")
            cluster.wait_synced()
            times = [_commit(cluster, db) for _ in range(commits)]
        found: Found = {(0, "SQLite has answered"): [(end - begun) / 1000 for begun, end in times]}
        for lane, node in enumerate(cluster.nodes):
            collect(found, lane, json.loads((node.dir / _NOTED).read_text()), [begun for begun, _ in times])
    return moments(found, commits)


def _commit(cluster: Cluster, db: sqlite3.Connection) -> tuple[int, int]:
    """When a commit began and ended; what it left to do is done by then, and the next finds all at rest."""
    time.sleep(REST_S)
    begun = time.monotonic_ns()
    db.execute("INSERT INTO t VALUES (1)")
    ended = time.monotonic_ns()
    time.sleep(REST_S)
    cluster.wait_synced()
    return begun, ended


def collect(found: Found, lane: int, noted: Sequence[Noted], begun: Sequence[int]) -> None:
    """One node's first event of each name in each commit."""
    seen: set[tuple[int, str]] = set()
    for at, name in noted:
        number = bisect_right(begun, at) - 1
        if number >= 0 and (number, name) not in seen:
            seen.add((number, name))
            found.setdefault((lane, name), []).append((at - begun[number]) / 1000)


def moments(found: Found, commits: int) -> list[Moment]:
    """The medians of what at least half of the commits have."""
    all_ = [
        Moment(lane, name, statistics.median(times))
        for (lane, name), times in found.items()
        if len(times) * 2 >= commits
    ]
    return sorted(all_, key=lambda moment: moment.at)


def main() -> None:
    """Print the moments of each mode, and draw them."""
    if sys.argv[1:2] == ["--node"]:
        serve(Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description="the way of one commit")
    parser.add_argument("--svg", type=Path, help="a directory for the drawings")
    parser.add_argument("--commits", type=int, default=COMMITS)
    options = parser.parse_args()
    for mode in MODES:
        steps = measure(mode, options.commits)
        for step in steps:
            print(f"{mode:7} {LANES[step.lane]:8} {step.at:8,.0f} µs  {step.title}", flush=True)
        if options.svg:
            title = f"One commit of one row, journal_mode={mode}: medians of {options.commits}"
            (options.svg / f"commit-{mode}.svg").write_text(ladder(title, LANES, steps), encoding="utf-8")


if __name__ == "__main__":
    main()
