"""Whether a level's goal is reached, condition by condition, and whether what is forbidden has happened.

The rule: the nodes' real state decides. A condition is looked at as an `expect` is, once, and a node on
which something is held is not asked for rows: such a question might wait for as long as the hold.
"""

import re

from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.goals import AnyEvent, Lost, Never, Past, Terms
from pylitefs.lecture.live.expect import Expectations, Wrong
from pylitefs.lecture.live.ledger import Ledger
from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.live.scene import Scene

_POSITION = re.compile(r"\b0*([0-9a-f]+)/([0-9a-f]{4})[0-9a-f]{8}([0-9a-f]{4})\b")

_LONGEST = 90
"""Characters of a reason."""


class Judge:
    def __init__(self, scene: Scene, expectations: Expectations, ledger: Ledger) -> None:
        self._scene = scene
        self._expectations = expectations
        self._ledger = ledger

    def unmet(self, terms: Terms) -> list[Wrong]:
        """For each condition of the goal what is so instead; None if it holds."""
        return [_shortened(self.look(one.expect)) for one in terms.goal]

    def forbidden(self, terms: Terms) -> Never | None:
        """The first forbidden thing that has happened since the goal was set."""
        for entry in list(self._scene.seen):
            for never in terms.never:
                if never.is_it(entry.node, entry.name, entry.text):
                    return never
        return None

    def look(self, expected: c.Expect) -> Wrong:
        """What is so instead, just now."""
        scene = self._scene
        if isinstance(expected, Lost):
            return self._ledger.why_nothing_is_lost()
        if isinstance(expected, Past):
            at = scene.positions.get((expected.node, DATABASE), (0, 0))[0]
            return None if at > expected.txid else f"{expected.node} is at TXID {at}"
        if isinstance(expected, AnyEvent):
            return self._any_event(expected)
        if isinstance(expected, c.ExpectSql | c.ExpectSqlFails):
            node = expected.node
            if scene.nodes.role_shown(node) == "down":
                return f"{node} is down"
            if scene.holds.on(node):
                return f"{node} is held, so nobody looks into its database"
        return self._expectations.look(expected)

    def _any_event(self, expected: AnyEvent) -> Wrong:
        passed = [one for one in list(self._scene.seen) if one.name == expected.name]
        if any(expected.text in one.text for one in passed):
            return None
        if not passed:
            return f"no node has passed {expected.name} yet"
        return f"{passed[-1].node} passed {expected.name}, but with: {passed[-1].text}"


def _shortened(why: Wrong) -> Wrong:
    """As it is read beside the nodes, which show all of it."""
    if why is None:
        return None
    line = _POSITION.sub(r"\1/\2…\3", why.partition("; it ends:")[0].partition("\n")[0])
    line = line.replace(" since the last cluster", " yet")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
