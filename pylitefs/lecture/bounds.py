"""How much a recording may be, and what the values in it may be: it can come from anywhere.

The rule: whoever plays a recording is not held up by it, and no viewer has to doubt what it reads. A small
file cannot fill the memory, a line is never long, nothing is nested deeply, a passage's prose is short, and
every value of the state is as `STATE_KEYS` of model.py says. `None` is: fine. Else it is why not, in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError

from pylitefs.lecture.language.lesson import MAX_HTML, MAX_PROSE
from pylitefs.lecture.model import Json

MAX_BYTES = 32 << 20
"""Of a recording, unpacked. The longest that pylitefs brings along has 0.7 MB."""
MAX_LINES = 100_000
MAX_LINE = 1 << 20
"""Bytes of a line: a dump has at most 64 KiB, and what is said of its bytes."""
MAX_DEPTH = 12
"""Objects and lists inside of each other."""

_Number = StrictInt | StrictFloat
_Small = StrictStr | _Number | bool | None


@dataclass(frozen=True)
class _Link:
    state: StrictStr
    delay_ms: _Number
    to: StrictStr


@dataclass(frozen=True)
class _Held:
    name: StrictStr
    database: StrictStr
    txid: StrictInt
    who: StrictStr
    wall_ms: _Number


@dataclass(frozen=True)
class _Lock:
    who: StrictStr
    lock: StrictStr
    kind: StrictStr


@dataclass(frozen=True)
class _Page:
    how: StrictStr
    txid: StrictInt


@dataclass(frozen=True)
class _Sql:
    sql: StrictStr
    state: StrictStr
    result: StrictStr
    pid: StrictInt


@dataclass(frozen=True)
class _Question:
    text: StrictStr
    choices: list[StrictStr]
    answer: StrictInt | None
    why: StrictStr


@dataclass(frozen=True)
class _Invariant:
    name: StrictStr
    short: StrictStr
    says: StrictStr
    state: StrictStr
    why: StrictStr
    at: StrictInt


@dataclass(frozen=True)
class _Level:
    goal: list[tuple[StrictStr, StrictBool, StrictStr]]
    most: StrictInt
    used: StrictInt
    fewest: StrictInt
    given: list[tuple[StrictStr, StrictStr, StrictBool]]
    never: list[StrictStr]
    without: list[StrictStr]
    verbs: list[StrictStr]
    hints: list[StrictStr]
    hints_left: StrictInt
    over: StrictStr
    why_over: StrictStr
    solution: list[StrictStr]
    why: StrictStr
    next: StrictStr


@dataclass(frozen=True)
class _Lease:
    holder: StrictStr
    session: StrictStr
    ttl_s: StrictInt | StrictFloat


@dataclass(frozen=True)
class _Halt:
    holder: StrictStr


_TEXT, _INT = TypeAdapter[object](StrictStr), TypeAdapter[object](StrictInt)
_SMALL_FACTS = TypeAdapter[object](dict[StrictStr, _Small])

#: As STATE_KEYS: by a key's first word, its last where there are several of one kind, and how many there are.
_VALUES: Mapping[tuple[str, str, int], TypeAdapter[object]] = {
    ("nodes", "", 1): TypeAdapter(list[StrictStr]),
    ("mode", "", 1): _TEXT,
    ("lesson", "step", 2): _INT,
    ("lesson", "yours", 2): TypeAdapter(list[tuple[StrictInt, StrictStr]]),
    ("level", "", 1): TypeAdapter(_Level),
    ("question", "", 1): TypeAdapter(_Question),
    ("invariants", "", 1): TypeAdapter(list[_Invariant]),
    ("lease", "", 1): TypeAdapter(_Lease),
    ("halt", "", 1): TypeAdapter(_Halt),
    ("node", "lease", 3): _TEXT,
    ("node", "role", 3): _TEXT,
    ("node", "mount", 3): _TEXT,
    ("node", "link", 3): TypeAdapter(_Link),
    ("node", "held", 3): TypeAdapter(list[_Held]),
    ("db", "txid", 4): _INT,
    ("db", "checksum", 4): _TEXT,
    ("db", "pages", 4): _INT,
    ("db", "mode", 4): _TEXT,
    ("db", "locks", 4): TypeAdapter(list[_Lock]),
    ("page", "", 4): TypeAdapter(_Page),
    ("sql", "", 3): TypeAdapter(_Sql),
}
_BY_LAST_WORD = frozenset({"lesson", "node", "db"})


def why_too_deep(found: object) -> str | None:
    """Whether more than MAX_DEPTH objects and lists are inside of each other."""
    level = [found]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return None
    return f"it is nested more than {MAX_DEPTH} deep"


def _inside(one: object) -> "list[object]":
    if isinstance(one, dict):
        return list(one.values())
    return one if isinstance(one, list) else []


def why_no_state(changes: Json) -> str | None:
    """Whether a change of the state has a value that no viewer could show. Unknown keys are let be."""
    for key, value in changes.items():
        words = key.split("/")
        last = words[-1] if words[0] in _BY_LAST_WORD else ""
        kind = _VALUES.get((words[0], last, len(words)))
        if kind is not None and value is not None and (why := _why_not(kind, value)):
            return f"set.{key[:80]}: {why}"
    return None


def why_no_facts(facts: Json) -> str | None:
    """Whether `detail` or `frame` holds anything but small facts."""
    return _why_not(_SMALL_FACTS, facts)


def _why_not(kind: TypeAdapter[object], value: object) -> str | None:
    try:
        kind.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(one) for one in first["loc"][:2])
        return f"{place}: {first['msg'].lower()}" if place else first["msg"].lower()
    return None


def why_too_long(prose: str, html: str) -> str | None:
    """Whether a passage is longer than what is shown at once."""
    if len(prose) > MAX_PROSE:
        return f"{len(prose):,} characters of prose, where {MAX_PROSE:,} are the most"
    if len(html) > MAX_HTML:
        return f"{len(html):,} characters of HTML, where {MAX_HTML:,} are the most"
    return None
