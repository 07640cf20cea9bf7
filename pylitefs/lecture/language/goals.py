"""What a level asks for: its goal in `expect` lines, how many commands are given, and what is forbidden.

    at most 4 commands
    without restart promote
    never any event catchup.decide snapshot
      = No node gets a snapshot.
    expect n2 at 3
      = n2 has transaction 3.

The rule: a goal is looked at on the nodes, so it is an `expect` of the lesson language, or one of the few
forms below that only a level needs. Each line says in words, after `=`, what the student reads.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.grammar import join_lines, parse
from pylitefs.lecture.language.verbs import VERBS, Help
from pylitefs.lecture.language.words import Wrong, nearest, node_name, number, split_words, tracepoint, txid

ANY = "any"
NOT_PLAYED = ("cluster", "ask", "note")
"""Verbs of who writes a lesson: no student gives them."""
PLAYED = tuple(verb for verb in VERBS if verb not in NOT_PLAYED)
FREE = ("expect", "look")
"""Looking costs nothing."""


@dataclass(frozen=True, slots=True)
class Lost(c.Expect):
    """A transaction that was acknowledged is on no node that runs, and there is a primary."""


@dataclass(frozen=True, slots=True)
class Past(c.Expect):
    """The database's position on this node is beyond this TXID."""

    node: str
    txid: int


@dataclass(frozen=True, slots=True)
class AnyEvent(c.Expect):
    """Since the goal was set some node passed the tracepoint, and its explanation holds `text`."""

    name: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of the goal."""

    text: str
    """What the student reads."""
    expect: c.Expect


@dataclass(frozen=True, slots=True)
class Never:
    """An event that ends the attempt."""

    text: str
    node: str
    """A node, or "" for any."""
    name: str
    said: str
    """It holds this text."""

    def is_it(self, node: str, name: str, text: str) -> bool:
        return name == self.name and self.node in ("", node) and self.said in text


@dataclass(frozen=True, slots=True)
class Terms:
    """What a level asks for."""

    most: int
    """So many commands are given."""
    without: tuple[str, ...]
    """Verbs that are refused."""
    never: tuple[Never, ...]
    goal: tuple[Condition, ...]

    @property
    def verbs(self) -> tuple[str, ...]:
        """What the student may give."""
        return tuple(verb for verb in PLAYED if verb not in self.without)


#: The lines of a ```goal block, beside every `expect …` of a lesson.
FORMS: Mapping[str, Help] = MappingProxyType(
    {
        "at": Help("at most N commands", "so many are given; `expect` costs nothing"),
        "without": Help("without VERB…", "these commands are refused, which costs nothing"),
        "never": Help(
            "never NODE|any event NAME [TEXT]", "an event that ends the attempt; TEXT is in its explanation"
        ),
        "any": Help(
            "expect any event NAME [TEXT]", "some node passed this tracepoint since the goal was set"
        ),
        "past": Help("expect NODE past TXID", "the database's position is beyond this TXID"),
        "lost": Help(
            "expect lost", "an acknowledged transaction is on no node that runs, and there is a primary"
        ),
    }
)


def read_terms(lines: Iterable[str], wrong: Callable[[int, str], LessonError]) -> Terms:
    """The terms that these lines say. Raises `wrong` of a line's index and what is wrong in it."""
    most = 0
    without: tuple[str, ...] = ()
    never: list[Never] = []
    goal: list[Condition] = []
    for index, text in join_lines(lines):
        try:
            line, words = _with_words(text)
            verb, _, rest = line.partition(" ")
            if verb == "at":
                most = _most(rest)
            elif verb == "without":
                without = _verbs(rest)
            elif verb == "never":
                never.append(_never(rest, words))
            elif verb == "expect":
                goal.append(Condition(_said(words), _expect(line, rest)))
            else:
                remedy = nearest(verb, [*FORMS, "expect"]) or "at most, without, never or expect"
                raise LessonError(f"“{line}”: {verb!r} is nothing that a goal can say; write: {remedy}")
        except (Wrong, LessonError) as error:
            raise wrong(index, _told(text, error)) from None
    return Terms(most, without, tuple(never), tuple(goal))


def _told(text: str, error: Wrong | LessonError) -> str:
    if isinstance(error, LessonError):
        return str(error)
    line = text.splitlines()[0]
    verb, *words = line.split()
    own = [word for word in words[:2] if word in FORMS] if verb == "expect" else [verb]
    form = FORMS.get(own[0] if own else "")
    usage = error.remedy or (form.usage if form else "see “The goal” in docs/lessons.md")
    return f"“{line}”: {error}; write: {usage}"


def _with_words(text: str) -> tuple[str, str]:
    """A line, and what follows the last `= ` that begins one of its continuations."""
    line, mark, words = text.rpartition("\n= ")
    return (line, " ".join(words.split())) if mark else (text, "")


def _said(words: str) -> str:
    if not words:
        raise Wrong("what the student reads is missing", "a line below it: two spaces, `=`, and a sentence")
    return words


def _most(rest: str) -> int:
    words = split_words(rest, 3, 3)
    if words[0] != "most" or words[2] not in ("command", "commands"):
        raise Wrong(f"{rest!r} is no number of commands")
    found = number(words[1], "number of commands")
    if not found:
        raise Wrong("without a command nothing can be reached", "at most 1 command")
    return found


def _verbs(rest: str) -> tuple[str, ...]:
    words = split_words(rest, 1, len(VERBS))
    for word in words:
        if word not in PLAYED or word in FREE:
            remedy = nearest(word, PLAYED) or ", ".join(PLAYED)
            raise Wrong(f"{word!r} is no command of a student", remedy)
    return tuple(words)


def _never(rest: str, words: str) -> Never:
    where, event, name, *said = split_words(rest, 3, 99)
    if event != "event":
        raise Wrong(f"{event!r} is nothing that can be forbidden")
    node = "" if where == ANY else node_name(where)
    return Never(_said(words), node, tracepoint(name), " ".join(said))


def _expect(line: str, rest: str) -> c.Expect:
    words = rest.split()
    own = _OWN.get(words[0] if words and words[0] in (ANY, "lost") else words[1] if len(words) > 1 else "")
    if own is not None:
        return own(words)
    found = parse(line)
    assert isinstance(found, c.Expect)
    return found


def _lost(words: list[str]) -> c.Expect:
    split_words(" ".join(words), 1, 1)
    return Lost()


def _any(words: list[str]) -> c.Expect:
    _, event, name, *said = split_words(" ".join(words), 3, 99)
    if event != "event":
        raise Wrong(f"{event!r} cannot be expected of any node")
    return AnyEvent(tracepoint(name), " ".join(said))


def _past(words: list[str]) -> c.Expect:
    node, _, number_of = split_words(" ".join(words), 3, 3)
    return Past(node_name(node), txid(number_of))


_OWN: Mapping[str, Callable[[list[str]], c.Expect]] = MappingProxyType(
    {"lost": _lost, ANY: _any, "past": _past}
)
