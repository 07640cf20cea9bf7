"""Runs a workload on two systems, step by step, and compares after each.

    step --> on ours --> on theirs --> results, positions, new LTX files, both replicas --> next step

The rule: transactions are matched within a step, so one that only one system has shifts nothing else: the
TXIDs after it are compared by what they have in common. A checksum sums up all that came before it; from a
transaction that differs until the checksums meet again, other checksums are its consequence.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from pylitefs.compare import backup_files, ltx_facts
from pylitefs.compare.driver import SILENT
from pylitefs.compare.end_checks import check_end
from pylitefs.compare.findings import Findings
from pylitefs.compare.ltx_facts import LtxFacts
from pylitefs.compare.row_differences import differing_rows
from pylitefs.compare.side import Answer, Side, txid_of
from pylitefs.compare.workload import Step, Workload

FOLLOW_SECONDS = 6.0
"""How long a replica may take for one step's transactions."""
_GRACE_SECONDS = 1.0
"""A transaction in journal mode MEMORY or OFF is captured shortly after the lock is released."""
_POLL = 0.002
_ASPECTS = {"probe": "refusal", "look": "role", "requests": "lease requests"}
"""Steps whose answer has parts, each compared alone: what they are called."""


@dataclass(frozen=True, slots=True)
class TransactionSeen:
    """One transaction of one system, for the timelines. Times are monotonic seconds; None: not seen."""

    system: str
    database: str
    txid: int
    line: int
    pages: int
    size: int
    began: float
    ended: float
    on_primary: float | None
    on_replica: float | None


@dataclass(slots=True)
class StepRecord:
    """What was typed, and what each system then said and held."""

    line: int
    text: str
    results: tuple[str, str]
    positions: dict[str, tuple[str, str]]


@dataclass
class Outcome:
    """One workload's run."""

    workload: Workload
    findings: Findings
    steps: list[StepRecord] = field(default_factory=list)
    transactions: list[TransactionSeen] = field(default_factory=list)
    logs: dict[str, dict[str, str]] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class _Database:
    """What is known of one database while its workload runs."""

    name: str
    shift: int = 0
    """How many more transactions theirs has than ours."""
    diverged: bool = False
    lost: set[str] = field(default_factory=set)
    """Systems whose replica follows no more."""


