"""The votes of a class: one of each follower on each question, until the answer is shown.

The rule: nothing but numbers is left of a vote. Who voted for what is known while the question is open, so
that a vote can be changed; then only how many there were for each choice. A vote is refused with a status
and a sentence. Values in, values out: no clock, no I/O.
"""

from collections import Counter
from dataclasses import dataclass

from pylitefs.lecture.model import Json
from pylitefs.lecture.show.asking import Refused

MOST_VOTERS = 2000
"""Of one question: more than any hall holds, and little memory."""
BURST, RATE = 10.0, 1.0
"""A follower may change a vote so often at once, and so often a second after that."""


@dataclass(slots=True)
class _Voter:
    choice: int
    left: float
    since: float


class Votes:
    """The votes on the question that is asked now, or was asked last."""

    def __init__(self) -> None:
        self.question = ""
        """Its id; "" before the first."""
        self.is_open = False
        self._choices = 0
        self._voters: dict[str, _Voter] = {}
        self._counted: tuple[int, ...] = ()

    def ask(self, question: str, choices: int) -> None:
        """A new question is open."""
        self.close()
        self.question, self.is_open = question, True
        self._choices, self._counted = choices, ()

    def close(self) -> None:
        """The answer is shown: what was voted is counted, and nothing else is kept."""
        if self.is_open:
            self._counted, self.is_open = self.counts, False
        self._voters.clear()

    def forget(self) -> None:
        """The lesson begins again: no question was asked."""
        self.close()
        self.question, self._choices, self._counted = "", 0, ()

    @property
    def counts(self) -> tuple[int, ...]:
        """How many votes each choice has."""
        if not self.is_open:
            return self._counted
        found = Counter(voter.choice for voter in self._voters.values())
        return tuple(found[choice] for choice in range(self._choices))

    def vote(self, voter: str, question: str, choice: int, now: float) -> None:
        """Take a vote, or change it; `now` is any clock's seconds. Raises Refused."""
        if question != self.question:
            raise Refused(409, "another question is asked now: the page shows it in a moment")
        if not self.is_open:
            raise Refused(409, "the answer is shown already: votes count before it")
        if not 0 <= choice < self._choices:
            raise Refused(400, f"the question has the choices 1 to {self._choices}")
        known = self._voters.get(voter)
        if known is None:
            if len(self._voters) >= MOST_VOTERS:
                raise Refused(429, f"{MOST_VOTERS:,} have voted, and no more can")
            known = self._voters[voter] = _Voter(choice, BURST, now)
        known.left = min(BURST, known.left + (now - known.since) * RATE) - 1
        known.since = now
        if known.left < 0:
            known.left = 0
            raise Refused(429, "a vote was changed too often: wait a second")
        known.choice = choice

    def told(self) -> Json:
        """As the pages get it."""
        return {"question": self.question, "open": self.is_open, "counts": list(self.counts)}
