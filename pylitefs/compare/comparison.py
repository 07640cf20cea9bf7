"""The whole comparison: workloads in turn on a primary and a replica of each program, in a fresh directory.

The rule: whatever ends it, nothing stays mounted or running, and the directory goes unless it is to be
kept. Workloads share a cluster of each program but for those that break one: they have their own.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pylitefs.cluster import own_folder
from pylitefs.cluster.cluster import ClusterError, is_mounted
from pylitefs.compare.backup_side import BackupSide
from pylitefs.compare.driver import Driver
from pylitefs.compare.findings import Known
from pylitefs.compare.halt_side import HaltSide
from pylitefs.compare.leased import LeasedSystem
from pylitefs.compare.leased_side import LeasedSide
from pylitefs.compare.nodes import BACKUP, System
from pylitefs.compare.programs import Program
from pylitefs.compare.runner import Outcome, Runner
from pylitefs.compare.side import Side
from pylitefs.compare.workload import Workload

STOP_SECONDS = 6.0


@dataclass
class Comparison:
    """What came of it. `machine` says on what it was run, for people."""

    ours: Program
    theirs: Program
    sqlite: str
    machine: str
    began: float
    outcomes: list[Outcome] = field(default_factory=list)
    salts: bool = True

    @property
    def unknown(self) -> int:
        return sum(outcome.findings.count("unknown") for outcome in self.outcomes)


def run(
    workloads: Sequence[Workload],
    ours: Program,
    theirs: Program,
    known: Iterable[Known],
    base: Path,
    *,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    keep: bool = False,
) -> Comparison:
    """Run the workloads and compare. Raises ClusterError where a node does not start.

    Files of a workload with a cluster of its own go once it is done, unless they are to be kept.
    """
    driver = Driver("facts")
    salts, sqlite = driver.seeded, driver.sqlite
    driver.close()
    comparison = Comparison(ours, theirs, sqlite, machine(), time.time(), salts=salts)
    known = list(known)

    def one(workload: Workload, sides: tuple[Side, Side]) -> None:
        outcome = Runner(workload, *sides, salts=salts).run()
        outcome.findings.explain(known)
        comparison.outcomes.append(outcome)
        on_outcome(outcome)

    shared = [workload for workload in workloads if not workload.own_cluster]
    if shared:
        with sides_of(ours, theirs, base / "shared", None) as sides:
            for workload in shared:
                one(workload, sides)
    for workload in workloads:
        if workload.own_cluster:
            with sides_of(ours, theirs, base / workload.name, workload) as sides:
                one(workload, sides)
            if not keep:
                shutil.rmtree(base / workload.name, ignore_errors=True)
    return comparison


@contextlib.contextmanager
def sides_of(
    ours: Program, theirs: Program, base: Path, workload: Workload | None
) -> Iterator[tuple[Side, Side]]:
    """A running system of each program; stopped, by force if need be, and unmounted at the end."""
    systems = [_system(base / name, program, workload) for name, program in _named(ours, theirs)]
    sides: list[Side] = []
    try:
        for system in systems:
            system.start()
            sides.append(_side(system, workload))
        yield sides[0], sides[1]
    finally:
        for side in sides:
            side.close()
        for system in systems:
            system.stop(STOP_SECONDS)


def _system(base: Path, program: Program, workload: Workload | None) -> System:
    """The nodes that a workload needs."""
    settings: dict[str, object] = dict(workload.settings) if workload else {}
    if workload is not None and workload.kind == "lease":
        return LeasedSystem(base, program, settings=settings, node_settings=workload.node_settings)
    if workload is not None and workload.kind == "backup":
        settings["backup"] = {"type": "file", "path": str(base / BACKUP)}
    return System(base, program, settings=settings)


def _side(system: System, workload: Workload | None) -> Side:
    if isinstance(system, LeasedSystem):
        return LeasedSide(system)
    kinds = {"backup": BackupSide, "halt": HaltSide}
    return kinds.get(workload.kind if workload else "", Side)(system)


def _named(ours: Program, theirs: Program) -> Iterator[tuple[str, Program]]:
    yield "ours", ours
    yield "theirs", theirs


@contextlib.contextmanager
def work_directory(directory: Path | None, *, keep: bool) -> Iterator[Path]:
    """A fresh directory for one run; removed at the end unless it is to be kept.

    Raises ClusterError if `directory` is there and not empty: what a run finds must be its own.
    """
    if directory is not None and directory.exists() and any(directory.iterdir()):
        raise ClusterError(f"{directory} is not empty: name a new directory with --dir")
    base = directory or Path(tempfile.mkdtemp(prefix="pylitefs-compare-"))
    base = own_folder.claimed(base)
    try:
        yield base
    finally:
        # Removing files in a mount would drop the databases of whoever is still there.
        if not keep and not any(is_mounted(path) for path in base.glob("**/mnt")):
            shutil.rmtree(base, ignore_errors=True)


def pin(count: int = 2) -> list[int]:
    """Pin this process, and so everything that it starts, to the same processors; which ones."""
    cpus = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cpus)
    return cpus


def machine() -> str:
    """Kernel and processors, in a line."""
    facts = os.uname()
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return f"{facts.sysname} {facts.release} {facts.machine}, pinned to processors {cpus}"
