"""How a commit's cost grows: with the database, with the pages that it changes, with the replicas.

    python -m pylitefs.compare.bench.growth [--svg FILE] [--megabytes 1 16 …] [--pages …] [--replicas …]

The rule: what is measured is one commit in WAL mode with synchronous=FULL, as SQLite has it by itself: the
client's time (median), and the processor time of the node. A database lies in the data directory before the
node starts, for an import would take longer than what is measured.
"""

import argparse
import sqlite3
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pylitefs.cluster.cluster import Cluster, ClusterNode
from pylitefs.compare.bench import fan_out
from pylitefs.compare.bench.drawing import Line, Plot, plots
from pylitefs.compare.bench.processes import processor_time

COMMITS = 300
MEGABYTES = (1, 16, 256, 4096)
PAGES = (1, 10, 100, 1000, 10_000)
REPLICAS = (1, 2, 4, 8, 16)
_PAGE = 4096
_START_S = 900.0


@dataclass(frozen=True, slots=True)
class Point:
    """One commit at one size."""

    size: float
    wall_us: float
    """The client's time, the median."""
    processor_us: float
    """Of the node."""

    def __str__(self) -> str:
        return f"{self.size:8,.0f}: {self.wall_us:10,.0f} µs, processor {self.processor_us:10,.0f} µs"


@contextmanager
def _primary(make: Callable[[Path], None]) -> Iterator[tuple[ClusterNode, sqlite3.Connection]]:
    """A primary whose database `g.db` is as `make` left its file."""
    with tempfile.TemporaryDirectory(prefix="pylitefs-growth-") as folder:
        cluster = Cluster(Path(folder), replicas=0)
        path = cluster.primary.data / "dbs" / "g.db" / "database"
        path.parent.mkdir(parents=True)
        make(path)
        try:
            cluster.start(_START_S)
            with closing(sqlite3.connect(cluster.primary.database("g.db"), isolation_level=None)) as db:
                db.execute("PRAGMA journal_mode=wal")
                yield cluster.primary, db
        finally:
            cluster.stop()


def _measure(
    node: ClusterNode, size: float, commits: int, commit: Callable[[], object], between: Callable[[], object]
) -> Point:
    for _ in range(min(20, commits)):
        commit()
        between()
    assert node.pid
    times = []
    before = processor_time(node.pid)
    for _ in range(commits):
        start = perf_counter()
        commit()
        times.append(perf_counter() - start)
        between()
    processor = processor_time(node.pid) - before
    return Point(size, statistics.median(times) * 1e6, processor / commits * 1e6)


def with_database(megabytes: int, commits: int = COMMITS) -> Point:
    """A commit of one row beside so many megabytes of others."""

    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE t (x)")
            db.execute("CREATE TABLE filler (x)")
            for _ in range(megabytes):
                db.execute("INSERT INTO filler VALUES (zeroblob(1048576))")

    with _primary(make) as (node, db):
        return _measure(
            node,
            megabytes,
            commits,
            lambda: db.execute("INSERT INTO t VALUES (randomblob(100))"),
            lambda: None,
        )


def with_pages(pages: int, commits: int = COMMITS) -> Point:
    """A commit that changes so many pages; the checkpoint afterwards is not in the client's time."""

    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n, x)")
            rows = ((number, 0, bytes(_PAGE - 200)) for number in range(pages))
            db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)

    with _primary(make) as (node, db):
        db.execute("PRAGMA wal_autocheckpoint=0")
        return _measure(
            node,
            pages,
            commits,
            lambda: db.execute("UPDATE t SET n = n + 1"),
            lambda: db.execute("PRAGMA wal_checkpoint(TRUNCATE)"),
        )


def with_replicas(replicas: int, commits: int = COMMITS) -> Point:
    """A commit that so many streams wait for, at 100 a second: until the median stream has it."""
    found = fan_out.measure(replicas, commits)
    return Point(replicas, found.p50 * 1000, found.processor_us)


def drawing(database: Sequence[Point], pages: Sequence[Point], replicas: Sequence[Point]) -> str:
    """The three as plots beside each other."""

    def plot(title: str, x: str, first: str, points: Sequence[Point], logarithmic: bool) -> Plot:
        walls = Line(first, [(point.size, point.wall_us) for point in points])
        processor = Line("processor, node", [(point.size, point.processor_us) for point in points])
        return Plot(title, x, "µs", [walls, processor], logarithmic)

    return plots(
        "What a commit costs as things grow",
        [
            plot("With the database", "megabytes", "client", database, False),
            plot("With the pages it changes", "pages, both axes in steps", "client", pages, True),
            plot("With the replicas", "streams", "until it is there", replicas, False),
        ],
    )


def main() -> None:
    """Print every point, and draw them."""
    parser = argparse.ArgumentParser(description="how a commit's cost grows")
    parser.add_argument("--svg", type=Path, help="a file for the drawing")
    parser.add_argument("--commits", type=int, default=COMMITS)
    parser.add_argument("--megabytes", type=int, nargs="+", default=MEGABYTES)
    parser.add_argument("--pages", type=int, nargs="+", default=PAGES)
    parser.add_argument("--replicas", type=int, nargs="+", default=REPLICAS)
    options = parser.parse_args()
    found: list[list[Point]] = []
    for title, sizes, measure in (
        ("megabytes of database", options.megabytes, with_database),
        ("pages changed", options.pages, with_pages),
        ("replicas", options.replicas, with_replicas),
    ):
        found.append([])
        for size in sizes:
            few = max(5, options.commits * 100 // size) if measure is with_pages else options.commits
            found[-1].append(measure(size, min(options.commits, few)))
            print(f"{title:22} {found[-1][-1]}", flush=True)
    if options.svg:
        options.svg.write_text(drawing(*found), encoding="utf-8")


if __name__ == "__main__":
    main()
