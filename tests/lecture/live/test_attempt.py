"""One try at a level: what is counted, what is refused, how it ends, and what is shown of it."""

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture import bounds
from pylitefs.lecture.language import level
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.live.attempt import Attempt
from tests.lecture.level_sample import LEVEL


@pytest.fixture
def attempt() -> Attempt:
    return Attempt(level.read("two-rows", LEVEL))


def test_it_goes_on_until_the_goal_is_reached(attempt: Attempt) -> None:
    attempt.check(parse("sql n1 INSERT INTO t VALUES (2)"))
    attempt.did("run", "done", counts=True)
    attempt.saw([None, "there is one row"])
    attempt.use_up()
    assert not attempt.over
    attempt.did("sql n1 …", "done", counts=True)
    attempt.saw([None, None])
    attempt.use_up()
    assert (attempt.over, attempt.why_over) == (
        "reached",
        "The goal is reached, with 2 commands. It can be done with 1.",
    )
    with pytest.raises(LessonError, match="over"):
        attempt.check(parse("run"))


@pytest.mark.parametrize(("used", "said"), [(0, "fewer than our"), (1, "no way with fewer")])
def test_few_commands_are_praised(attempt: Attempt, used: int, said: str) -> None:
    for _ in range(used):
        attempt.did("run", "done", counts=True)
    attempt.saw([None, None])
    assert said in attempt.why_over


def test_without_a_command_left_it_is_over(attempt: Attempt) -> None:
    for _ in range(2):
        attempt.did("run", "done", counts=True)
        attempt.did("expect n1 at 3", "not so", counts=False)
    attempt.saw(["no", None])
    attempt.use_up()
    assert (attempt.used, attempt.over) == (2, "used up")
    attempt.give_up()
    assert attempt.shown()["solution"] == ["sql n1 INSERT INTO t VALUES (2)", "expect n1 done"]


def test_what_was_not_to_happen_ends_it_also_where_the_goal_is_reached(attempt: Attempt) -> None:
    attempt.saw([None, None], attempt.level.terms.never[0])
    assert (attempt.over, attempt.why_over) == (
        "forbidden",
        "It was not to happen: Something is rolled back.",
    )
    assert attempt.shown()["solution"] == []


@pytest.mark.parametrize("line", ["restart n1", "cluster", "note x", "ask Q\n+ a\n- b\n= c"])
def test_what_is_not_to_be_given_is_refused_and_costs_nothing(attempt: Attempt, line: str) -> None:
    with pytest.raises(LessonError, match=r"not to be given|for who writes"):
        attempt.check(parse(line))
    assert attempt.used == 0
    assert line.split(maxsplit=1)[0] not in attempt.shown()["verbs"]


def test_looking_costs_nothing(attempt: Attempt) -> None:
    attempt.check(parse("expect n1 at 3"))
    assert not attempt.costs(parse("expect n1 at 3"))
    assert attempt.costs(parse("run"))


def test_hints_come_one_by_one_and_stay(attempt: Attempt) -> None:
    assert (attempt.shown()["hints"], attempt.shown()["hints_left"]) == ([], 2)
    assert attempt.hint().startswith("It is SQL")
    again = Attempt(attempt.level, attempt.hints)
    assert again.hint() == "The table is `t`."
    assert (len(again.shown()["hints"]), again.shown()["hints_left"]) == (2, 0)
    with pytest.raises(LessonError, match="no more hints"):
        again.hint()


def test_who_gives_up_sees_a_solution_once(attempt: Attempt) -> None:
    assert attempt.shown()["solution"] == [] and attempt.shown()["why"] == ""
    attempt.give_up()
    assert attempt.shown()["why"] == "A row is a row."
    with pytest.raises(LessonError, match="there already"):
        attempt.give_up()


@pytest.mark.parametrize("name", level.names())
def test_what_is_shown_is_what_a_recording_may_hold_and_gives_nothing_away(name: str) -> None:
    found = level.load(name)
    attempt = Attempt(found)
    assert bounds.why_no_state({"level": attempt.shown()}) is None
    shown = str({**attempt.shown(), "verbs": []})
    assert not any(move.text in shown for move in found.solution if move.counts)
    assert set(attempt.shown()["verbs"]) <= set(VERBS)
