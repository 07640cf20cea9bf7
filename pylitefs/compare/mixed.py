"""pylitefs and the other program in one cluster, and one's data directory under the other.

    follow     a replica of the one behind a primary of the other, while workloads run, both ways
    take over  a node is stopped, and the other program started on its data directory, both roles, both ways
    halt       a replica of the one writes through a primary of the other (mixed_halt.py)
    hand over  both are candidates of one lease, which goes to and fro under writes (mixed_lease.py)

The rule: what is compared is the primary with its replica. Where the positions match no snapshot may be
sent: the replica goes on from where it was, which its LTX files tell.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pylitefs.cluster.cluster import wait_until
from pylitefs.compare.comparison import STOP_SECONDS
from pylitefs.compare.end_checks import bytes_of, described, integrity
from pylitefs.compare.findings import Findings, MixedOutcome
from pylitefs.compare.leased import LeasedSystem
from pylitefs.compare.leased_side import LeasedSide
from pylitefs.compare.mixed_halt import write_on_the_replica
from pylitefs.compare.mixed_lease import hand_over
from pylitefs.compare.nodes import System
from pylitefs.compare.programs import Program
from pylitefs.compare.runner import FOLLOW_SECONDS, result_of
from pylitefs.compare.side import Side, digest
from pylitefs.compare.workload import Workload, parse
from pylitefs.errors import PylitefsError
from pylitefs.ltx.header import parse_filename

HANDOFFS = 50
#: What cannot be followed by LiteFS, or needs other steps than SQL: left out of a mixed cluster.
_VERBS = {"sql", "open", "close", "kill", "drop", "import", "export", "attach"}


def run(
    workloads: Sequence[Workload],
    ours: Program,
    theirs: Program,
    base: Path,
    tell: Callable[[MixedOutcome], None],
) -> list[MixedOutcome]:
    """Everything there is to mix; `tell` gets each outcome as it comes."""
    outcomes = []
    for n, (primary, replica) in enumerate(((ours, theirs), (theirs, ours))):
        for do in (_follow, _take_over, _halt, _hand_over):
            began = time.monotonic()
            outcome = do(workloads, primary, replica, base / f"mixed{n}{do.__name__}")
            outcome.seconds = time.monotonic() - began
            outcomes.append(outcome)
            tell(outcome)
    return outcomes


def can_be_mixed(workload: Workload) -> bool:
    """Whether a real replica can follow it and it needs no cluster of its own."""
    return not workload.own_cluster and all(step.verb in _VERBS for step in workload.steps)


def _follow(workloads: Sequence[Workload], primary: Program, replica: Program, base: Path) -> MixedOutcome:
    """A replica of one program behind a primary of the other."""
    outcome = MixedOutcome(f"{replica.name} follows {primary.name}", Findings("follow"))
    system = System(base, primary, replica)
    try:
        system.start()
        side = Side(system)
        try:
            for workload in filter(can_be_mixed, workloads):
                _run_workload(side, workload, outcome)
        finally:
            side.close()
    finally:
        system.stop(STOP_SECONDS)
    return outcome


def _halt(workloads: Sequence[Workload], primary: Program, replica: Program, base: Path) -> MixedOutcome:
    """Writes on a replica of one program, with the HALT lock of a primary of the other."""
    del workloads
    outcome = MixedOutcome(f"a replica of {replica.name} writes through {primary.name}", Findings("halt"))
    system = System(base, primary, replica)
    try:
        system.start()
        names = write_on_the_replica(system, outcome)
        side = Side(system)
        try:
            for name in names:
                check_pair(side, name, outcome, is_checkpointed=False)
                outcome.transactions += len(side.primary.ltx_files(name))
        finally:
            side.close()
    finally:
        system.stop(STOP_SECONDS)
    return outcome


def _hand_over(workloads: Sequence[Workload], first: Program, second: Program, base: Path) -> MixedOutcome:
    """One lease for both; then the nodes hold, and say, the same."""
    del workloads
    outcome = MixedOutcome(
        f"one lease for {first.name} and {second.name}, {HANDOFFS} handoffs", Findings("lease")
    )
    system = LeasedSystem(base, first, second, reconnect="100ms")
    try:
        system.start()
        side = LeasedSide(system)
        try:
            for name in hand_over(system, outcome, HANDOFFS):
                check_pair(side, name, outcome, is_checkpointed=False)
                outcome.transactions += len(side.primary.ltx_files(name))
        finally:
            side.close()
    finally:
        system.stop(STOP_SECONDS)
    return outcome


def _run_workload(side: Side, workload: Workload, outcome: MixedOutcome) -> None:
    side.begin(workload.name)
    for step in workload.steps:
        for _ in range(step.times):
            side.perform(step)
    side.close_clients()
    for name in workload.databases:
        outcome.transactions += len(side.primary.ltx_files(name))
        check_pair(side, name, outcome, f"{workload.name}: ")


def check_pair(
    side: Side, name: str, outcome: MixedOutcome, prefix: str = "", *, is_checkpointed: bool = True
) -> None:
    """The primary and its replica hold, and say, the same of a database.

    Where a part of it may still be in a WAL, the export alone says what it is.
    """
    where = prefix + name
    same = outcome.findings.same
    wait_until(lambda: side.position(name) == side.position(name, "replica"), FOLLOW_SECONDS)
    roles = ("primary", "replica")
    same("position", where, (side.position(name, role) for role in roles))
    if is_checkpointed:
        same("database bytes", where, described(*(bytes_of(side.node(role), name) for role in roles)))
    same("/export", where, (side.export(name, role) for role in roles))
    same("integrity", where, (integrity(side, role, name) for role in roles))
    same("LTX files", where, (_files_after_snapshot(side, role, name) for role in roles))
    same("nodes run", where, (side.has_ended(), []))


def _files_after_snapshot(side: Side, role: str, name: str) -> list[str]:
    """LTX files, each with a digest; not those of the first transactions, which come as a snapshot."""
    snapshot = max((span[1] for span in _spans(side, name) if span[0] == 1), default=0)
    files = side.node(role).ltx_files(name)
    return [
        f"{file} {digest(path.read_bytes())}"
        for file, path in files.items()
        if (span := parse_filename(file)) and span[0] > snapshot
    ]


def _spans(side: Side, name: str) -> list[tuple[int, int]]:
    return [span for file in side.replica.ltx_files(name) if (span := parse_filename(file))]


# --- taking over -----------------------------------------------------------------------------------------

_SETUP = """
[open a {mode}.db]
a: PRAGMA journal_mode={mode}
a: CREATE TABLE t(a INTEGER PRIMARY KEY, b)
a *5: INSERT INTO t(b) VALUES (randomblob(3000))
[close a]
"""
_MORE = """
[open a {mode}.db]
a *3: INSERT INTO t(b) VALUES (randomblob(500))
a: SELECT count(*) FROM t
[close a]
"""
_MODES = ("delete", "persist", "wal")
_ROUNDS = (
    ("the replica's directory under {other}", 1),
    ("the primary's directory under {other}", 0),
    ("the replica's directory back under {first}", 1),
    ("the primary's directory back under {first}", 0),
)


def _take_over(workloads: Sequence[Workload], first: Program, other: Program, base: Path) -> MixedOutcome:
    """Both nodes of one program; one after the other goes on under the other program, and back."""
    del workloads
    title = f"data directories of {first.name} under {other.name}, and back"
    outcome = MixedOutcome(title, Findings("take over"))
    system = System(base, first)
    try:
        system.start()
        _write(system, _SETUP, outcome, "at first")
        for n, (title, number) in enumerate(_ROUNDS):
            node = system.pair[number]
            node.stop(STOP_SECONDS)
            node.program = other if n < 2 else first
            what = title.format(other=other.name, first=first.name)
            try:
                node.restart()
                system.pair[1].wait_ready()
            except PylitefsError as error:
                outcome.findings.same("starts", what, ("starts", str(error)))
                return outcome
            outcome.findings.same("starts", what, ("starts", "starts"))
            _write(system, _MORE, outcome, what)
    finally:
        system.stop(STOP_SECONDS)
    return outcome


def _write(system: System, text: str, outcome: MixedOutcome, what: str) -> None:
    """Write in every journal mode; the replica must follow without a snapshot after the first."""
    side = Side(system)
    try:
        before = {mode: set(side.replica.ltx_files(f"{mode}.db")) for mode in _MODES}
        for mode in _MODES:
            side.begin(f"{what} {mode}")
            for step in parse(what, text.format(mode=mode)).steps:
                for _ in range(step.times):
                    said = result_of(side.perform(step))
                    done = "done" if said.startswith("[") else said
                    outcome.findings.same("result", f"{what}: {step.text}", (done, "done"))
        for mode in _MODES:
            name = f"{mode}.db"
            check_pair(side, name, outcome, f"{what}: ")
            new = set(side.replica.ltx_files(name)) - before[mode]
            snapshots = [file for file in new if before[mode] and int(file[:16], 16) == 1]
            outcome.findings.same("no snapshot", f"{what}: {name}", (snapshots, []))
            outcome.transactions += len(new)
    finally:
        side.close()
