"""What was the same and what was not, and which of the differences are known.

The rule: a difference is known only by an entry of `known.yaml` that names its workload and matches its
aspect, place and values; each entry says whose behaviour is right, and why. What follows from a difference
by arithmetic alone (a checksum sums up everything before it) is told as its consequence, not as another.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import resources
from typing import Any, Literal

import yaml

from pylitefs.errors import PylitefsError

State = Literal["known", "unknown", "consequence"]


class KnownDifferencesError(PylitefsError):
    """`known.yaml` has an entry that lacks something."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which differences an entry means: shell patterns over a difference's fields."""

    aspect: str
    where: str = "*"
    ours: str = "*"
    theirs: str = "*"

    def matches(self, difference: "Difference") -> bool:
        mine = (self.aspect, self.where, self.ours, self.theirs)
        values = (difference.aspect, difference.where, difference.ours, difference.theirs)
        return all(fnmatchcase(value, pattern) for value, pattern in zip(values, mine, strict=True))


@dataclass(frozen=True, slots=True)
class Known:
    """One entry: what is different, in which workloads, who is right (`pylitefs`, `LiteFS`, `both`), why."""

    name: str
    workloads: tuple[str, ...]
    right: str
    why: str
    patterns: tuple[Pattern, ...]

    def explains(self, difference: "Difference") -> bool:
        return any(fnmatchcase(difference.workload, name) for name in self.workloads) and any(
            pattern.matches(difference) for pattern in self.patterns
        )


@dataclass(slots=True)
class Difference:
    """One aspect that is not the same. `step` is the line of the workload's file, 0 for its end."""

    workload: str
    aspect: str
    where: str
    ours: str
    theirs: str
    step: int = 0
    is_consequence: bool = False
    known: str = ""
    rows: list[str] = field(default_factory=list)
    """Of pages that differ: the rows that do."""

    @property
    def state(self) -> State:
        if self.known:
            return "known"
        return "consequence" if self.is_consequence else "unknown"


@dataclass
class Findings:
    """Everything that was compared in one workload."""

    workload: str
    equal: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def same(
        self, aspect: str, where: str, pair: Iterable[object], step: int = 0, *, follows: bool = False
    ) -> bool:
        """Note one comparison of (ours, theirs); whether it was equal.

        `follows`: a difference would be the consequence of one that was noted before.
        """
        ours, theirs = pair
        if ours == theirs:
            self.equal[aspect] += 1
            return True
        self.differences.append(
            Difference(self.workload, aspect, where, str(ours), str(theirs), step, is_consequence=follows)
        )
        return False

    def explain(self, known: Iterable[Known]) -> None:
        """Give each difference the name of the first entry that explains it."""
        entries = list(known)
        for difference in self.differences:
            difference.known = next((one.name for one in entries if one.explains(difference)), "")

    def count(self, state: State) -> int:
        return sum(difference.state == state for difference in self.differences)


@dataclass
class MixedOutcome:
    """One mixed cluster's run: in `findings`, ours is the primary and theirs the replica."""

    title: str
    findings: Findings
    transactions: int = 0
    seconds: float = 0.0


def known_differences(text: str | None = None) -> list[Known]:
    """The entries of `known.yaml` (or of `text`). Raises KnownDifferencesError."""
    if text is None:
        text = (resources.files("pylitefs.compare") / "known.yaml").read_text()
    return [_known(entry) for entry in yaml.safe_load(text) or ()]


def _known(entry: Mapping[str, Any]) -> Known:
    missing = {"name", "workloads", "right", "why", "differences"} - set(entry)
    if missing or entry["right"] not in {"pylitefs", "LiteFS", "both"}:
        what = ", ".join(sorted(missing)) or "`right`: pylitefs, LiteFS or both"
        raise KnownDifferencesError(f"known.yaml: entry {entry.get('name', '?')!r} lacks {what}")
    return Known(
        name=entry["name"],
        workloads=tuple(entry["workloads"]),
        right=entry["right"],
        why=" ".join(entry["why"].split()),
        patterns=tuple(Pattern(**pattern) for pattern in entry["differences"]),
    )
