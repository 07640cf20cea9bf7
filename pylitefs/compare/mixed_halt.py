"""A replica of one program writes through a primary of the other, with the HALT lock.

    for each journal mode, by turns: a write on the primary; the lock, writes on the replica, and its end

The rule: each write counts one number up, so that one that is lost or doubled shows in the next answer. While
the replica has the lock the primary's writer is kept out: with "database is locked". LiteFS
takes the locks of the WAL index, too, so in WAL mode it is "locking protocol" there.
"""

from pylitefs.cluster.cluster import wait_until
from pylitefs.compare.findings import MixedOutcome
from pylitefs.compare.halt_side import HaltSide
from pylitefs.compare.nodes import System
from pylitefs.compare.runner import FOLLOW_SECONDS, result_of
from pylitefs.compare.workload import parse

MODES = ("delete", "wal")
ROUNDS = 5
KEPT_OUT = "kept out"
_COUNT = "UPDATE t SET n = n + 1 RETURNING n"
_SETUP = """
[open a {mode}.db timeout 5]
a: PRAGMA journal_mode={mode}
a: CREATE TABLE t(n)
a: INSERT INTO t VALUES (0)
[open q {mode}.db timeout 0]
"""
_ROUND = f"""
a: {_COUNT}
[halt h {{mode}}.db on the replica]
[open r {{mode}}.db on the replica]
r *3: {_COUNT}
q: {_COUNT}
r: {_COUNT}
[close r]
[unhalt h]
"""


def write_on_the_replica(system: System, outcome: MixedOutcome) -> list[str]:
    """All rounds; the databases."""
    side = HaltSide(system)
    try:
        for mode in MODES:
            side.begin(f"halt {mode}")
            _perform(side, _SETUP, mode)
            name, number = f"{mode}.db", 0
            # A name that is looked for too early is remembered as missing for a moment.
            wait_until(lambda name=name: (system.pair[1].data / "dbs" / name).exists(), FOLLOW_SECONDS)  # type: ignore[misc]
            for _ in range(ROUNDS):
                said = _perform(side, _ROUND, mode)
                numbers = [f"[[{number + n}]]" for n in range(1, 6)]
                number += 5
                wanted = [numbers[0], "[]", "[]", *numbers[1:4], KEPT_OUT, numbers[4], "[]", "[]"]
                outcome.findings.same("writes by turns", f"{mode}, up to {number}", (said, wanted))
    finally:
        side.close()
    return [f"{mode}.db" for mode in MODES]


def _perform(side: HaltSide, text: str, mode: str) -> list[str]:
    steps = parse("halt", "[cluster halt]\n" + text.format(mode=mode)).steps
    said = [result_of(side.perform(step)) for step in steps for _ in range(step.times)]
    return [KEPT_OUT if one.startswith(("SQLITE_BUSY", "SQLITE_PROTOCOL")) else one for one in said]
