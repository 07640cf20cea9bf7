"""The lesson language's grammar: one line of text in, one command out.

The rule: nothing is guessed. What cannot be parsed raises a `LessonError` that names the line, the thing
that is wrong in it, and the remedy: the usage from `commands.VERBS`, or the nearest name there is.

A line that begins with two spaces continues the command before it: more SQL, an `ask`'s choices, the
further rows of an `expect`. `join_lines` makes one text of them, with newlines; `parse` reads it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import NoReturn

from pylitefs.errors import LessonError
from pylitefs.lecture import commands as c
from pylitefs.sqlite.header import is_page_size
from pylitefs.trace import TRACEPOINTS

NODE = re.compile(r"n[1-9][0-9]?")
SHELL = re.compile(r"(n[1-9][0-9]?)(?:/([a-z][a-z0-9_-]*))?")
TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s)")
QUERY = re.compile(r'"(.*?)"\s+(=|fails)(?:[ \n](.*))?', re.DOTALL)
TXID_DIGITS = 16
MOST_REPLICAS = 8
CHOICES_AT_LEAST = 2


def join_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The commands of a lesson block: (index of its first line, text); comments and blank lines are none.

    Raises LessonError for a continuation with nothing before it.
    """
    first, text = 0, ""
    for index, raw in enumerate(lines):
        line = raw.rstrip()
        if not line or (line.startswith("#")):
            continue
        if line.startswith("  "):
            if not text:
                raise LessonError(f"“{line.strip()}” continues no command: take the spaces before it away")
            text += "\n" + line[2:]
            continue
        if text:
            yield first, text
        first, text = index, line
    if text:
        yield first, text


def parse(text: str) -> c.Command:
    """The command that `text` (a line, and those that continue it) says. Raises LessonError."""
    verb, _, rest = text.strip().partition(" ")
    if "\n" in verb:
        verb, _, rest = text.strip().partition("\n")
    parser = _PARSERS.get(verb)
    if parser is None:
        _fail(
            text, f"there is no command {verb!r}", _nearest(verb, _PARSERS) or f"one of {', '.join(_PARSERS)}"
        )
    try:
        return parser(rest.strip(" "))
    except _Wrong as wrong:
        _fail(text, str(wrong), wrong.remedy or c.VERBS[verb].usage)


