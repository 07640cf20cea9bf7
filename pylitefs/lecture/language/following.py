"""Which lesson comes after one, and how it is started: what the end of a lesson offers.

The rule: only lessons that come with pylitefs are named. A lecture is one process with one lesson's nodes, so
the next one is a line to type.
"""

from pylitefs.lecture.language import lesson as lessons


def following(name: str, *, live: bool) -> dict[str, str] | None:
    """The lesson after this one: its name, its title, and the line that starts it; None after the last."""
    names = lessons.names()
    if name not in names[:-1]:
        return None
    after = names[names.index(name) + 1]
    command = f"pylitefs {'lecture' if live else 'replay'} {after}"
    return {"lesson": after, "title": lessons.load(after).title, "command": command}
