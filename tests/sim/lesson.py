"""A wrong history as a lesson: the file that `pylitefs lecture` opens, to look at it step by step on real
nodes.

The rule: what the lesson's commands can say is said (transactions, kills, cut connections, time); what they
cannot (the call at which a process dies, what a power failure left, a failing disk) is told in the prose of
its step. So a lesson shows the way to a fault; the seed shows the fault itself.
"""

import re
from collections.abc import Iterable

from tests.sim.history import Outcome
from tests.sim.program import SCHEMA, for_a_shell

_LINE = 90


def lesson(outcome: Outcome) -> str:
    """The Markdown of the history's way."""
    again = f"python -m tests.sim --seed {outcome.seed} {' '.join(map(str, outcome.steps))}"
    parts = [
        f"# Seed {outcome.seed}\n",
        f"What the simulator found: {_prose(outcome.why)}.\n",
        "## The nodes\n",
        f"The history itself, with every crash at its call:\n\n    {again}\n",
        _block([outcome.cluster, f"sql n1 {for_a_shell(SCHEMA)}"]),
    ]
    for at, (kind, told) in enumerate(
        zip((step.kind for step in outcome.steps), outcome.story, strict=False)
    ):
        parts += [
            f"## Step {at}: {kind.replace('_', ' ')}\n",
            f"{_prose(told.text)}.\n",
            _block(told.commands),
        ]
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Words that Markdown does not take for anything else."""
    return re.sub(r"[`*_<>\[\]#|\\]", " ", text).strip().replace("\n", " ")[:600] or "nothing to be seen"


def _block(commands: Iterable[str]) -> str:
    lines = [line for one in commands for line in _folded(one)] or ["note Nothing that a command could do."]
    return "\n".join(("```lesson", *lines, "```", ""))


def _folded(command: str) -> list[str]:
    """A long command on several lines: those after the first begin with two spaces."""
    words, lines = command.split(" "), [""]
    for word in words:
        if lines[-1].strip() and len(lines[-1]) + len(word) > _LINE:
            lines.append(" ")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines
