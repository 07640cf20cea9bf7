"""Votes: one of each follower, until the answer is shown; then numbers alone."""

import pytest

from pylitefs.lecture.show import votes as module
from pylitefs.lecture.show.asking import Refused
from pylitefs.lecture.show.votes import BURST, Votes


def asked() -> Votes:
    votes = Votes()
    votes.ask("run-3", 3)
    return votes


def test_one_vote_each_that_can_be_changed() -> None:
    """Who votes again has changed the vote; another's is another's."""
    votes = asked()
    votes.vote("ada", "run-3", 0, 0.0)
    votes.vote("ada", "run-3", 2, 1.0)
    votes.vote("grace", "run-3", 2, 1.0)
    assert votes.counts == (0, 0, 2)
    assert votes.told() == {"question": "run-3", "open": True, "counts": [0, 0, 2]}


def test_a_vote_counts_before_the_answer_alone() -> None:
    """And who voted for what is forgotten with it: the numbers stay."""
    votes = asked()
    votes.vote("ada", "run-3", 1, 0.0)
    votes.close()
    with pytest.raises(Refused, match="shown already") as refused:
        votes.vote("ada", "run-3", 2, 1.0)
    assert refused.value.status == 409
    assert votes.counts == (0, 1, 0)
    assert "ada" not in repr(vars(votes))


def test_a_vote_is_for_the_question_that_is_asked() -> None:
    """A next question, and a lesson that begins again, have no votes yet."""
    votes = asked()
    votes.vote("ada", "run-3", 1, 0.0)
    votes.ask("run-9", 2)
    assert votes.counts == (0, 0)
    with pytest.raises(Refused, match="another question"):
        votes.vote("ada", "run-3", 1, 0.0)
    votes.forget()
    assert votes.told() == {"question": "", "open": False, "counts": []}


@pytest.mark.parametrize("choice", [-1, 3, 10**9])
def test_only_what_there_is_can_be_chosen(choice: int) -> None:
    votes = asked()
    with pytest.raises(Refused, match="choices 1 to 3"):
        votes.vote("ada", "run-3", choice, 0.0)
    assert votes.counts == (0, 0, 0)


def test_a_vote_that_is_changed_without_end_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do more vote than may; who was refused has the vote from before, and may again in a while."""
    votes = asked()
    for _ in range(int(BURST)):
        votes.vote("ada", "run-3", 1, 0.0)
    with pytest.raises(Refused, match="too often"):
        votes.vote("ada", "run-3", 2, 0.0)
    assert votes.counts == (0, 1, 0)
    votes.vote("ada", "run-3", 2, 5.0)
    monkeypatch.setattr(module, "MOST_VOTERS", 1)
    with pytest.raises(Refused, match="no more can"):
        votes.vote("grace", "run-3", 2, 5.0)
