"""The lesson language's grammar: one line of text in, one command out.

The rule: nothing is guessed. What cannot be parsed raises a `LessonError` that names the line, the thing
that is wrong in it, and the remedy: the usage from `verbs.VERBS`, or the nearest name there is.

A line that begins with two spaces continues the command before it: more SQL, an `ask`'s choices, the
further rows of an `expect`. `join_lines` makes one text of them, with newlines; `parse` reads it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NoReturn

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.grammar_expect import expect
from pylitefs.lecture.language.look import look
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.language.words import (
    Wrong,
    nearest,
    node_name,
    nothing,
    number,
    shell_name,
    split_words,
    tracepoint,
    tracepoints,
)
from pylitefs.sqlite.header import is_page_size

TIME = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s)")
MOST_REPLICAS = 8
SHORTEST_LEASE_S, LONGEST_LEASE_S = 1.0, 600.0
CHOICES_AT_LEAST = 2
LTX_OF_ALL = ("history", "backup", "verify")
LTX_OF_ONE = ("diff", "undo", "hole", "restore")
"""What `ltx` does by all LTX files, and by those of one TXID."""


def join_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The commands of a lesson block: (index of its first line, text); comments and blank lines are none.

    Raises LessonError for a continuation with nothing before it.
    """
    first, text = 0, ""
    for index, raw in enumerate(lines):
        line = raw.rstrip()
        if not line or (line.startswith("#")):
            continue
        if line[0].isspace():
            if not line.startswith("  "):
                raise LessonError(f"“{line.strip()}” {_no_two_spaces(line)}")
            if not text:
                raise LessonError(f"“{line.strip()}” continues no command: take the spaces before it away")
            text += "\n" + line[2:]
            continue
        if text:
            yield first, text
        first, text = index, line
    if text:
        yield first, text


def _no_two_spaces(line: str) -> str:
    """What a line begins with that is meant for two spaces, and the remedy."""
    blank = line[: len(line) - len(line.lstrip())]
    found = "a tab" if "\t" in blank else "one space" if blank == " " else "a space that is no plain one"
    return f"begins with {found}: write two spaces, if it continues the command before, or none"


def parse(text: str) -> c.Command:
    """The command that `text` (a line, and those that continue it) says. Raises LessonError."""
    verb, _, rest = text.strip().partition(" ")
    if "\n" in verb:
        verb, _, rest = text.strip().partition("\n")
    parser = _PARSERS.get(verb)
    if parser is None:
        _fail(
            text, f"there is no command {verb!r}", nearest(verb, _PARSERS) or f"one of {', '.join(_PARSERS)}"
        )
    try:
        return parser(rest.strip(" "))
    except Wrong as wrong:
        _fail(text, str(wrong), wrong.remedy or VERBS[verb].usage)


def _fail(text: str, what: str, remedy: str) -> NoReturn:
    raise LessonError(f"“{text.strip().splitlines()[0] if text.strip() else ''}”: {what}; write: {remedy}")


def _cluster(rest: str) -> c.Command:
    found = c.MakeCluster()
    given: dict[str, int | str | bool | float] = {}
    words = iter(rest.split())
    for word in words:
        if word == "compress":
            given["compress"] = True
            continue
        value = next(words, "")
        if word == "replicas":
            given["replicas"] = number(value, "number of replicas")
            if int(value) > MOST_REPLICAS:
                raise Wrong(f"{value} replicas are too many for one machine", f"at most {MOST_REPLICAS}")
        elif word == "page-size":
            given["page_size"] = number(value, "page size")
            if not is_page_size(int(value)):
                raise Wrong(f"SQLite has no pages of {value} bytes", "a power of two from 512 to 65536")
        elif word == "journal":
            if value not in c.JOURNAL_MODES:
                raise Wrong(f"{value!r} is no journal mode of a lesson", ", ".join(c.JOURNAL_MODES))
            given["journal_mode"] = value
        elif word == "retention":
            given["retention"] = float(number(value, "number of seconds"))
        elif word == "lease":
            given["lease"] = seconds = _milliseconds(value) / 1000
            if not SHORTEST_LEASE_S <= seconds <= LONGEST_LEASE_S:
                raise Wrong(f"a lease of {value} is none for a lesson", "1s to 600s")
        else:
            raise Wrong(f"{word!r} is no option")
    return c.MakeCluster(
        replicas=int(given.get("replicas", found.replicas)),
        page_size=int(given.get("page_size", found.page_size)),
        journal_mode=str(given.get("journal_mode", found.journal_mode)),
        compress=bool(given.get("compress", found.compress)),
        retention=float(given.get("retention", found.retention)),
        lease=float(given.get("lease", found.lease)),
    )


def _sql(rest: str) -> c.Command:
    found = re.match(r"(\S+)\s+(\S.*)", rest, re.DOTALL)
    if not found:
        raise Wrong("the statement is missing" if rest else "node and statement are missing")
    node, connection = shell_name(found[1])
    return c.Sql(node, found[2], connection)


def _step(rest: str) -> c.Command:
    words = split_words(rest, 0, 2)
    node = node_name(words.pop(0)) if words and not words[0].isdigit() else ""
    count = number(words.pop(0), "number of steps") if words else 1
    nothing(words)
    if not count:
        raise Wrong("0 steps are none", "1 or more")
    return c.StepOn(node, count)


def _run_to(rest: str) -> c.Command:
    name, *node = split_words(rest, 1, 2)
    return c.RunTo(tracepoint(name), node_name(node[0]) if node else "")


