"""What the prose points at, in the terminal: each link has a number behind it, and `l 1` shows its target.

The rule: what a link shows is found as everywhere (lecture/looking.py), in what was shown up to this step.
"""

import re
from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from pylitefs.errors import LessonError
from pylitefs.lecture.language import look
from pylitefs.lecture.looking import Seen
from pylitefs.lecture.model import Dump, Entry
from pylitefs.lecture.show import terminal_view as view

_LINK = re.compile(r"\[([^\[\]]*)\]\(look:([^()\s]*)\)")


def numbered(prose: str) -> tuple[str, tuple[str, ...]]:
    """The passage with a number behind each link that points, and the targets in that order."""
    targets: list[str] = []

    def mark(found: "re.Match[str]") -> str:
        targets.append(found[2])
        return f"*{found[1]}* ‹l {len(targets)}›"

    return _LINK.sub(mark, prose), tuple(targets)


def typed(line: str, targets: tuple[str, ...]) -> str:
    """What `l 2` or `look n1 ltx` means: a target. Raises LessonError."""
    word, _, rest = line.partition(" ")
    if word == "l":
        if not rest.isdecimal() or not 1 <= int(rest) <= len(targets):
            has = f"l 1 to l {len(targets)}" if targets else "none"
            raise LessonError(f"{line}: this passage points at {has}")
        return targets[int(rest) - 1]
    return str(look.typed(line))


def looked(target: str, entries: Iterable[Entry], dumps: Mapping[str, Dump]) -> RenderableType:
    """What the target is, and the field among its neighbours. Raises LessonError if it is not there."""
    found = Seen(entries, dict(dumps)).find(look.typed(f"look:{target}"))
    lines: list[RenderableType] = [Text(f"→ {found.text}", "bold")]
    if found.dump is not None and found.part is not None:
        lines.append(view.field_bytes(found.dump, found.part))
    elif found.dump is not None:
        lines.append(view.dump(found.dump))
    return Group(*lines)
