"""One try at a level: which commands were given, what of the goal is so, and how it ended.

The rule: it decides nothing about nodes and touches none. What is so is told to it; it counts, refuses, and
says what is to be shown. What costs nothing (a typo, a look, a refusal) is never counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pylitefs.errors import LessonError
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.language.goals import FREE, NOT_PLAYED, Never
from pylitefs.lecture.language.level import Level, following
from pylitefs.lecture.model import Json

REACHED, USED_UP, FORBIDDEN, GIVEN_UP = "reached", "used up", "forbidden", "given up"


@dataclass(frozen=True, slots=True)
class Given:
    """A command that was given."""

    line: str
    outcome: str
    counts: bool


class Attempt:
    """From the opening's end on. `hints` is how many were shown before, in an earlier attempt."""

    def __init__(self, level: Level, hints: int = 0) -> None:
        self.level = level
        self.hints = hints
        self.given: list[Given] = []
        self.unmet: list[str | None] = ["not looked at yet"] * len(level.terms.goal)
        """For each condition why it is not so; None where it is."""
        self.over = ""
        """How it ended; "" while it goes on."""
        self.why_over = ""

    @property
    def used(self) -> int:
        return sum(one.counts for one in self.given)

    def check(self, command: Command) -> None:
        """LessonError, which costs nothing, if this command is not to be given now."""
        terms, verb = self.level.terms, command.verb
        if verb in NOT_PLAYED:
            raise LessonError(f"`{verb}` is for who writes a level; here there is: {', '.join(terms.verbs)}")
        if verb in terms.without:
            raise LessonError(f"`{verb}` is not to be given in this level; nothing was done")
        if self.over:
            raise LessonError(f"this attempt is over ({self.over}): begin again")

    @staticmethod
    def costs(command: Command) -> bool:
        """Whether it is counted, if it does something."""
        return command.verb not in FREE

    def did(self, line: str, outcome: str, *, counts: bool) -> None:
        """A command was done, and this came of it."""
        self.given.append(Given(line, outcome, counts))

    def saw(self, unmet: Sequence[str | None], forbidden: Never | None = None) -> None:
        """How the goal stands, and which forbidden thing has happened."""
        self.unmet = list(unmet)
        if self.over:
            return
        if forbidden is not None:
            self._end(FORBIDDEN, f"It was not to happen: {forbidden.text}")
        elif not any(unmet):
            self._end(REACHED, self._praise())

    def use_up(self) -> None:
        """If no command is left, and the goal is not reached, it is over."""
        if not self.over and self.used >= self.level.terms.most:
            most = self.level.terms.most
            which = "The one command is" if most == 1 else f"All {most} commands are"
            self._end(USED_UP, f"{which} used, and the goal is not reached.")

    def hint(self) -> str:
        """One hint more. LessonError if there is none."""
        if self.hints >= len(self.level.hints):
            raise LessonError("there are no more hints: think once more, or give up to see a solution")
        self.hints += 1
        return self.level.hints[self.hints - 1]

    def give_up(self) -> None:
        """See a solution, also where the attempt has failed. LessonError if it is there already."""
        if self.over in (REACHED, GIVEN_UP):
            raise LessonError(f"the solution is there already ({self.over}): begin again")
        self.over, self.why_over = GIVEN_UP, "You have given up. This does it:"

    def _end(self, how: str, why: str) -> None:
        self.over, self.why_over = how, why

    def _praise(self) -> str:
        fewest = self.level.fewest
        if self.used > fewest:
            return f"The goal is reached, with {_commands(self.used)}. It can be done with {fewest}."
        less = "fewer than our solution has" if self.used < fewest else "we know of no way with fewer"
        return f"The goal is reached, with {_commands(self.used)}: {less}."

    def shown(self) -> Json:
        """As the state's `level` has it; the solution only where nothing is given away."""
        level, terms = self.level, self.level.terms
        tells = self.over in (REACHED, GIVEN_UP)
        goal = [[one.text, why is None, why or ""] for one, why in zip(terms.goal, self.unmet, strict=True)]
        return {
            "goal": goal,
            "most": terms.most,
            "used": self.used,
            "fewest": level.fewest if tells else 0,
            "given": [[one.line, one.outcome, one.counts] for one in self.given],
            "never": [one.text for one in terms.never],
            "without": list(terms.without),
            "verbs": list(terms.verbs),
            "hints": list(level.hints[: self.hints]),
            "hints_left": len(level.hints) - self.hints,
            "over": self.over,
            "why_over": self.why_over,
            "solution": [move.text for move in level.solution] if tells else [],
            "why": level.why if tells else "",
            "next": following(level.name) if tells else "",
        }


def _commands(count: int) -> str:
    return f"{count} command{'' if count == 1 else 's'}"