def _run_to_commit(rest: str) -> c.Command:
    words = split_words(rest, 0, 1)
    return c.RunToCommit(node_name(words[0]) if words else "")


def _no_words(make: Callable[[], c.Command]) -> Callable[[str], c.Command]:
    def parser(rest: str) -> c.Command:
        split_words(rest, 0, 0)
        return make()

    return parser


def _pause(rest: str) -> c.Command:
    words = rest.split()
    at = words.index("without") if "without" in words else len(words)
    if at == len(words) - 1:
        raise Wrong("what to leave out is missing")
    return c.Pause(tracepoints(words[:at]), tracepoints(words[at + 1 :]))


def _one_node(make: Callable[[str], c.Command]) -> Callable[[str], c.Command]:
    def parser(rest: str) -> c.Command:
        nothing(rest.split()[1:])
        return make(node_name(rest))

    return parser


def _one_shell(make: Callable[[str, str], c.Command]) -> Callable[[str], c.Command]:
    def parser(rest: str) -> c.Command:
        nothing(rest.split()[1:])
        return make(*shell_name(rest))

    return parser


def _delay(rest: str) -> c.Command:
    node, time = split_words(rest, 2, 2)
    return c.Delay(node_name(node), _milliseconds(time))


def _milliseconds(time: str) -> int:
    found = TIME.fullmatch(time)
    if not found:
        raise Wrong(f"{time!r} is no time", "200ms, 1s, 1.5s …")
    return round(float(found[1]) * (1000 if found[2] == "s" else 1))


def _heal(rest: str) -> c.Command:
    words = split_words(rest, 0, 1)
    return c.Heal(node_name(words[0]) if words else "")


def _restart(rest: str) -> c.Command:
    node, *words = split_words(rest, 1, 5)
    role = of = ""
    if words:
        if words[0] != "as" or len(words) not in (2, 4) or words[1] not in c.ROLES:
            raise Wrong(f"{' '.join(words)!r} is no role")
        role = words[1]
        if len(words) == 4:
            if words[2] != "of" or role != "replica":
                raise Wrong("only a replica is one of another node")
            of = node_name(words[3])
            if of == node:
                raise Wrong(f"{node} cannot be a replica of itself", "another node")
    return c.Restart(node_name(node), role, of)


def _corrupt(rest: str) -> c.Command:
    node, what, *offset = split_words(rest, 2, 3)
    if what not in c.CORRUPTIBLE:
        raise Wrong(f"{what!r} cannot be corrupted", ", ".join(c.CORRUPTIBLE))
    return c.Corrupt(node_name(node), what, number(offset[0], "offset") if offset else None)


def _ltx(rest: str) -> c.Command:
    node, what, *txid = split_words(rest, 2, 3)
    if what not in LTX_OF_ALL + LTX_OF_ONE:
        raise Wrong(f"{what!r} is nothing that LTX files can be asked for")
    if (what in LTX_OF_ONE) != bool(txid):
        raise Wrong("the TXID is missing" if not txid else f"{what} has no TXID")
    return c.Ltx(node_name(node), what, number(txid[0], "TXID") if txid else 0)


def _ask(rest: str) -> c.Command:
    question: list[str] = []
    choices: list[tuple[str, str]] = []
    why: list[str] = []
    into = question
    for line in rest.splitlines():
        mark, text = line[:2], line[2:].strip()
        if mark[:1].isspace() and line.lstrip()[:2] in ("- ", "+ ", "= "):
            raise Wrong(
                f"“{line.strip()}” begins with more than two spaces", "exactly two spaces before -, + and ="
            )
        if mark in ("- ", "+ "):
            choices.append((mark[0], text))
        elif mark == "= ":
            why.append(text)
            into = why
        elif choices and not why:
            sign, said = choices[-1]
            choices[-1] = (sign, f"{said} {line.strip()}")
        else:
            into.append(line.strip())
    right = [index for index, (mark, _) in enumerate(choices) if mark == "+"]
    if not question or not question[0]:
        raise Wrong("the question is missing")
    if len(choices) < CHOICES_AT_LEAST:
        raise Wrong(f"{len(choices)} choices", "at least two lines that begin '  - ' or '  + '")
    if len(right) != 1:
        raise Wrong(f"{len(right)} right choices", "one line that begins '  + '")
    if not why:
        raise Wrong("the reason is missing", "a last line that begins '  = '")
    return c.Ask(" ".join(question), tuple(text for _, text in choices), right[0], " ".join(why))


def _note(rest: str) -> c.Command:
    if not rest.strip():
        raise Wrong("the text is missing")
    return c.Note(" ".join(rest.split()))


_PARSERS: Mapping[str, Callable[[str], c.Command]] = MappingProxyType(
    {
        "cluster": _cluster,
        "sql": _sql,
        "step": _step,
        "run-to": _run_to,
        "run-to-commit": _run_to_commit,
        "run": _no_words(c.Run),
        "pause": _pause,
        "partition": _one_node(c.Partition),
        "delay": _delay,
        "drop": _one_node(c.Drop),
        "heal": _heal,
        "kill": _one_node(c.Kill),
        "restart": _restart,
        "expire-lease": _no_words(c.ExpireLease),
        "promote": _one_node(c.Promote),
        "handoff": _one_node(c.Handoff),
        "halt": _one_shell(c.Halt),
        "unhalt": _one_shell(c.Unhalt),
        "expire-halt": _no_words(c.ExpireHalt),
        "corrupt": _corrupt,
        "ltx": _ltx,
        "look": look,
        "expect": expect,
        "ask": _ask,
        "note": _note,
    }
)