class Runner:
    """One workload on two sides."""

    def __init__(self, workload: Workload, ours: Side, theirs: Side, *, salts: bool) -> None:
        self.workload = workload
        self.sides = (ours, theirs)
        self.findings = Findings(workload.name)
        self.outcome = Outcome(workload, self.findings)
        self._salts = salts
        self._databases: dict[str, _Database] = {}
        self._seen: list[tuple[Side, str, int, LtxFacts, Answer]] = []

    def run(self) -> Outcome:
        """All steps, then the end checks."""
        began = time.monotonic()
        logs = [side.log_places() for side in self.sides]
        for side in self.sides:
            side.begin(self.workload.name)
        for step in self.workload.steps:
            for _ in range(step.times):
                self._step(step)
        for side in self.sides:
            side.close_clients()
        self._compare_databases(0, ({}, {}))
        databases = list(self._databases.values())
        check_end(self.findings, self.sides, [(one.name, one.shift, one.diverged) for one in databases])
        self.outcome.transactions = self._timeline()
        self.outcome.logs = {
            side.name: side.log_since(places) for side, places in zip(self.sides, logs, strict=True)
        }
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _step(self, step: Step) -> None:
        ours, theirs = (side.perform(step) for side in self.sides)
        # Not before: a name that is looked for too early is remembered as missing for a moment.
        if step.database in self.workload.databases:
            self._databases.setdefault(step.database, _Database(step.database))
        if aspect := _ASPECTS.get(step.verb):
            for name, result in ours["parts"].items():
                self.findings.same(aspect, name, (result, theirs["parts"][name]), step.line)
        elif step.verb == "backup":
            ours_, theirs_ = (side.system.backup for side in self.sides)
            backup_files.compare(self.findings, (ours_, theirs_), step.line, salts=self._salts)
        else:
            self.findings.same("result", step.text, (result_of(ours), result_of(theirs)), step.line)
        positions = self._compare_databases(step.line, (ours, theirs))
        record = StepRecord(step.line, step.text, (result_of(ours), result_of(theirs)), positions)
        self.outcome.steps.append(record)

    # --- after each step -----------------------------------------------------------------------------

    def _compare_databases(self, line: int, answers: tuple[Answer, Answer]) -> dict[str, tuple[str, str]]:
        positions = {}
        for database in self._databases.values():
            ours, theirs = self._positions(database)
            positions[database.name] = (ours, theirs)
            was_diverged = database.diverged
            self._compare_transactions(database, line, answers)
            self._compare_position(database, line, ours, theirs, was_diverged)
            for side, position in zip(self.sides, (ours, theirs), strict=True):
                self._follow(database, side, line, position)
        return positions

    def _positions(self, database: _Database) -> tuple[str, str]:
        """Both primaries' positions; asked again for a moment while one lacks a transaction."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while True:
            ours, theirs = (side.position(database.name) for side in self.sides)
            settled = txid_of(theirs) - txid_of(ours) == database.shift
            if settled or time.monotonic() > deadline or SILENT in ours + theirs:
                return ours, theirs
            time.sleep(_POLL)

    def _compare_position(
        self, database: _Database, line: int, ours: str, theirs: str, was_diverged: bool
    ) -> None:
        if txid_of(theirs) - txid_of(ours) == database.shift:
            ours, theirs = (position.partition("/")[2] or position for position in (ours, theirs))
        follows = database.diverged or was_diverged
        equal = self.findings.same("position", f"{database.name}-pos", (ours, theirs), line, follows=follows)
        database.diverged = not equal

    def _compare_transactions(self, database: _Database, line: int, answers: tuple[Answer, Answer]) -> None:
        ours, theirs = (side.new_ltx(database.name) for side in self.sides)
        for side, facts, answer in zip(self.sides, (ours, theirs), answers, strict=True):
            self._seen.extend((side, database.name, line, one, answer) for one in facts)
        left, right = matched(ours, theirs)
        for mine, other in zip_longest(left, right):
            if mine is None or other is None:
                seen = mine or other
                assert seen is not None
                where = f"{database.name} TXID {seen.header.max_txid}"
                self.findings.same("transaction", where, (_there(mine), _there(other)), line)
                database.shift += 1 if mine is None else -1
                database.diverged = True
            else:
                self._compare_ltx(database, line, mine, other)

    def _compare_ltx(self, database: _Database, line: int, ours: LtxFacts, theirs: LtxFacts) -> None:
        where = f"{database.name} TXID {ours.header.max_txid}"
        same = self.findings.same
        for field_name in ("pre_apply_checksum", "post_apply_checksum"):
            aspect = field_name.replace("_", "-", 1).replace("_", " ")
            values = [
                getattr(one.header if field_name.startswith("pre") else one.trailer, field_name)
                for one in (ours, theirs)
            ]
            texts = [f"{value:016x}" for value in values]
            equal = same(aspect, where, texts, line, follows=database.diverged)
            if field_name.startswith("post"):
                database.diverged = not equal
        for aspect, mine, other in ltx_facts.compare(ours, theirs, salts=self._salts):
            if not same(aspect, where, (mine, other), line) and aspect == "page bytes":
                names = (self.sides[0].name, self.sides[1].name)
                self.findings.differences[-1].rows = differing_rows(ours, theirs, names)
        same("timestamp is of today", where, (_is_recent(ours), _is_recent(theirs)), line)

    def _follow(self, database: _Database, side: Side, line: int, position: str) -> None:
        """Wait until the replica has what its primary has; once it has not, it is not waited for again."""
        if not txid_of(position) or side.name in database.lost or not side.replica_runs:
            return
        deadline = time.monotonic() + FOLLOW_SECONDS
        while (got := side.position(database.name, "replica")) != position:
            if time.monotonic() > deadline or SILENT in got:
                database.lost.add(side.name)
                where = f"{database.name} on the replica"
                values = [got if one is side else "follows" for one in self.sides]
                self.findings.same("replica follows", where, values, line)
                return
            time.sleep(_POLL)

    # --- timelines -----------------------------------------------------------------------------------

    def _timeline(self) -> list[TransactionSeen]:
        times = {
            (side.name, number, database): {heard.txid: heard.at for heard in reversed(ear.heard(database))}
            for side in self.sides
            for number, ear in enumerate(side.ears)
            for database in self._databases
        }
        return [
            TransactionSeen(
                system=side.name,
                database=database,
                txid=facts.header.max_txid,
                line=line,
                pages=len(facts.pages),
                size=facts.size,
                began=answer.get("began", 0.0),
                ended=answer.get("ended", 0.0),
                on_primary=times[side.name, 0, database].get(facts.header.max_txid),
                on_replica=times[side.name, 1, database].get(facts.header.max_txid),
            )
            for side, database, line, facts, answer in self._seen
        ]


def result_of(answer: Answer) -> str:
    """A step's result in one line: rows, text, or the error."""
    for key in ("error", "text"):
        if key in answer:
            return str(answer[key])
    if "parts" in answer:
        return f"{len(answer['parts'])} answers"
    return json.dumps(answer.get("rows", []))


def matched(
    ours: Sequence[LtxFacts], theirs: Sequence[LtxFacts]
) -> tuple[list[LtxFacts | None], list[LtxFacts | None]]:
    """One step's transactions side by side, with None where one has no counterpart.

    Where the numbers differ, those with the same page numbers and size belong together, in order.
    """
    if len(ours) == len(theirs):
        return list(ours), list(theirs)
    left: list[LtxFacts | None] = []
    right: list[LtxFacts | None] = []
    rest = list(theirs)
    for mine in ours:
        at = next((n for n, other in enumerate(rest) if _shape(mine) == _shape(other)), None)
        for other in rest[: at or 0]:
            left.append(None)
            right.append(other)
        left.append(mine)
        right.append(None if at is None else rest[at])
        rest = rest[(at or 0) + (at is not None) :] if at is not None else rest
    left.extend([None] * len(rest))
    right.extend(rest)
    return left, right


def _shape(facts: LtxFacts) -> tuple[object, ...]:
    return facts.header.commit, tuple(pgno for pgno, _ in facts.pages)


def _there(facts: LtxFacts | None) -> str:
    if facts is None:
        return "none"
    return f"{len(facts.pages)} pages, commit size {facts.header.commit}"


def _is_recent(facts: LtxFacts) -> str:
    age = time.time() - facts.header.timestamp_ms / 1000
    return "yes" if -5 < age < 3600 else f"{age:.0f} s old"


def total(outcomes: Iterable[Outcome], state: str) -> int:
    """How many differences of a state there are in all."""
    return sum(difference.state == state for one in outcomes for difference in one.findings.differences)
