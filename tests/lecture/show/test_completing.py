"""What is offered for the next word of a line."""

import pytest

from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.show.completing import completions
from pylitefs.trace import TRACEPOINTS

NODES = ("n1", "n2")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("re", ["restart"]),
        ("run", ["run-to", "run-to-commit", "run"]),
        ("kill ", ["n1", "n2"]),
        ("kill  n2", ["n2"]),
        ("kill n2 ", []),
        ("sql n1 SEL", []),
        ("restart n2 as ", ["primary", "replica"]),
        ("restart n2 as replica of ", ["n1", "n2"]),
        ("run-to ltx.c", ["ltx.commit"]),
        ("run-to ltx.commit ", ["n1", "n2"]),
        ("pause ltx", ["ltx", "ltx.encode", "ltx.commit", "ltx.verify", "ltx.store"]),
        ("pause journal without recovery.b", ["recovery.begin"]),
        ("corrupt n2 w", ["wal"]),
        ("ltx n1 r", ["restore"]),
        ("foo ", []),
    ],
)
def test_the_words_that_may_follow(line: str, offered: list[str]) -> None:
    assert completions(line, VERBS, NODES) == offered


def test_only_the_verbs_that_may_be_given() -> None:
    assert completions("", ["kill", "run"], NODES) == ["kill", "run"]
    assert set(TRACEPOINTS) < set(completions("run-to ", VERBS, NODES))
