"""A comparison as it would come out: one workload, with a difference of each state."""

from pylitefs.compare.comparison import Comparison
from pylitefs.compare.findings import Findings, Known, Pattern
from pylitefs.compare.runner import Outcome, StepRecord, TransactionSeen
from pylitefs.compare.workload import parse
from tests.compare.plain import OURS, THEIRS

KNOWN = Known("lag", ("w",), "pylitefs", "Because <b>.", (Pattern("mode"),))
UNMET = Known("unmet", ("w",), "both", "Never seen.", (Pattern("nothing"),))


def findings() -> Findings:
    found = Findings("w")
    found.same("position", "a.db-pos", ("1", "1"), 2)
    found.same("mode", "a.db", ("r", "w"), 2)
    found.same("page bytes", "a.db TXID 2", ("<here>", "[there]"), 3)
    found.differences[-1].rows = ["t 1: pylitefs x '<b>'; LiteFS x 'y'"]
    found.same("position", "a.db-pos", ("2", "3"), follows=True)
    found.explain([KNOWN])
    return found


def transaction(system: str, txid: int, *, replica: float | None) -> TransactionSeen:
    began = 100.0 + txid
    return TransactionSeen(
        system=system,
        database="a.db",
        txid=txid,
        line=2,
        pages=2,
        size=1043,
        began=began,
        ended=began + 0.002,
        on_primary=began + 0.003,
        on_replica=replica,
    )


def outcome() -> Outcome:
    workload = parse("w", "# A <title>. An explanation.\n[open a a.db]\na: SELECT '<x>'")
    one = Outcome(workload, findings(), seconds=1.5)
    one.steps.append(StepRecord(2, "a: SELECT '<x>'", ("[[1]]", "[[2]]"), {"a.db": ("1/a", "1/b")}))
    for program in (OURS, THEIRS):
        for txid in (1, 2):
            one.transactions.append(transaction(program.name, txid, replica=101.0 + txid))
    one.logs = {OURS.name: {}, THEIRS.name: {"primary": "fine\npanic: it broke\n"}}
    return one


def comparison(*outcomes: Outcome) -> Comparison:
    return Comparison(OURS, THEIRS, "3.46", "a machine", 0.0, list(outcomes or (outcome(),)))
