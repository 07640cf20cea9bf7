"""What is done for one database: every case of the rule."""

import pytest

from pylitefs.backup.decide import Action, decide
from pylitefs.ltx.position import Pos

FLAG = 1 << 63
HERE, THERE = Pos(5, FLAG | 5), Pos(5, FLAG | 6)


@pytest.mark.parametrize(
    ("local", "remote", "next_pre_apply", "action", "reason"),
    [
        (Pos(), Pos(), None, Action.NOTHING, "no transaction"),
        (HERE, Pos(), None, Action.SNAPSHOT, "has nothing"),
        (HERE, Pos(), 0, Action.SNAPSHOT, "has nothing"),
        (Pos(), HERE, None, Action.RESTORE, "this node has nothing"),
        (HERE, HERE, None, Action.NOTHING, "level"),
        (HERE, Pos(6, FLAG | 7), None, Action.RESTORE, "ahead"),
        (HERE, THERE, None, Action.RESTORE, "another way"),
        (Pos(9, FLAG), HERE, None, Action.WHOLE, "gone"),
        (Pos(9, FLAG), HERE, FLAG | 6, Action.RESTORE, "another way"),
        (Pos(9, FLAG), HERE, FLAG | 5, Action.FILES, "continue"),
    ],
)
def test_every_case_of_the_rule(
    local: Pos, remote: Pos, next_pre_apply: int | None, action: Action, reason: str
) -> None:
    decision = decide(local, remote, next_pre_apply)
    assert decision.action is action
    assert reason in decision.reason
