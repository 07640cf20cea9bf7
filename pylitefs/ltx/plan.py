"""Which LTX files make a database as it was: the restore plan, by the rules of Litestream 0.5.

A directory has files of several levels. Level 9 holds snapshots, each the whole database; levels 0 to 8 hold
transactions, the higher ones merged from those below. LiteFS knows one level.

The rule: bytes and values in, steps out, each with its reason. The plan begins with the newest snapshot that
is not past the target. Then comes, again and again, the file that begins no later than the next TXID and
reaches furthest. The state after the last step is the database at its max TXID.
"""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from pylitefs.errors import RestoreError
from pylitefs.ltx.header import format_txid

SNAPSHOT_LEVEL = 9


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """What a plan needs to know of an LTX file."""

    level: int
    min_txid: int
    max_txid: int
    size: int
    time_ms: int
    """Of its newest transaction, milliseconds since 1970, UTC."""
    path: str = ""

    @property
    def span(self) -> str:
        """Its TXIDs, for people."""
        first, last = format_txid(self.min_txid), format_txid(self.max_txid)
        return first if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True)
class Step:
    """One file of a plan, and why it was taken."""

    file: HistoryFile
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The files, oldest first, and where they lead."""

    steps: tuple[Step, ...]
    unreached: tuple[HistoryFile, ...]
    """Files that would have counted, were it not for a gap before them."""
    later: tuple[HistoryFile, ...] | None = None
    """Of a plan that goes back from the database as it is now: the files after the target. What they changed
    is not in it any more as it was; all else is. None: the plan needs no database."""

    @property
    def txid(self) -> int:
        """The TXID of the database that comes out."""
        return self.steps[-1].file.max_txid


def plan_restore(
    files: Iterable[HistoryFile], *, txid: int | None = None, before_ms: int | None = None
) -> Plan:
    """The plan to the newest state, to `txid`, or to what there was just before the time `before_ms`.

    Raises RestoreError if the files do not lead there; the text says what is missing.
    """
    known = list(files)
    if not known:
        raise RestoreError("there are no LTX files")
    if before_ms is not None:
        _check_time(known, before_ms)
    eligible = [
        file
        for file in known
        if (txid is None or file.max_txid <= txid) and (before_ms is None or file.time_ms < before_ms)
    ]
    steps = _steps(eligible, txid)
    at = steps[-1].file.max_txid if steps else 0
    unreached = tuple(sorted((f for f in eligible if f.min_txid > at + 1), key=lambda f: f.min_txid))
    if txid is not None and at < txid:
        raise RestoreError(_why_not(known, txid, at))
    if not steps:
        first = min(known, key=lambda file: file.min_txid)
        raise RestoreError(
            f"there is no beginning: the oldest file is {first.span} of level {first.level}, "
            "and no snapshot or file from TXID 1 comes before it"
        )
    if txid is None and before_ms is None and unreached:
        raise RestoreError(gap_text(at, unreached[0]))
    return Plan(tuple(steps), unreached)


def plan_back(files: Iterable[HistoryFile], *, txid: int | None = None, before_ms: int | None = None) -> Plan:
    """The plan where the oldest files are gone, and the database as it is now is there: a node's.

    What the files up to the target changed is in them; what only later ones changed is lost; what none of
    them changed is in the database. Raises RestoreError for a state that is no file's end, or a gap.
    """
    chain = sorted(files, key=lambda file: file.min_txid)
    for before, after in pairwise(chain):
        if after.min_txid != before.max_txid + 1:
            raise RestoreError(gap_text(before.max_txid, after))
    target = txid
    if before_ms is not None:
        _check_time(chain, before_ms)
        target = max((file.max_txid for file in chain if file.time_ms < before_ms), default=0)
    if target is None:
        target = chain[-1].max_txid
    if target not in {file.max_txid for file in chain}:
        oldest, newest = format_txid(chain[0].max_txid), format_txid(chain[-1].max_txid)
        raise RestoreError(
            f"TXID {format_txid(target)} is not among the files: they have {oldest} to {newest}"
        )
    steps = [
        Step(file, "what it changed, if nothing after it did") for file in chain if file.max_txid <= target
    ]
    later = tuple(file for file in chain if file.max_txid > target)
    return Plan(tuple(steps), (), later)


def state_before(files: Iterable[HistoryFile], txid: int | None) -> HistoryFile | None:
    """The newest file with a whole database that is not past `txid`; the oldest one if it is None."""
    whole = [file for file in files if file.min_txid == 1 and (txid is None or file.max_txid <= txid)]
    if not whole:
        return None
    return (min if txid is None else max)(whole, key=lambda file: (file.max_txid, -file.level))


def finest_chain(files: Iterable[HistoryFile], at: int) -> list[HistoryFile]:
    """From the state `at` on as many states as there are, one file after the other: of each place the file
    that goes least far on, and of those the one that begins last. It ends where a gap is."""
    waiting = sorted(files, key=lambda file: (file.min_txid, file.max_txid))
    usable: list[tuple[int, int, int, int]] = []
    chain: list[HistoryFile] = []
    following = 0
    while True:
        while following < len(waiting) and waiting[following].min_txid <= at + 1:
            file = waiting[following]
            heapq.heappush(usable, (file.max_txid, -file.min_txid, file.level, following))
            following += 1
        while usable and usable[0][0] <= at:
            heapq.heappop(usable)
        if not usable:
            return chain
        chain.append(waiting[heapq.heappop(usable)[3]])
        at = chain[-1].max_txid


def _steps(eligible: list[HistoryFile], txid: int | None) -> list[Step]:
    steps: list[Step] = []
    at = 0
    snapshots = [file for file in eligible if file.level == SNAPSHOT_LEVEL]
    if snapshots:
        newest = max(snapshots, key=lambda file: (file.min_txid, file.max_txid))
        steps.append(Step(newest, f"the newest of {count(len(snapshots), 'snapshot')} up to there"))
        at = newest.max_txid
    others = sorted(
        (file for file in eligible if file.level != SNAPSHOT_LEVEL), key=lambda file: file.min_txid
    )
    # Best first: reaches furthest, then begins earliest, then the higher level, then the older file.
    usable: list[tuple[int, int, int, int, int]] = []
    following = 0
    while txid is None or at < txid:
        while following < len(others) and others[following].min_txid <= at + 1:
            file = others[following]
            key = (-file.max_txid, file.min_txid, -file.level, file.time_ms, following)
            heapq.heappush(usable, key)
            following += 1
        if not usable or -usable[0][0] <= at:
            break
        best = others[usable[0][4]]
        steps.append(Step(best, _why(best, at)))
        at = best.max_txid
    return steps


def _why(file: HistoryFile, at: int) -> str:
    if at == 0:
        return "begins with TXID 1, and reaches furthest"
    if file.min_txid == file.max_txid:
        return "the next transaction; no file that reaches further begins so early"
    if file.min_txid == at + 1:
        return "goes on from there, and reaches furthest"
    return f"overlaps from {format_txid(file.min_txid)}, and reaches furthest"


def _check_time(files: list[HistoryFile], before_ms: int) -> None:
    times = [file.time_ms for file in files]
    if not min(times) <= before_ms <= max(times):
        from pylitefs.ltx.parts import time_text

        raise RestoreError(
            f"{time_text(before_ms)} is outside of what there is: "
            f"{time_text(min(times))} to {time_text(max(times))}"
        )


def why_not(files: Iterable[HistoryFile], txid: int) -> str:
    """Why there is no state after this TXID among the files, none of which ends with it."""
    known = list(files)
    oldest = min(file.max_txid for file in known)
    if txid < oldest:
        return f"TXID {format_txid(txid)} is not there any more: the oldest state is {format_txid(oldest)}"
    return _why_not(known, txid, 0)


def _why_not(files: list[HistoryFile], txid: int, at: int) -> str:
    newest = max(file.max_txid for file in files)
    if txid > newest:
        return f"TXID {format_txid(txid)} is not there yet: the newest is {format_txid(newest)}"
    ends = sorted({file.max_txid for file in files})
    before, after = [one for one in ends if one < txid], [one for one in ends if one > txid]
    if txid not in ends:
        around = f"{format_txid(before[-1])} and {format_txid(after[0])}" if before else format_txid(after[0])
        return f"TXID {format_txid(txid)} lies within a file that merges several; files end at {around}"
    reached = f"the files lead to {format_txid(at)}" if at else "no file begins with TXID 1"
    missing = f"{format_txid(at + 1)} is missing" if at else "the beginning is missing"
    return f"TXID {format_txid(txid)} cannot be restored: {reached}, then {missing}"


def gap_text(at: int, following: HistoryFile) -> str:
    """What is said of a gap after the state `at`, before a file."""
    missing = f"{format_txid(at + 1)}-{format_txid(following.min_txid - 1)}"
    return (
        f"the files have a gap: TXIDs {missing} are missing, then {following.span} of level "
        f"{following.level} goes on. `--txid {at:x}` restores what is before it"
    )


def count(number: int, word: str) -> str:
    """1 file, 2 files."""
    return f"{number} {word}{'s' if number != 1 else ''}"
