"""Text from elsewhere on a person's terminal: what would steer the terminal is escaped.

The rule: no name, message or log line reaches a terminal with a control character or with one that turns
the direction of writing. Names of databases have none in the first place (store/names.py). The escapes are
JSON's, so that a log line in JSON stays JSON.
"""

import re

_CONTROL = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""C0, DEL and C1, the line and paragraph separators, and Unicode's marks, overrides and isolates (bidi)."""
_SURROGATES = "\ud800-\udfff"
"""A byte of a file's name that is no UTF-8 becomes one. It cannot be printed at all."""

_STEERING = re.compile(f"[{_CONTROL}]")
_UNPRINTABLE = re.compile(f"[{_CONTROL}{_SURROGATES}]")
_UNPRINTABLE_IN_LINES = re.compile(rf"(?![\n\t])[{_CONTROL}{_SURROGATES}]")


def has_control(text: str) -> bool:
    """Whether a terminal would do something else than show it."""
    return _STEERING.search(text) is not None


def shown(text: str) -> str:
    r"""The text for one line: ESC becomes `\u001b`, a newline `\u000a`."""
    return _UNPRINTABLE.sub(_escaped, text)


def shown_lines(text: str) -> str:
    """The text with its own line ends and tabs."""
    return _UNPRINTABLE_IN_LINES.sub(_escaped, text)


def _escaped(found: "re.Match[str]") -> str:
    return f"\\u{ord(found[0]):04x}"
