"""Who is measured, with what is prepared for it, and the figures that come out.

The rule: every contestant gets the same databases, of the same size and made by the same SQL, whether it is
a system of two nodes or plain SQLite.
"""

import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pylitefs.cluster.cluster import ClusterError, wait_until
from pylitefs.compare.driver import Connections
from pylitefs.compare.nodes import ProgramNode, System
from pylitefs.errors import RemoteError
from pylitefs.http import client

SETTLE_SECONDS = 30.0


JOURNAL_MODES = ("delete", "truncate", "persist", "wal")


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, seconds of a rate, megabytes of the large database, many databases, and
    commits without a rest."""

    rounds: int
    seconds: float
    megabytes: int
    visible: int
    databases: int
    commits: int


FULL = Size(rounds=5, seconds=1.0, megabytes=200, visible=100, databases=10_000, commits=3000)


QUICK = Size(rounds=3, seconds=0.25, megabytes=40, visible=30, databases=100, commits=300)


@dataclass
class Contestant:
    """Plain SQLite (`system` is None), or a primary with a replica attached."""

    name: str
    folder: Path
    system: System | None
    clients: Connections = field(default_factory=lambda: Connections("bench"))

    def path(self, name: str, role: str = "primary") -> Path:
        if self.system is None:
            return self.folder / name
        return self.system.pair[role == "replica"].mount / name

    def ask(self, client_name: str, op: str, **arguments: object) -> float:
        """A figure from one of its clients. Raises ClusterError where there is none."""
        return self.asked(client_name, op, **arguments).get("value", 0.0)

    def asked(self, client_name: str, op: str, **arguments: object) -> dict[str, float]:
        """The same of several figures."""
        answer = self.clients.get(client_name).ask(op, 120.0, **arguments)
        if "error" in answer:
            raise ClusterError(f"{self.name}: {op} {arguments}: {answer['error']}")
        return {name: float(value) for name, value in answer.items() if isinstance(value, int | float)}

    def settle(self) -> None:
        """Wait until the replica has everything, so that nothing of this one runs beside the next."""
        if self.system is None:
            return
        primary, replica = self.system.pair
        wait_until(lambda: _positions(primary) == _positions(replica), SETTLE_SECONDS)


def _positions(node: ProgramNode) -> dict[str, str]:
    return {path.name: path.read_text() for path in node.mount.glob("*-pos")}


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table. `is_rate`: more is better. `run` gives None where it means nothing."""

    name: str
    unit: str
    is_rate: bool
    run: Callable[[Contestant], float | None]
    rounds: int | None = None
    target: str = ""


@dataclass
class Line:
    """A measure's figures, by contestant."""

    measure: Measure
    figures: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        values = self.figures.get(name)
        return statistics.median(values) if values else None

    def ratio(self, ours: str, theirs: str) -> float | None:
        """How many times as good as theirs ours is: above 1 is better, for rates and for times."""
        mine, other = self.median(ours), self.median(theirs)
        if not mine or not other:
            return None
        return mine / other if self.measure.is_rate else other / mine


def prepare(contestant: Contestant, base: Path, size: Size) -> None:
    """A database for each journal mode, with 1,000 rows to read and 4 MB to change, and the large one."""
    for mode in JOURNAL_MODES:
        name = f"{mode}.db"
        contestant.clients.get(mode).ask("open", path=str(contestant.path(name)), timeout=10.0)
        for text in (
            f"PRAGMA journal_mode={mode}",
            "PRAGMA synchronous=normal" if mode == "wal" else "PRAGMA synchronous=full",
            "CREATE TABLE t(a INTEGER PRIMARY KEY, b)",
            "CREATE TABLE r(a INTEGER PRIMARY KEY, b)",
            "CREATE TABLE big(a INTEGER PRIMARY KEY, b)",
            _fill("r", 1000, 100),
            _fill("big", 1000, 4000),
        ):
            answer = contestant.clients.get(mode).ask("sql", text=text)
            if "error" in answer:
                raise ClusterError(f"{contestant.name}: {text}: {answer['error']}")
    contestant.settle()
    for mode in JOURNAL_MODES:
        place = "replica" if contestant.system else "primary"
        path = str(contestant.path(f"{mode}.db", place))
        contestant.clients.get(f"replica {mode}").ask("open", path=path, timeout=10.0)
    large = large_file(base, size.megabytes)
    if contestant.system is None:
        shutil.copyfile(large, contestant.path("large.db"))
    else:
        import_large(contestant, large)
        contestant.settle()


def _fill(table: str, rows: int, length: int) -> str:
    return (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{rows}) "
        f"INSERT INTO {table}(b) SELECT randomblob({length}) FROM n"
    )


def large_file(base: Path, megabytes: int) -> Path:
    """A database of about that size, made once: half random bytes, half text that packs well."""
    path = base / "large-source.db"
    if not path.exists():
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b, c)")
            db.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{megabytes * 1000}) "
                "INSERT INTO t(b, c) SELECT randomblob(480), hex(zeroblob(240)) FROM n"
            )
            db.commit()
    return path


def import_large(contestant: Contestant, source: Path) -> float:
    """`POST /import` of the large database: seconds until it is answered."""
    assert contestant.system is not None
    started = time.perf_counter()
    try:
        with source.open("rb") as file:
            client.import_(contestant.system.pair[0].url, "large.db", file, size=source.stat().st_size)
    except RemoteError as error:
        raise ClusterError(f"{contestant.name}: import: {error}") from None
    return time.perf_counter() - started