class _Wrong(Exception):
    """What is wrong in a command, and the remedy; "" for the command's usage."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy


def _fail(text: str, what: str, remedy: str) -> NoReturn:
    raise LessonError(f"“{text.strip().splitlines()[0] if text.strip() else ''}”: {what}; write: {remedy}")


def _nearest(word: str, known: Iterable[str]) -> str:
    return next(iter(get_close_matches(word, list(known), 1)), "")


def _node(word: str) -> str:
    if not NODE.fullmatch(word):
        raise _Wrong(f"{word!r} is no node" if word else "the node is missing", "n1, n2 …")
    return word


def _shell(word: str) -> tuple[str, str]:
    found = SHELL.fullmatch(word)
    if not found:
        raise _Wrong(f"{word!r} is no node or shell" if word else "the node is missing", "n1, n2/reader …")
    return found[1], found[2] or ""


def _tracepoint(word: str) -> str:
    if word not in TRACEPOINTS:
        raise _Wrong(
            f"there is no tracepoint {word!r}", _nearest(word, TRACEPOINTS) or ", ".join(TRACEPOINTS)
        )
    return word


def _tracepoints(words: Iterable[str]) -> tuple[str, ...]:
    """Their names; a group such as `journal` stands for all of its tracepoints."""
    names: list[str] = []
    for word in words:
        group = [name for name in TRACEPOINTS if name.startswith(f"{word}.")]
        names.extend(group or [_tracepoint(word)])
    return tuple(names)


def _number(word: str, what: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise _Wrong(f"{word!r} is no {what}")
    return int(word)


def _nothing(words: list[str]) -> None:
    if words:
        raise _Wrong(f"{' '.join(words)!r} is too much")


def _words(rest: str, least: int, most: int) -> list[str]:
    words = rest.split()
    if len(words) < least:
        raise _Wrong("something is missing")
    _nothing(words[most:])
    return words


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
            given["replicas"] = _number(value, "number of replicas")
            if int(value) > MOST_REPLICAS:
                raise _Wrong(f"{value} replicas are too many for one machine", f"at most {MOST_REPLICAS}")
        elif word == "page-size":
            given["page_size"] = _number(value, "page size")
            if not is_page_size(int(value)):
                raise _Wrong(f"SQLite has no pages of {value} bytes", "a power of two from 512 to 65536")
        elif word == "journal":
            if value not in c.JOURNAL_MODES:
                raise _Wrong(f"{value!r} is no journal mode of a lesson", ", ".join(c.JOURNAL_MODES))
            given["journal_mode"] = value
        elif word == "retention":
            given["retention"] = float(_number(value, "number of seconds"))
        else:
            raise _Wrong(f"{word!r} is no option")
    return c.MakeCluster(
        replicas=int(given.get("replicas", found.replicas)),
        page_size=int(given.get("page_size", found.page_size)),
        journal_mode=str(given.get("journal_mode", found.journal_mode)),
        compress=bool(given.get("compress", found.compress)),
        retention=float(given.get("retention", found.retention)),
    )


def _sql(rest: str) -> c.Command:
    found = re.match(r"(\S+)\s+(\S.*)", rest, re.DOTALL)
    if not found:
        raise _Wrong("the statement is missing" if rest else "node and statement are missing")
    node, connection = _shell(found[1])
    return c.Sql(node, found[2], connection)


def _step(rest: str) -> c.Command:
    words = _words(rest, 0, 2)
    node = _node(words.pop(0)) if words and not words[0].isdigit() else ""
    count = _number(words.pop(0), "number of steps") if words else 1
    _nothing(words)
    if not count:
        raise _Wrong("0 steps are none", "1 or more")
    return c.StepOn(node, count)


def _run_to(rest: str) -> c.Command:
    name, *node = _words(rest, 1, 2)
    return c.RunTo(_tracepoint(name), _node(node[0]) if node else "")


def _run_to_commit(rest: str) -> c.Command:
    words = _words(rest, 0, 1)
    return c.RunToCommit(_node(words[0]) if words else "")


def _run(rest: str) -> c.Command:
    _words(rest, 0, 0)
    return c.Run()


def _pause(rest: str) -> c.Command:
    words = rest.split()
    at = words.index("without") if "without" in words else len(words)
    if at == len(words) - 1:
        raise _Wrong("what to leave out is missing")
    return c.Pause(_tracepoints(words[:at]), _tracepoints(words[at + 1 :]))


def _one_node(make: Callable[[str], c.Command]) -> Callable[[str], c.Command]:
    def parser(rest: str) -> c.Command:
        _nothing(rest.split()[1:])
        return make(_node(rest))

    return parser


def _delay(rest: str) -> c.Command:
    node, time = _words(rest, 2, 2)
    found = TIME.fullmatch(time)
    if not found:
        raise _Wrong(f"{time!r} is no time", "200ms, 1s, 1.5s …")
    return c.Delay(_node(node), round(float(found[1]) * (1000 if found[2] == "s" else 1)))


def _heal(rest: str) -> c.Command:
    words = _words(rest, 0, 1)
    return c.Heal(_node(words[0]) if words else "")


def _restart(rest: str) -> c.Command:
    node, *words = _words(rest, 1, 5)
    role = of = ""
    if words:
        if words[0] != "as" or len(words) not in (2, 4) or words[1] not in c.ROLES:
            raise _Wrong(f"{' '.join(words)!r} is no role")
        role = words[1]
        if len(words) == 4:
            if words[2] != "of" or role != "replica":
                raise _Wrong("only a replica is one of another node")
            of = _node(words[3])
            if of == node:
                raise _Wrong(f"{node} cannot be a replica of itself", "another node")
    return c.Restart(_node(node), role, of)


def _corrupt(rest: str) -> c.Command:
    node, what, *offset = _words(rest, 2, 3)
    if what not in c.CORRUPTIBLE:
        raise _Wrong(f"{what!r} cannot be corrupted", ", ".join(c.CORRUPTIBLE))
    return c.Corrupt(_node(node), what, _number(offset[0], "offset") if offset else None)


def _txid(word: str) -> int:
    """Decimal, or 16 hex digits as `DB-pos` shows them."""
    if re.fullmatch(r"[0-9a-f]{16}", word):
        return int(word, 16)
    return _number(word, "TXID")


def _expect(rest: str) -> c.Command:
    subject, _, tail = rest.partition(" ")
    if subject in ("same", "differ"):
        return _expect_nodes(subject, [_node(word) for word in tail.split()])
    what, _, tail = tail.strip().partition(" ")
    parser = _EXPECTATIONS.get(what)
    if parser is None:
        said = f"{what!r} cannot be expected" if what else "what is expected is missing"
        raise _Wrong(said, _nearest(what, _EXPECTATIONS) or ", ".join(_EXPECTATIONS))
    made, with_shell = parser
    node, connection = _shell(subject)
    if connection and not with_shell:
        raise _Wrong(f"“{what}” is said of a node, not of a shell", node)
    try:
        return made(node, connection, tail.strip(" "))
    except _Wrong as wrong:
        raise _Wrong(str(wrong), wrong.remedy or _usage(what)) from None


def _usage(what: str) -> str:
    return next(help.usage for help in c.EXPECTATIONS.values() if what in help.usage.split())


def _expect_nodes(subject: str, nodes: list[str]) -> c.Command:
    if len(set(nodes)) != len(nodes):
        raise _Wrong("a node is compared with itself", "each node once")
    if subject == "same":
        if len(nodes) < 2:
            raise _Wrong("a second node is missing", "expect same NODE NODE…")
        return c.ExpectSame(tuple(nodes))
    if len(nodes) != 2:
        raise _Wrong("two nodes are compared", "expect differ NODE NODE")
    return c.ExpectDiffer((nodes[0], nodes[1]))


def _expect_sql(node: str, _connection: str, tail: str) -> c.Command:
    found = QUERY.fullmatch(tail)
    if not found:
        raise _Wrong("the query in quotes, and = or fails after it, are missing")
    statement, how, said = found[1], found[2], found[3] or ""
    if how == "=":
        return c.ExpectSql(node, statement, said)
    if not said.strip():
        raise _Wrong("the message is missing")
    return c.ExpectSqlFails(node, statement, said.strip())


def _expect_text(node: str, connection: str, tail: str) -> c.Command:
    if not tail:
        raise _Wrong("the message is missing")
    return c.ExpectFails(node, tail, connection)


def _expect_event(node: str, _connection: str, tail: str) -> c.Command:
    name, _, text = tail.partition(" ")
    return c.ExpectEvent(node, _tracepoint(name), text.strip())


def _expect_role(node: str, _connection: str, tail: str) -> c.Command:
    if tail not in (*c.ROLES, "down"):
        raise _Wrong(f"{tail!r} is no role")
    return c.ExpectRole(node, tail)


def _expect_log(node: str, _connection: str, tail: str) -> c.Command:
    if not tail:
        raise _Wrong("the text is missing")
    return c.ExpectLog(node, tail)


def _waits(node: str, connection: str, tail: str) -> c.Command:
    _nothing(tail.split())
    return c.ExpectWaits(node, connection)


def _done(node: str, connection: str, tail: str) -> c.Command:
    _nothing(tail.split())
    return c.ExpectDone(node, connection)


def _ask(rest: str) -> c.Command:
    question: list[str] = []
    choices: list[tuple[str, str]] = []
    why: list[str] = []
    into = question
    for line in rest.splitlines():
        mark, text = line[:2], line[2:].strip()
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
        raise _Wrong("the question is missing")
    if len(choices) < CHOICES_AT_LEAST:
        raise _Wrong(f"{len(choices)} choices", "at least two lines that begin '  - ' or '  + '")
    if len(right) != 1:
        raise _Wrong(f"{len(right)} right choices", "one line that begins '  + '")
    if not why:
        raise _Wrong("the reason is missing", "a last line that begins '  = '")
    return c.Ask(" ".join(question), tuple(text for _, text in choices), right[0], " ".join(why))


def _note(rest: str) -> c.Command:
    if not rest.strip():
        raise _Wrong("the text is missing")
    return c.Note(" ".join(rest.split()))


_EXPECTATIONS: Mapping[str, tuple[Callable[[str, str, str], c.Command], bool]] = MappingProxyType(
    {
        "sql": (_expect_sql, False),
        "at": (lambda node, _, tail: c.ExpectAt(node, _txid(tail)), False),
        "held": (lambda node, _, tail: c.ExpectHeld(node, _tracepoint(tail)), False),
        "waits": (_waits, True),
        "done": (_done, True),
        "fails": (_expect_text, True),
        "event": (_expect_event, False),
        "no-event": (lambda node, _, tail: c.ExpectNoEvent(node, _tracepoint(tail)), False),
        "role": (_expect_role, False),
        "log": (_expect_log, False),
    }
)

_PARSERS: Mapping[str, Callable[[str], c.Command]] = MappingProxyType(
    {
        "cluster": _cluster,
        "sql": _sql,
        "step": _step,
        "run-to": _run_to,
        "run-to-commit": _run_to_commit,
        "run": _run,
        "pause": _pause,
        "partition": _one_node(c.Partition),
        "delay": _delay,
        "drop": _one_node(c.Drop),
        "heal": _heal,
        "kill": _one_node(c.Kill),
        "restart": _restart,
        "corrupt": _corrupt,
        "expect": _expect,
        "ask": _ask,
        "note": _note,
    }
)
