"""Environment variables in a config file: `$VAR`, `${VAR}`, `${A == "x"}`, `${A != B}`.

The file's text is expanded before it is read as YAML, as LiteFS does, so that an expression can become
a bool (`candidate: ${FLY_REGION == PRIMARY_REGION}`). The rules: a line has the number that it has in the
file as the person wrote it, also when a value brought line breaks of its own. What cannot be read, such as a
shell's `${PORT:-8080}`, becomes nothing, as Go's os.Expand makes of it, but not silently.
Syntax: https://fly.io/docs/litefs/config/#environment-variables
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_EXPRESSION = re.compile(
    r"""\s*(?P<left>[A-Za-z_]\w*)
        (?:\s*(?P<operator>==|!=)\s*(?P<right>[A-Za-z_]\w*|"[^"]*"|'[^']*'))?\s*""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"\$(?:\{(?:(?P<expression>[^}]*)\})?|(?P<name>[A-Za-z_]\w*))")

NOTHING = "\ue000\uf8ff\ue000"
"""Stands in the text where something became nothing, for who must know it from an empty value."""

HOW = 'write ${VAR}, ${VAR == "text"} or ${A != B}, or pass -no-expand-env to leave every $ alone'


@dataclass
class Expanded:
    """A text with its variables put in."""

    text: str
    lines: list[int]
    """For each line of `text` the line of the file that it came from, both from 1."""
    unread: dict[int, list[str]] = field(default_factory=dict)
    """What became nothing, as it was written, by the file's lines."""


def plain(text: str) -> Expanded:
    """The text as it is."""
    return Expanded(text, list(range(1, text.count("\n") + 2)))


def expand(text: str, environment: Mapping[str, str]) -> Expanded:
    """An unset variable is empty; a comparison becomes `true` or `false`; what cannot be read becomes
    NOTHING; any other `$` stays as it is."""
    out: list[str] = []
    result = Expanded("", [])
    for number, line in enumerate(text.split("\n"), start=1):

        def replace(match: re.Match[str], number: int = number) -> str:
            found = _value(match, environment)
            if found is None:
                result.unread.setdefault(number, []).append(match[0])
            return NOTHING if found is None else found

        expanded = _REFERENCE.sub(replace, line)
        out.append(expanded)
        result.lines.extend([number] * (expanded.count("\n") + 1))
    result.text = "\n".join(out)
    return result


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str | None:
    """What a reference becomes; None where it cannot be read."""

    def value(operand: str) -> str:
        return operand[1:-1] if operand[0] in "\"'" else environment.get(operand, "")

    if match["name"] is not None:
        return environment.get(match["name"], "")
    expression = _EXPRESSION.fullmatch(match["expression"] or "")
    if expression is None:
        return None
    left, operator = value(expression["left"]), expression["operator"]
    if operator is None:
        return left
    return str((left == value(expression["right"])) == (operator == "==")).lower()
