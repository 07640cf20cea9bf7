"""Two systems step by step: transactions are matched within a step, and what follows is no new difference."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pylitefs.compare import backup_files, runner
from pylitefs.compare.ltx_facts import LtxFacts, read_facts
from pylitefs.compare.runner import Outcome, Runner, matched, result_of, total
from pylitefs.compare.workload import parse
from tests.compare.plain import NoEar, ltx_bytes
from tests.ltx.samples import make_page

WORKLOAD = "# T.\n[open a a.db]\na: SELECT 1\na: SELECT 2\na: SELECT 3"


Script = list[tuple[str, list[LtxFacts], str]]


class Scripted:
    """A side that says what a test has it say: for each step its answer, its new LTX files, its position."""

    def __init__(self, name: str, steps: Script) -> None:
        self.name = name
        self.steps = list(steps)
        self.now: tuple[str, list[LtxFacts], str] = ("", [], "ENOENT")
        self.follows = True
        self.replica_runs = True
        self.ears = [NoEar("primary"), NoEar("replica")]
        self.asked_of_replica = 0

    def perform(self, step: Any) -> dict[str, Any]:
        del step
        self.now = self.steps.pop(0)
        return {"rows": [[self.now[0]]], "began": 1.0, "ended": 2.0}

    def new_ltx(self, database: str) -> list[LtxFacts]:
        assert database == "a.db"
        answer, files, position = self.now
        self.now = (answer, [], position)
        return files

    def position(self, database: str, role: str = "primary") -> str:
        self.asked_of_replica += role == "replica"
        return self.now[2] if role == "primary" or self.follows else "ENOENT"

    def begin(self, workload: str) -> None: ...
    def close_clients(self) -> None: ...
    def log_places(self) -> dict[str, int]:
        return {}

    def log_since(self, places: dict[str, int]) -> dict[str, str]:
        return {"primary": ""}


@pytest.fixture
def facts(tmp_path: Path) -> Any:
    """`facts(txid, pages…)`: an LTX file; the same call gives the same file."""

    def make(txid: int, *pgnos: int, seed: int = 0) -> LtxFacts:
        path = tmp_path / f"{txid}-{pgnos}-{seed}.ltx"
        pages = {pgno: make_page(pgno, seed=seed) for pgno in pgnos or (1, 2)}
        path.write_bytes(ltx_bytes(txid, pages))
        return read_facts(path)

    return make


def pos(txid: int, checksum: int = 0xABC) -> str:
    return f"{txid:016x}/{checksum:016x}"


def compared(monkeypatch: pytest.MonkeyPatch, ours: Scripted, theirs: Scripted) -> Outcome:
    monkeypatch.setattr(runner, "check_end", lambda findings, sides, databases: None)
    monkeypatch.setattr(runner, "_GRACE_SECONDS", 0)
    monkeypatch.setattr(runner, "FOLLOW_SECONDS", 0)
    return Runner(parse("w", WORKLOAD), ours, theirs, salts=True).run()  # type: ignore[arg-type]


def told(outcome: Outcome, *, but: Sequence[str] = ("timestamp is of today",)) -> list[tuple[str, str, str]]:
    return [
        (one.state, one.aspect, one.where) for one in outcome.findings.differences if one.aspect not in but
    ]


def test_equal_systems_have_no_difference(monkeypatch: pytest.MonkeyPatch, facts: Any) -> None:
    script = [
        ("", [], "ENOENT"),
        ("x", [facts(1)], pos(1)),
        ("y", [facts(2), facts(3)], pos(3)),
        ("z", [], pos(3)),
    ]
    outcome = compared(monkeypatch, Scripted("a", script), Scripted("b", script))
    assert told(outcome) == []
    assert outcome.findings.equal["result"] == 4 and outcome.findings.equal["page bytes"] == 3
    assert [(one.system, one.txid, one.line) for one in outcome.transactions] == [
        *(("a", 1, 3), ("b", 1, 3)),
        *(("a", 2, 4), ("a", 3, 4), ("b", 2, 4), ("b", 3, 4)),
    ]
    assert [step.positions.get("a.db") for step in outcome.steps][1:3] == [(pos(1), pos(1)), (pos(3), pos(3))]


def test_a_result_that_differs_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Script = [("", [], "ENOENT"), ("x", [], "ENOENT"), ("y", [], "ENOENT"), ("z", [], "ENOENT")]
    theirs = [*ours[:2], ("other", [], "ENOENT"), ours[3]]
    [one] = compared(monkeypatch, Scripted("a", ours), Scripted("b", theirs)).findings.differences
    assert (one.aspect, one.step, one.ours, one.theirs) == ("result", 4, '[["y"]]', '[["other"]]')


def test_a_transaction_that_one_lacks_shifts_nothing_else(
    monkeypatch: pytest.MonkeyPatch, facts: Any
) -> None:
    """One unknown difference; positions after it are compared by what they have in common."""
    ours = [
        ("", [], "ENOENT"),
        ("", [facts(1), facts(2, 1, 2, 3)], pos(2)),
        ("", [facts(3)], pos(3)),
        ("", [], pos(3)),
    ]
    theirs = [("", [], "ENOENT"), ("", [facts(1)], pos(1, 0xDEF)), ("", [facts(3)], pos(2)), ("", [], pos(2))]
    outcome = compared(monkeypatch, Scripted("a", ours), Scripted("b", theirs))
    unknown = [one for one in told(outcome) if one[0] == "unknown"]
    assert unknown == [("unknown", "transaction", "a.db TXID 2")]
    assert {one[1] for one in told(outcome) if one[0] == "consequence"} == {"position"}


def test_checksums_are_a_consequence_until_they_meet_again(
    monkeypatch: pytest.MonkeyPatch, facts: Any
) -> None:
    """The page's bytes differ once; the position after it does, and is equal with the next transaction."""
    ours = [("", [], "ENOENT"), ("", [facts(1)], pos(1)), ("", [facts(2)], pos(2)), ("", [], pos(2))]
    theirs = [
        ours[0],
        ("", [facts(1, seed=5)], pos(1, 0xDEF)),
        ours[2],
        ours[3],
    ]
    outcome = compared(monkeypatch, Scripted("a", ours), Scripted("b", theirs))
    assert told(outcome) == [
        ("unknown", "post-apply checksum", "a.db TXID 1"),
        ("unknown", "page bytes", "a.db TXID 1"),
        ("consequence", "position", "a.db-pos"),
    ]


