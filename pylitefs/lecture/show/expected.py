"""The event that a step's own `expect … event` names: the lesson says what it speaks of, so that is told.

The rule: it is one of the step's own events; what happened before the step is no caption of it. Where a
question, an answer, a note or an error is to be told, that goes first. page/expected.js does the same.
"""

import re
from collections.abc import Sequence

from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import HeadStep

_EXPECTS = re.compile(r"expect\s+(\S+)\s+event\s+(\S+)\s*(.*)", re.DOTALL)
_GOES_FIRST = frozenset({"question", "answer", "note", "error"})


def expected(entries: Sequence[Entry], steps: Sequence[HeadStep]) -> Entry | None:
    """Of the entries that one press of Next brought, the event that the lesson expects; the last it names."""
    if any(one.kind in _GOES_FIRST for one in entries):
        return None
    for at in range(len(entries) - 1, -1, -1):
        entry = entries[at]
        if entry.kind != "command" or entry.name != "expect" or not 0 <= entry.step < len(steps):
            continue
        found = _EXPECTS.fullmatch(steps[entry.step].text)
        if found is None:
            continue
        node, name, text = found[1], found[2], found[3].strip()
        for one in reversed(entries[:at]):
            if one.kind == "event" and (one.node, one.name) == (node, name) and text in one.text:
                return one
    return None


def with_what_is_beside(entries: Sequence[Entry], stop: int) -> int:
    """Where Next stops: what is expected, and what is looked at, after a step belongs to it."""
    while stop + 1 < len(entries) and entries[stop + 1].name in ("expect", "look"):
        stop += 1
    return stop
