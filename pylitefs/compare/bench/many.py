"""What `--bench` measures of a mount with very many databases: start, join, `ls`, a commit, what it holds.

The rule: one run gives every figure, on nodes of its own, for it takes longest to make the databases. They
are put into the data directory before the node starts. Real LiteFS does not take databases that it has not
written itself, so only pylitefs is measured.
"""

import os
import shutil
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from time import perf_counter

from pylitefs.cluster.cluster import ClusterError, wait_until
from pylitefs.compare.bench.contestant import Contestant, Measure
from pylitefs.compare.bench.processes import memory, tree
from pylitefs.compare.nodes import NEVER_SYNCED, ProgramNode, System
from pylitefs.errors import RemoteError
from pylitefs.http import client

WAIT_SECONDS = 900.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
COMMITS = 20

FIGURES = {
    "adoption": ("first start with {} databases", "s"),
    "start": ("start with {} databases", "s"),
    "join": ("join with {} databases", "s"),
    "ls": ("ls of {} databases", "ms"),
    "commit": ("one commit among {} databases", "ms"),
    "primary memory": ("memory of the primary of {} databases", "MiB"),
    "replica memory": ("memory of the replica of {} databases", "MiB"),
    "primary descriptors": ("descriptors of the primary of {} databases", "files"),
    "replica descriptors": ("descriptors of the replica of {} databases", "files"),
}


def measures(count: int, base: Path) -> list[Measure]:
    """A line for each figure; the first that is asked for measures all."""
    found: dict[str, dict[str, float]] = {}

    def figure(key: str, contestant: Contestant) -> float | None:
        system = contestant.system
        if system is None or not system.program.is_pylitefs:
            return None
        folder = base / f"many-{contestant.folder.name}"
        if contestant.name + str(folder) not in found:
            found[contestant.name + str(folder)] = measure(System(folder, system.program), count)
        return found[contestant.name + str(folder)][key]

    return [
        Measure(name.format(f"{count:,}"), unit, False, lambda one, key=key: figure(key, one), 1)  # type: ignore[misc]
        for key, (name, unit) in FIGURES.items()
    ]


def measure(system: System, count: int) -> dict[str, float]:
    """Every figure, of a system of its own that is gone afterwards."""
    figures: dict[str, float] = {}
    primary, replica = system.pair
    try:
        _make(primary.data / "dbs", count)
        for node in system.pair:
            node.dir.mkdir(parents=True, exist_ok=True)
            system.write_config(node)
        figures["adoption"] = _started(primary)
        primary.stop(STOP_SECONDS)
        figures["start"] = _started(primary)
        figures["join"] = _started(replica)
        for node in system.pair:
            assert len([name for name in os.listdir(node.mount) if name.endswith("-pos")]) == count
        figures["ls"] = statistics.median(_listed(primary.mount) for _ in range(5))
        figures["commit"] = _commits(primary.database("db00000"))
        for node in system.pair:
            figures[f"{node.role} memory"] = memory(node.pid)
            figures[f"{node.role} descriptors"] = sum(_descriptors(pid) for pid in tree(node.pid))
    finally:
        system.stop(STOP_SECONDS)
        shutil.rmtree(system.base_dir, ignore_errors=True)
    return figures


def _make(dbs: Path, count: int) -> None:
    """Databases of one table and one row, each in a directory as a node has it."""
    dbs.mkdir(parents=True)
    source = dbs.parent / "source"
    with closing(sqlite3.connect(source)) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        db.execute("INSERT INTO t(b) VALUES (randomblob(100))")
        db.commit()
    content = source.read_bytes()
    source.unlink()
    for number in range(count):
        folder = dbs / f"db{number:05}"
        folder.mkdir()
        (folder / "database").write_bytes(content)


def _started(node: ProgramNode) -> float:
    """Seconds from the node's start until it serves; a replica, until it has everything.

    The mount is looked at, and of the API what costs the same with any number of databases.
    """
    started = perf_counter()
    node.start()
    if not wait_until(lambda: _serves(node), WAIT_SECONDS, POLL_SECONDS):
        raise ClusterError(f"{node.role}: not ready after {WAIT_SECONDS:.0f} s:\n{node.log_tail()}")
    return perf_counter() - started


def _serves(node: ProgramNode) -> bool:
    if not node.pid:
        raise ClusterError(f"the {node.role} ended:\n{node.log_tail()}")
    try:
        if node.is_primary:
            return client.info(node.url).is_primary
        return (node.mount / ".lag").read_bytes() != NEVER_SYNCED
    except (RemoteError, OSError):
        return False


def _listed(mount: Path) -> float:
    started = perf_counter()
    os.listdir(mount)
    return (perf_counter() - started) * 1000


def _commits(path: Path) -> float:
    """Milliseconds of a commit in the middle of several on one connection."""
    times = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _ in range(COMMITS):
            started = perf_counter()
            db.execute("INSERT INTO t(b) VALUES (randomblob(100))")
            times.append(perf_counter() - started)
    return statistics.median(times) * 1000


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
