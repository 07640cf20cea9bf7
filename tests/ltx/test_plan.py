"""The restore plan: which files lead to a state, by Litestream's rules."""

import random

import pytest

from pylitefs.errors import RestoreError
from pylitefs.ltx.plan import HistoryFile, Plan, finest_chain, plan_back, plan_restore, state_before


def file(level: int, first: int, last: int, time_ms: int | None = None) -> HistoryFile:
    return HistoryFile(level, first, last, 100, last * 10 if time_ms is None else time_ms)


def spans(plan: Plan) -> list[tuple[int, int, int]]:
    return [(step.file.level, step.file.min_txid, step.file.max_txid) for step in plan.steps]


LEVELS = [
    *(file(0, txid, txid) for txid in range(1, 13)),
    *(file(1, *span) for span in ((1, 1), (2, 3), (4, 6), (7, 9))),
    file(2, 2, 6),
    *(file(9, 1, last) for last in (1, 5, 8)),
]


def test_the_newest_snapshot_then_what_reaches_furthest() -> None:
    assert spans(plan_restore(LEVELS)) == [(9, 1, 8), (1, 7, 9), (0, 10, 10), (0, 11, 11), (0, 12, 12)]
    assert spans(plan_restore(LEVELS, txid=6)) == [(9, 1, 5), (2, 2, 6)]
    assert spans(plan_restore(LEVELS, txid=4)) == [(9, 1, 1), (1, 2, 3), (0, 4, 4)]
    assert all(step.reason for step in plan_restore(LEVELS, txid=6).steps)


def test_of_equal_ones_the_one_that_begins_earlier_then_the_higher_level_then_the_older() -> None:
    first = file(9, 1, 1)
    assert spans(plan_restore([first, file(0, 2, 2), file(1, 2, 2)])) == [(9, 1, 1), (1, 2, 2)]
    assert spans(plan_restore([first, file(1, 2, 2), file(0, 1, 2)])) == [(9, 1, 1), (0, 1, 2)]
    old, new = file(0, 2, 2, 15), file(0, 2, 2, 16)
    assert plan_restore([first, new, old]).steps[1].file is old


def test_a_file_counts_for_a_time_if_it_is_strictly_before() -> None:
    assert spans(plan_restore(LEVELS, before_ms=51))[-1] == (9, 1, 5)
    assert spans(plan_restore(LEVELS, before_ms=50))[-1] == (0, 4, 4)
    for outside in (9, 121):
        with pytest.raises(RestoreError, match=r"is outside of what there is: 1970-01-01T00:00:00\.010Z to"):
            plan_restore(LEVELS, before_ms=outside)


@pytest.mark.parametrize(
    ("files", "txid", "words"),
    [
        ([], None, "no LTX files"),
        ([file(0, 3, 3)], None, "no beginning: the oldest file is 0000000000000003 of level 0"),
        ([file(0, 1, 1), file(0, 3, 3)], None, r"0000000000000002-0000000000000002 are missing.*`--txid 1`"),
        ([file(0, 1, 1), file(0, 3, 3)], 3, "lead to 0000000000000001, then 0000000000000002 is missing"),
        ([file(0, 1, 1), file(1, 2, 4)], 3, "lies within a file that merges several"),
        ([file(0, 1, 1)], 9, "is not there yet: the newest is 0000000000000001"),
        ([file(0, 2, 2)], 2, "no file begins with TXID 1"),
    ],
)
def test_what_does_not_lead_there_is_said(files: list[HistoryFile], txid: int | None, words: str) -> None:
    with pytest.raises(RestoreError, match=words):
        plan_restore(files, txid=txid)


def test_to_a_txid_before_a_gap_it_leads_and_for_a_time_the_gap_is_told() -> None:
    files = [file(0, 1, 1), file(0, 3, 3), file(0, 4, 4)]
    assert spans(plan_restore(files, txid=1)) == [(0, 1, 1)]
    plan = plan_restore(files, before_ms=40)
    assert (plan.txid, plan.unreached) == (1, (files[1],))


def naive(files: list[HistoryFile], txid: int) -> list[HistoryFile] | None:
    """The rule as LTX's authors word it, one look at all files a step."""
    eligible = [one for one in files if one.max_txid <= txid]
    snapshots = sorted((one for one in eligible if one.level == 9), key=lambda f: (f.min_txid, f.max_txid))
    steps, at = snapshots[-1:], snapshots[-1].max_txid if snapshots else 0
    while at < txid:
        usable = [f for f in eligible if f.level < 9 and f.min_txid <= at + 1 and f.max_txid > at]
        if not usable:
            return None
        best = min(usable, key=lambda f: (-f.max_txid, f.min_txid, -f.level, f.time_ms))
        steps.append(best)
        at = best.max_txid
    return steps


def test_the_plan_is_the_one_of_the_rule_taken_literally() -> None:
    """On random directories, with gaps and overlaps."""
    chance = random.Random(1)
    for _ in range(300):
        files = []
        for _ in range(chance.randint(1, 25)):
            level = chance.choice((0, 0, 1, 2, 9))
            first = 1 if level == 9 else chance.randint(1, 15)
            files.append(file(level, first, first + chance.choice((0, 0, 1, 3)), chance.randint(1, 99)))
        files = list({(one.level, one.span): one for one in files}.values())  # A name is there once.
        for txid in range(1, 19):
            wanted = naive(files, txid)
            if wanted is None:
                with pytest.raises(RestoreError):
                    plan_restore(files, txid=txid)
            else:
                assert [step.file for step in plan_restore(files, txid=txid).steps] == wanted


def test_ten_thousand_transactions_are_planned_at_once() -> None:
    """One look at a file, not one a step."""
    files = [file(0, txid, txid) for txid in range(1, 10_001)]
    assert len(plan_restore(files).steps) == 10_000


def test_back_from_the_database_as_it_is_now() -> None:
    """What the files up to the target changed, and the later ones, whose pages are not as they were."""
    files = [file(0, txid, txid) for txid in range(5, 10)]
    plan = plan_back(reversed(files), txid=7)
    assert [step.file for step in plan.steps] == files[:3]
    assert (plan.later, plan.txid) == (tuple(files[3:]), 7)
    assert plan_back(files).later == ()
    assert plan_back(files, before_ms=81).txid == 8
    assert plan_restore([file(0, 1, 1)]).later is None
    with pytest.raises(RestoreError, match="they have 0000000000000005 to 0000000000000009"):
        plan_back(files, txid=4)
    with pytest.raises(RestoreError, match="gap"):
        plan_back([files[0], files[2]])


def test_the_finest_chain_has_every_state_that_there_is() -> None:
    """Merged files are taken where those they were made of are gone, and a gap ends it."""
    files = [
        HistoryFile(9, 1, 4, 9, 0),
        HistoryFile(1, 2, 4, 9, 0),
        HistoryFile(0, 5, 5, 9, 0),
        HistoryFile(1, 5, 6, 9, 0),
        HistoryFile(0, 6, 6, 9, 0),
        HistoryFile(9, 1, 8, 9, 0),
        HistoryFile(0, 10, 10, 9, 0),
    ]
    start = state_before(files, 7)
    assert start == files[0] == state_before(files, None) and state_before(files, 3) is None
    assert [(one.min_txid, one.max_txid) for one in finest_chain(files, 4)] == [(5, 5), (6, 6), (1, 8)]
    assert finest_chain(files, 1)[0] == files[1]
