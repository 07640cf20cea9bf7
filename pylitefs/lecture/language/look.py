"""What a lesson points at: bytes, a page, a node, a lock; said by the command `look` or a link in its prose.

    look n1 ltx post-apply                       a command
    [the checksum](look:n1/ltx/post-apply)       the same in prose

The rule: a target is words that are checked here as far as they can be without a node: a kind of file has
these fields and no others. Whether it is there at that moment is for `lecture/looking.py` to say.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from types import MappingProxyType
from typing import ClassVar
from urllib.parse import unquote

from pylitefs.errors import LessonError
from pylitefs.lecture.language.commands import Command, Expect
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.language.words import Wrong, nearest, node_name, nothing, number

SCHEME = "look:"
LOCKS = ("SHARED", "RESERVED", "PENDING", "EXCLUSIVE", "WRITE", "CKPT", "RECOVER", "DMS")
LOCKS_BY_NUMBER = re.compile(r"READ[0-4]")


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


_LTX = """magic flags page-size commit min-txid max-txid timestamp pre-apply-checksum wal-offset wal-size
    wal-salt-1 wal-salt-2 node-id reserved page-number post-apply-checksum file-checksum"""
_FRAME = "frame-type size name-length database chunk-length time lease-id-length lease-id"
#: The fields of each kind of file, as the byte inspector names them, in small letters and with hyphens.
FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "journal": _fields(
            """magic record-count nonce initial-pages sector-size page-size padding page-number
            record-checksum"""
        ),
        "wal": _fields(
            """magic version page-size checkpoint-number salt-1 salt-2 header-checksum-1 header-checksum-2
            page-number commit checksum-1 checksum-2"""
        ),
        "wal-index": _fields(
            """version change initialised checksum-words page-size last-frame page-count frame-checksum-1
            frame-checksum-2 salt-1 salt-2 header-checksum-1 header-checksum-2 backfill backfill-attempted
            read-mark-0 read-mark-1 read-mark-2 read-mark-3 read-mark-4"""
        ),
        "ltx": _fields(_LTX),
        "frame": _fields(f"{_LTX} {_FRAME}"),
        "database": _fields(
            """magic page-size write-version read-version change-counter page-count first-freelist-page
            freelist-pages schema-cookie schema-format text-encoding user-version application-id
            version-valid-for sqlite-version page-type cell-count cell-pointer cell-content-start"""
        ),
        "position": _fields("txid separator checksum"),
    }
)
_NUMBERED = re.compile(r"(?:page|cell)-[1-9][0-9]{0,8}")
"""The content of a page, a row of one: each kind of file that has pages may hold some."""
WITH_PAGES = frozenset({"journal", "wal", "ltx", "frame", "database"})
_LINK = re.compile(r'href="look:([^"]*)"')


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked at: a node, or on it a page, a lock, or a field of a kind of file."""

    node: str
    what: str = ""
    """"": the node itself; page, lock, or a key of FIELDS."""
    name: str = ""
    """The page's number, the lock's name, the field's (or how it begins); "": the file itself."""
    number: int = 0
    """Which of several fields of that name, from 1; 0: the last one."""

    def __str__(self) -> str:
        """As after `look:` in a link."""
        words = (self.node, self.what, self.name, str(self.number or ""))
        return "/".join(word for word in words if word)


@dataclass(frozen=True, slots=True)
class Look(Command):
    """Point at something: the viewers show it. It is done together with the command before it."""

    verb: ClassVar[str] = "look"
    target: Target


BESIDE = (Expect, Look)
"""Commands that are no stop of their own: they belong to the command before them."""


def look(rest: str) -> Command:
    """The command's words. Raises Wrong."""
    return Look(target(rest.split()))


def target(words: list[str]) -> Target:
    """NODE, and what on it. Raises Wrong."""
    if not words:
        raise Wrong("what to look at is missing")
    node, what, *rest = [*words, ""] if len(words) == 1 else words
    node_name(node)
    if what == "":
        return Target(node)
    if what == "page":
        return Target(node, what, str(number(_one(rest, "the page's number"), "page number")))
    if what == "lock":
        return Target(node, what, _lock(_one(rest, "the lock's name")))
    if what not in FIELDS:
        raise Wrong(
            f"{what!r} is nothing to look at", nearest(what, FIELDS) or f"page, lock, {', '.join(FIELDS)}"
        )
    if not rest:
        return Target(node, what)
    nothing(rest[2:])
    which = number(rest[1], "number of a field") if len(rest) > 1 else 0
    return Target(node, what, _field(what, rest[0].lower()), which)


def link(text: str) -> Target:
    """What stands after `look:` in a link. Raises Wrong."""
    return target([word for word in unquote(unescape(text)).split("/") if word])


def links(html: str) -> Iterator[str]:
    """What the links of a passage point at, as they are written there after `look:`."""
    return (unescape(found[1]) for found in _LINK.finditer(html))


def typed(line: str) -> Target:
    """What a person typed, `look` or a link. Raises LessonError."""
    rest = line.strip().removeprefix("look").strip().removeprefix(SCHEME.removeprefix("look"))
    try:
        return link(rest) if "/" in rest else target(rest.split())
    except Wrong as wrong:
        raise LessonError(f"{wrong}; write: {wrong.remedy or VERBS['look'].usage}") from None


def is_named(field: str, wanted: str) -> bool:
    """Whether a field's name is what is wanted, or begins with its words: post-apply."""
    found = slug(field)
    return found == wanted or found.startswith(f"{wanted}-")


def slug(field: str) -> str:
    """A field's name as a lesson writes it: `post-apply checksum` is post-apply-checksum."""
    return "-".join(field.lower().split())


def _field(what: str, name: str) -> str:
    if what in WITH_PAGES and _NUMBERED.fullmatch(name):
        return name
    if not any(is_named(one, name) for one in FIELDS[what]):
        raise Wrong(
            f"{what} has no field {name!r}", nearest(name, FIELDS[what]) or ", ".join(sorted(FIELDS[what]))
        )
    return name


def _lock(name: str) -> str:
    if name not in LOCKS and not LOCKS_BY_NUMBER.fullmatch(name):
        raise Wrong(f"there is no lock {name!r}", nearest(name, LOCKS) or ", ".join(LOCKS))
    return name


def _one(words: list[str], what: str) -> str:
    if not words:
        raise Wrong(f"{what} is missing")
    nothing(words[1:])
    return words[0]
