"""The words of the lesson language: nodes, shells, tracepoints, numbers; read, or said to be wrong.

The rule: what is wrong is a `Wrong` with its remedy; `grammar.parse` makes a `LessonError` of it.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from pylitefs.trace import TRACEPOINTS

NODE = re.compile(r"n[1-9][0-9]?")
MAX_DIGITS = 18
"""Of a number: what is larger is none of a lesson's, and SQLite's end there, too."""
SHELL = re.compile(r"(n[1-9][0-9]?)(?:/([a-z][a-z0-9_-]*))?")


class Wrong(Exception):
    """What is wrong in a command, and the remedy; "" for the command's usage."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


def nearest(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, list(known), 1)), "")


def node_name(word: str) -> str:
    if not NODE.fullmatch(word):
        raise Wrong(f"{word!r} is no node" if word else "the node is missing", "n1, n2 …")
    return word


def shell_name(word: str) -> tuple[str, str]:
    found = SHELL.fullmatch(word)
    if not found:
        raise Wrong(f"{word!r} is no node or shell" if word else "the node is missing", "n1, n2/reader …")
    return found[1], found[2] or ""


def tracepoint(word: str) -> str:
    if word not in TRACEPOINTS:
        raise Wrong(f"there is no tracepoint {word!r}", nearest(word, TRACEPOINTS) or ", ".join(TRACEPOINTS))
    return word


def tracepoints(words: Iterable[str]) -> tuple[str, ...]:
    """Their names; a group such as `journal` stands for all of its tracepoints."""
    names: list[str] = []
    for word in words:
        group = [name for name in TRACEPOINTS if name.startswith(f"{word}.")]
        names.extend(group or [tracepoint(word)])
    return tuple(names)


def number(word: str, what: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise Wrong(f"{word!r} is no {what}")
    if len(word) > MAX_DIGITS:
        raise Wrong(f"a {what} of {len(word)} digits is too large", f"at most {MAX_DIGITS} digits")
    return int(word)


def nothing(words: list[str]) -> None:
    if words:
        raise Wrong(f"{' '.join(words)!r} is too much")


def split_words(rest: str, least: int, most: int) -> list[str]:
    words = rest.split()
    if len(words) < least:
        raise Wrong("something is missing")
    nothing(words[most:])
    return words


def txid(word: str) -> int:
    """Decimal, or 16 hex digits as `DB-pos` shows them."""
    if re.fullmatch(r"[0-9a-f]{16}", word):
        return int(word, 16)
    return number(word, "TXID")
