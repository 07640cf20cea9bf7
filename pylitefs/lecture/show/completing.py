"""What can stand next in a line of the lesson language, for who types it: verbs, nodes, tracepoints.

The rule: it only offers. What is typed is read by the grammar, and may be more than is offered here.
"""

from collections.abc import Iterable, Sequence

from pylitefs.lecture.language.verbs import VERBS, slots
from pylitefs.trace import TRACEPOINTS


def completions(line: str, verbs: Iterable[str], nodes: Sequence[str]) -> list[str]:
    """Whole words that the last word of `line` may become; after a space, words that may follow."""
    *before, last = line.split(" ")
    before = [word for word in before if word]
    if not before:
        return [verb for verb in verbs if verb.startswith(last)]
    if before[0] not in VERBS:
        return []
    places = slots(VERBS[before[0]].usage)
    at = len(before) - 1
    if at >= len(places):
        at = len(places) - 1 if places and "NAME" in places[-1] else len(places)
    offered: list[str] = []
    for one in places[at] if at < len(places) else []:
        offered += nodes if one == "NODE" else names() if one == "NAME" else [one]
    return [word for word in offered if word.startswith(last)]


def names() -> list[str]:
    """Tracepoints, and before them the groups that stand for several."""
    groups = sorted({name.partition(".")[0] for name in TRACEPOINTS})
    return [*groups, *TRACEPOINTS]
