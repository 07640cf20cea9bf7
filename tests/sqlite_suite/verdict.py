"""What a test file says of a mount, beside the same file on a plain folder and what is expected. Pure.

The rule: a case that does not pass on the plain folder says nothing, and a difference without a reason in
expected.yaml is a failure.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import yaml

from tests.sqlite_suite.reading import Outcome

END = "(end)"
"""Stands for a case, where the whole run differs: it gave up, or it was ended."""


class Verdict(enum.Enum):
    PASSES = "passes"
    EXPECTED = "differs as expected"
    DIFFERS = "DIFFERS"
    NO_END = "passes as far as it got"
    SAYS_NOTHING = "says nothing"


@dataclass(frozen=True)
class Difference:
    """A case that passes on the plain folder and not on the mount."""

    case: str
    gave: str


@dataclass(frozen=True)
class Expected:
    """Differences that are known: shell patterns, and why it is so."""

    name: str
    tests: tuple[str, ...]
    cases: tuple[str, ...]
    gave: str
    on: tuple[str, ...]
    why: str

    def means(self, test: str, place: str, difference: Difference) -> bool:
        return (
            any(fnmatchcase(test, pattern) for pattern in self.tests)
            and any(fnmatchcase(place, pattern) for pattern in self.on)
            and any(fnmatchcase(difference.case, pattern) for pattern in self.cases)
            and fnmatchcase(difference.gave, self.gave)
        )


def load(text: str) -> list[Expected]:
    """The entries of expected.yaml. Raises KeyError for one without a name, tests or a reason."""
    return [
        Expected(
            entry["name"],
            tuple(one["tests"].split()),
            tuple(one.get("cases", ["*"])),
            one.get("gave", "*"),
            tuple(one.get("on", ["*"])),
            entry["why"],
        )
        for entry in yaml.safe_load(text) or ()
        for one in entry["differences"]
    ]


def differences(plain: Outcome, mount: Outcome) -> list[Difference]:
    """What passed on the plain folder and failed on the mount, or made the mount's run end early.

    A run that was out of time says nothing of the cases that it did not reach.
    """
    found = [Difference(case, gave) for case, gave in mount.failed.items() if case in plain.passed]
    if END in mount.failed and END not in plain.failed:
        found.append(Difference(END, mount.failed[END]))
    unreached = plain.passed - mount.passed - mount.failed.keys()
    if mount.ended and unreached and not mount.out_of_time:
        found.append(Difference(END, f"{mount.ended} ({len(unreached)} cases not reached)"))
    return found


@dataclass(frozen=True)
class Judged:
    """One test file on one mount."""

    verdict: Verdict
    unexpected: Sequence[Difference]
    expected: Mapping[str, Sequence[Difference]]
    """Those that are known, by the name of the entry."""


def judge(
    test: str, place: str, runs: tuple[Outcome, Outcome], findings: Iterable[str], known: Iterable[Expected]
) -> Judged:
    """`runs` are the one on the plain folder and the one on the mount.

    `findings` are what does not hold on the nodes after the test; each counts like a case `(nodes)`.
    """
    plain, mount = runs
    entries = list(known)
    unexpected: list[Difference] = []
    expected: dict[str, list[Difference]] = {}
    both = [*differences(plain, mount), *(Difference("(nodes)", finding) for finding in findings)]
    for difference in both:
        entry = next((entry for entry in entries if entry.means(test, place, difference)), None)
        if entry is None:
            unexpected.append(difference)
        else:
            expected.setdefault(entry.name, []).append(difference)
    if unexpected:
        verdict = Verdict.DIFFERS
    elif not plain.passed:
        verdict = Verdict.SAYS_NOTHING
    else:
        verdict = Verdict.EXPECTED if expected else Verdict.NO_END if mount.out_of_time else Verdict.PASSES
    return Judged(verdict, unexpected, expected)
