"""What testfixture printed: which cases ran, which failed, and how it ended. Pure.

The rule: what is not understood is no success. A run without its last line is not finished, whatever else it
printed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_RAN = re.compile(r"^(?P<name>\S.*?)\.\.\.(?P<ok> Ok)?(?: Omitted)?$", re.MULTILINE)
_ERROR = re.compile(r"^Error: (?P<why>.*)$", re.MULTILINE)
_GOT = re.compile(r"^! (?P<name>.*?) (?P<what>expected|got): +\[(?P<value>.*)\]$")
_FAILURES = re.compile(r"^!Failures on these tests:(?P<names>.*)$", re.MULTILINE)
_COUNTS = re.compile(r"^(?P<errors>\d+) errors out of (?P<tests>\d+) tests", re.MULTILINE)
_OPEN = re.compile(r"^(?P<count>\d+) files were left open$", re.MULTILINE)
OUT_OF_TIME = "out of time"
LONGEST = 300
"""Of what a case is told to have given."""


@dataclass(frozen=True)
class Outcome:
    """One test file in one place."""

    passed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)
    """What each failed case gave."""
    tests: int = 0
    """How many there were, by testfixture's own count; 0 if it did not come to its end."""
    ended: str = ""
    """Why it did not come to its end; "" if it did."""
    seconds: float = 0.0

    @property
    def out_of_time(self) -> bool:
        return self.ended.startswith(OUT_OF_TIME)

    @property
    def ran(self) -> int:
        return self.tests or len(self.passed) + len(self.failed)


def read(text: str, ended: str = "", seconds: float = 0.0) -> Outcome:
    """`ended` is what the process's end says: "" for an exit code of testfixture's own, or what killed it."""
    counts = _COUNTS.search(text)
    passed: set[str] = set()
    failed: dict[str, str] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if (ran := _RAN.match(line)) and ran["ok"]:
            passed.add(ran["name"])
        elif ran and (error := _ERROR.match(lines[number + 1] if number + 1 < len(lines) else "")):
            failed[ran["name"]] = f"error: {error['why']}"[:LONGEST]
        elif (got := _GOT.match(line)) and got["what"] == "got":
            failed[got["name"]] = got["value"][:LONGEST]
        elif got:
            failed.setdefault(got["name"], "")
    for match in _FAILURES.finditer(text):
        for name in match["names"].split():
            failed.setdefault(name, "")
    if left := _OPEN.search(text):
        failed["(end)"] = f"{left['count']} files were left open"
    if not counts and not ended:
        ended = _last_words(lines)
    return Outcome(
        frozenset(passed - failed.keys()),
        failed,
        int(counts["tests"]) if counts else 0,
        "" if counts else ended,
        seconds,
    )


def _last_words(lines: list[str]) -> str:
    """Of a test that Tcl gave up: its error is the first line after the last case."""
    cases = [number for number, line in enumerate(lines) if _RAN.match(line) or line.startswith("! ")]
    after = [line.strip() for line in lines[cases[-1] + 1 if cases else 0 :] if line.strip()]
    return f"gave up: {after[0] if after else 'without a word'}"[:LONGEST]