def test_a_replica_that_follows_no_more_is_told_once_and_not_waited_for_again(
    monkeypatch: pytest.MonkeyPatch, facts: Any
) -> None:
    script = [("", [], "ENOENT"), ("", [facts(1)], pos(1)), ("", [facts(2)], pos(2)), ("", [], pos(2))]
    ours, theirs = Scripted("a", script), Scripted("b", script)
    theirs.follows = False
    outcome = compared(monkeypatch, ours, theirs)
    assert told(outcome) == [("unknown", "replica follows", "a.db on the replica")]
    assert theirs.asked_of_replica < 4 <= ours.asked_of_replica
    assert total([outcome], "unknown") == len(outcome.findings.differences)


def test_a_replica_that_does_not_run_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, facts: Any) -> None:
    """A workload may stop it, and start it again."""
    script = [("", [], "ENOENT"), ("x", [facts(1)], pos(1)), ("y", [facts(2)], pos(2)), ("", [], pos(2))]
    ours, theirs = Scripted("a", script), Scripted("b", script)
    ours.follows = ours.replica_runs = False
    assert told(compared(monkeypatch, ours, theirs)) == [] and ours.asked_of_replica == 0


def test_an_answer_in_parts_is_compared_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each node asked of the lease service, and what a backup's folder holds, are such."""

    class Parts(Scripted):
        def perform(self, step: Any) -> dict[str, Any]:
            return {"parts": {"n1": "GET", "n2": self.name}, "began": 1.0, "ended": 2.0}

    lease = parse("w", "# T.\n[cluster lease]\n[requests]\n[look]")
    monkeypatch.setattr(runner, "check_end", lambda findings, sides, databases: None)
    sides = Parts("a", []), Parts("b", [])
    found = Runner(lease, *sides, salts=True).run().findings  # type: ignore[arg-type]
    assert [(one.aspect, one.where, one.step) for one in found.differences] == [
        ("lease requests", "n2", 3),
        ("role", "n2", 4),
    ]
    assert found.equal["lease requests"] == found.equal["role"] == 1


def test_a_backup_is_compared_by_its_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compared: list[tuple[tuple[Path, Path], int]] = []
    monkeypatch.setattr(runner, "check_end", lambda findings, sides, databases: None)
    monkeypatch.setattr(
        backup_files,
        "compare",
        lambda findings, folders, line, *, salts: compared.append((folders, line)),
    )
    sides = [Scripted(name, [("", [], "ENOENT")]) for name in "ab"]
    for side in sides:
        side.system = SimpleNamespace(backup=tmp_path / side.name)  # type: ignore[attr-defined]
    Runner(parse("w", "# T.\n[cluster backup]\n[backup]"), *sides, salts=True).run()  # type: ignore[arg-type]
    assert compared == [((tmp_path / "a", tmp_path / "b"), 3)]


def test_a_step_s_transactions_belong_together_by_their_pages(facts: Any) -> None:
    a, b, c = facts(1, 1, 2), facts(2, 1, 2, 3), facts(3, 1, 2, 3, 4)
    assert matched([a, b], [b, c]) == ([a, b], [b, c]), "as many: in order"
    assert matched([a, b, c], [a, c]) == ([a, b, c], [a, None, c])
    assert matched([b], [a, b, c]) == ([None, b, None], [a, b, c])
    assert matched([], [a]) == ([None], [a])


def test_an_answer_is_one_line() -> None:
    assert result_of({"error": "ENOENT", "rows": []}) == "ENOENT"
    assert result_of({"parts": {"a": 1, "b": 2}}) == "2 answers"
    assert result_of({"rows": [[1, None]]}) == "[[1, null]]"
