"""The primary is killed with `kill -9` at the tracepoints of a commit (invariant 4)."""

import pytest

from pylitefs.cluster.cluster import Cluster
from tests.crash.harness import MODES, SPILL, Case, assert_equal_everywhere, hold_all

pytestmark = pytest.mark.fuse

ROLLBACK_POINTS = (
    "journal.open",
    "journal.write",
    "journal.sync",
    "page.write",
    "journal.invalidate",
    "ltx.encode",
    "ltx.commit",
    "pos.advance",
)
WAL_POINTS = ("wal.frame", "wal.commit", "ltx.encode", "ltx.commit", "pos.advance")


def first(mode: str, point: str) -> Case:
    """The very first transaction of a database."""
    return Case(mode, point, ("CREATE TABLE t (id INTEGER PRIMARY KEY, x)",), first=True, label="-first")


def spilled(mode: str, point: str) -> Case:
    """In the middle of a large transaction, half of it written."""
    return Case(mode, point, (*SPILL, "COMMIT"), label="-spilled")


def checkpoint() -> Case:
    return Case(
        "wal",
        "page.write",
        ("PRAGMA wal_checkpoint(TRUNCATE)",),
        ("PRAGMA wal_autocheckpoint=0",),
        label="-checkpoint",
    )


def rollback(mode: str) -> Case:
    return Case(mode, "tx.rollback", (*SPILL, "ROLLBACK"))


ROUNDS: dict[str, list[Case]] = {
    "journal": [
        Case("delete", "journal.open"),
        Case("delete", "journal.write"),
        Case("delete", "journal.sync"),
        Case("truncate", "journal.sync"),
        Case("persist", "journal.write"),
        Case("wal", "wal.frame"),
    ],
    "pages": [
        Case("delete", "page.write"),
        Case("truncate", "page.write"),
        spilled("persist", "page.write"),
        first("delete", "page.write"),
        checkpoint(),
        Case("delete", "journal.invalidate"),
    ],
    "encode": [
        Case("delete", "ltx.encode"),
        Case("truncate", "journal.invalidate"),
        Case("persist", "ltx.encode"),
        Case("wal", "wal.commit"),
        Case("wal", "ltx.encode"),
    ],
    "commit": [
        Case("delete", "ltx.commit"),
        Case("truncate", "ltx.commit"),
        Case("persist", "journal.invalidate"),
        Case("wal", "ltx.commit"),
        spilled("wal", "wal.frame"),
    ],
    "position": [
        Case("delete", "pos.advance"),
        Case("truncate", "pos.advance"),
        Case("persist", "pos.advance"),
        Case("wal", "pos.advance"),
        rollback("truncate"),
    ],
}


def kill_and_check(cluster: Cluster, cases: list[Case]) -> None:
    primary = cluster.primary
    try:
        hold_all(primary, cases)
        primary.kill9()
        for case in cases:
            case.end()
    finally:
        for case in cases:
            if case.writer is not None:
                case.writer.end()
        primary.restart()
    for case in cases:
        case.check(primary)
    assert_equal_everywhere(cluster, [case.name for case in cases])


@pytest.mark.parametrize("held", ROUNDS)
def test_a_killed_primary_comes_back_with_what_was_acknowledged(cluster: Cluster, held: str) -> None:
    """At all of a round's tracepoints at once, each in a database of its own."""
    kill_and_check(cluster, ROUNDS[held])


@pytest.mark.full
@pytest.mark.parametrize(
    "case",
    [
        *(Case(mode, point) for mode in MODES[:3] for point in ROLLBACK_POINTS
          if not (point == "journal.open" and mode != "delete")),
        *(Case("wal", point) for point in WAL_POINTS),
        *(first(mode, "page.write") for mode in MODES[:3]),
        *(first(mode, "ltx.commit") for mode in MODES),
        *(spilled(mode, "page.write") for mode in MODES[:3]),
        *(spilled("wal", point) for point in WAL_POINTS),
        *(rollback(mode) for mode in MODES[:3]),
        checkpoint(),
    ],
    ids=str,
)  # fmt: skip
def test_each_tracepoint_by_itself(cluster: Cluster, case: Case) -> None:
    case.label += "-alone"
    kill_and_check(cluster, [case])
