"""What a check found, in one line: all is well, something to know, or something to mend.

The rule: what is wrong has a remedy that a person can do now.
"""

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a finding is shown."""

    OK = "ok"
    NOTE = "note"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's."""

    verdict: Verdict
    about: str
    """A word or two: `port`, `data directory`."""
    text: str

    @property
    def is_wrong(self) -> bool:
        return self.verdict is Verdict.WRONG

    def line(self) -> str:
        """For people, in columns."""
        return f"{self.verdict.value:<5}  {self.about:<14}  {self.text}"


def ok(about: str, text: str) -> Finding:
    return Finding(Verdict.OK, about, text)


def note(about: str, text: str) -> Finding:
    return Finding(Verdict.NOTE, about, text)


def wrong(about: str, what: str, remedy: str = "") -> Finding:
    """`remedy`: what to do, where `what` does not say it."""
    return Finding(Verdict.WRONG, about, f"{what}. Mend it: {remedy}" if remedy else what)
