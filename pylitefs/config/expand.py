"""Environment variables in a config file: `$VAR`, `${VAR}`, `${A == "x"}`, `${A != B}`.

The file's text is expanded before it is read as YAML, as LiteFS does, so that an expression can become
a bool (`candidate: ${FLY_REGION == PRIMARY_REGION}`). The rule: an error names the line of the file as
the person wrote it, also when a value brought line breaks of its own.
Syntax: https://fly.io/docs/litefs/config/#environment-variables
"""

import re
from collections.abc import Callable, Mapping

_EXPRESSION = re.compile(
    r"""\s*(?P<left>[A-Za-z_]\w*)
        (?:\s*(?P<operator>==|!=)\s*(?P<right>[A-Za-z_]\w*|"[^"]*"|'[^']*'))?\s*""",
    re.VERBOSE,
)
_REFERENCE = re.compile(r"\$(?:\{(?P<expression>[^}]*)(?P<end>\}?)|(?P<name>[A-Za-z_]\w*))")


class ExpressionError(ValueError):
    """`${…}` that is neither a variable nor a comparison; `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(
            f'cannot read the expression {text}: write ${{VAR}}, ${{VAR == "text"}} or ${{A != B}}, '
            "or pass -no-expand-env to leave every $ alone"
        )
        self.line = line


def expand(text: str, environment: Mapping[str, str]) -> tuple[str, list[int]]:
    """The expanded text, and for each of its lines the line of `text` it came from (both from 1).

    An unset variable is empty; a comparison becomes `true` or `false`; any other `$` stays as it is.
    """
    out: list[str] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        expanded = _REFERENCE.sub(_replacement(number, environment), line)
        out.append(expanded)
        lines.extend([number] * (expanded.count("\n") + 1))
    return "\n".join(out), lines


def _replacement(line: int, environment: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def value(operand: str) -> str:
        return operand[1:-1] if operand[0] in "\"'" else environment.get(operand, "")

    def replace(match: re.Match[str]) -> str:
        if match["name"] is not None:
            return environment.get(match["name"], "")
        expression = _EXPRESSION.fullmatch(match["expression"])
        if expression is None or not match["end"]:
            raise ExpressionError(line, match[0])
        left, operator = value(expression["left"]), expression["operator"]
        if operator is None:
            return left
        return str((left == value(expression["right"])) == (operator == "==")).lower()

    return replace
