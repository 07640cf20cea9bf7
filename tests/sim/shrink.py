"""A wrong history with as few steps as can be, that goes wrong in the same way.

By delta debugging: leave out half of the steps, then quarters, and so on, as long as it still goes wrong.
The rule: what is shown goes wrong by itself, from a new start.
"""

import re
from collections.abc import Callable

from tests.sim.history import Outcome, run
from tests.sim.program import Step


def kind_of(outcome: Outcome) -> str:
    """What went wrong, without what differs from one history to the other: numbers, names of nodes."""
    return re.sub(r"[0-9a-f]{3,}|\d+|\b[ab]\.db|/\S+", "#", outcome.why)[:60]


def shrink(wrong: Outcome, live: Callable[[int, list[Step]], Outcome] = run, most: int = 400) -> Outcome:
    """The same fault in fewer steps; at most so many tries."""
    kind = kind_of(wrong)
    steps = wrong.steps[: wrong.failed_at + 1]
    best = live(wrong.seed, steps)
    if kind_of(best) != kind:
        return wrong
    size = max(1, len(steps) // 2)
    tries = 0
    while tries < most:
        at = 0
        smaller = False
        while at < len(steps) and tries < most:
            fewer = steps[:at] + steps[at + size :]
            tries += 1
            outcome = live(wrong.seed, fewer)
            if outcome.error is not None and kind_of(outcome) == kind:
                best, steps, smaller = outcome, fewer[: outcome.failed_at + 1], True
            else:
                at += size
        if size == 1 and not smaller:
            break
        size = max(1, size // 2)
    return best
