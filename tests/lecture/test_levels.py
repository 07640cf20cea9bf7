"""Every packaged level is true of this implementation: its solution, on real mounts, reaches its goal.

And it is no gift: doing nothing does not reach it, and the way that it forbids is refused. `no-snapshot` is
in the ordinary run, all twelve are in the full one.
"""

from pathlib import Path

import pytest

from pylitefs.cluster.cluster import is_mounted
from pylitefs.errors import LessonError
from pylitefs.lecture.language import level
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.live.attempt import FORBIDDEN, USED_UP, Attempt
from pylitefs.lecture.live.level_session import run_headless
from pylitefs.lecture.model import Entry

QUICK = ("no-snapshot",)
TOPICS = (
    "ltx.commit",  # commit, LTX
    "tx.rollback",
    "wal.commit",
    "no longer kept",  # lag
    "recovery.ltx",  # crash
    "lost",
    "both are at TXID",  # split brain, checksum
    "lease.lose",  # lease, fencing
    "lease.handoff",
    "halt.tx",
    "restore",
    "undo",  # row history
)

#: For each level a way that it does not take: a command that it refuses, or an event that ends it; or, where
#: nothing is forbidden, that its commands are used up.
NOT_SO = {
    "between": "",
    "no-trace": "n1 ltx.encode Pages 1 and 2 went into the LTX file",
    "whole-frame": "n1 ltx.commit The LTX file is synced",
    "too-late": "kill n2",
    "an-error": "",
    "lost": "",
    "two-primaries": "kill n1",
    "by-the-clock": "handoff n2",
    "handed-over": "n1 lease.lose n1 is the primary no longer",
    "borrowed": "unhalt n2",
    "before-the-hole": "sql n1 INSERT INTO note VALUES (1, 'buy milk')",
    "no-snapshot": "n1 catchup.decide n2 gets a snapshot of data.db",
}


@pytest.mark.fuse
@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one in QUICK else pytest.mark.full) for one in level.names()]
)
def test_the_solution_reaches_the_goal(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the opening alone does not; nothing is left mounted."""
    entries: list[Entry] = []
    code = run_headless(level.load(name), lambda entry, _: entries.append(entry), tmp_path)
    assert code == 0, capsys.readouterr().err
    shown = [entry.set["level"] for entry in entries if "level" in entry.set]
    assert not all(met for _, met, _ in shown[0]["goal"]) and shown[0]["over"] == ""
    assert (shown[-1]["over"], shown[-1]["used"]) == ("reached", level.load(name).fewest)
    assert not any(is_mounted(path) for path in tmp_path.glob("n*/mnt"))


@pytest.mark.parametrize("name", level.names())
def test_the_way_that_is_forbidden_is_refused(name: str) -> None:
    attempt, way = Attempt(level.load(name)), NOT_SO[name]
    terms = attempt.level.terms
    unmet = ["not so"] * len(terms.goal)
    if not way:
        assert not terms.without and not terms.never
        for _ in range(terms.most):
            attempt.did("run", "done", counts=True)
        attempt.saw(unmet)
        attempt.use_up()
        assert attempt.over == USED_UP
    elif way.split()[0] in {"n1", "n2"}:
        node, event, text = way.split(" ", 2)
        (never,) = [one for one in terms.never if one.is_it(node, event, text)]
        attempt.saw([None] * len(terms.goal), never)
        assert attempt.over == FORBIDDEN
    else:
        with pytest.raises(LessonError, match="not to be given"):
            attempt.check(parse(way))


@pytest.mark.parametrize("name", level.names())
def test_a_level_is_made_for_a_student(name: str) -> None:
    """A few lines to read, a goal that fits beside the nodes, hints that do not begin with the solution."""
    found = level.load(name)
    assert 2 <= len(found.hints) <= 4
    assert len(found.opening.summary) < 200
    assert found.fewest <= found.terms.most <= found.fewest + 2
    assert len(found.terms.goal) + len(found.terms.never) <= 7
    for section in found.opening.sections:
        assert 0 < len(section.prose_markdown) < 400
    assert found.why
    first = found.hints[0]
    assert not any(move.text in first for move in found.solution)


def test_the_levels_go_through_all_topics() -> None:
    texts = [path.read_text() for path in sorted(level.LEVELS.glob("*.md"))]
    for topic, text in zip(TOPICS, texts, strict=True):
        assert topic in text
