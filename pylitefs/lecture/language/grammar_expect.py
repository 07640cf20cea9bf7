"""The forms of `expect` in the lesson language."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.words import Wrong, nearest, node_name, nothing, shell_name, tracepoint, txid

QUERY = re.compile(r'"(.*?)"\s+(=|fails)(?:[ \n](.*))?', re.DOTALL)


def expect(rest: str) -> c.Command:
    subject, _, tail = rest.partition(" ")
    if subject in ("same", "differ"):
        return _expect_nodes(subject, [node_name(word) for word in tail.split()])
    what, _, tail = tail.strip().partition(" ")
    parser = _EXPECTATIONS.get(what)
    if parser is None:
        said = f"{what!r} cannot be expected" if what else "what is expected is missing"
        raise Wrong(said, nearest(what, _EXPECTATIONS) or ", ".join(_EXPECTATIONS))
    made, with_shell = parser
    node, connection = shell_name(subject)
    if connection and not with_shell:
        raise Wrong(f"“{what}” is said of a node, not of a shell", node)
    try:
        return made(node, connection, tail.strip(" "))
    except Wrong as wrong:
        raise Wrong(str(wrong), wrong.remedy or _usage(what)) from None


def _usage(what: str) -> str:
    return next(help.usage for help in c.EXPECTATIONS.values() if help.usage.split()[2] == what)


def _expect_nodes(subject: str, nodes: list[str]) -> c.Command:
    if len(set(nodes)) != len(nodes):
        raise Wrong("a node is compared with itself", "each node once")
    if subject == "same":
        if len(nodes) < 2:
            raise Wrong("a second node is missing", "expect same NODE NODE…")
        return c.ExpectSame(tuple(nodes))
    if len(nodes) != 2:
        raise Wrong("two nodes are compared", "expect differ NODE NODE")
    return c.ExpectDiffer((nodes[0], nodes[1]))


def _expect_sql(node: str, _connection: str, tail: str) -> c.Command:
    found = QUERY.fullmatch(tail)
    if not found:
        raise Wrong("the query in quotes, and = or fails after it, are missing")
    statement, how, said = found[1], found[2], found[3] or ""
    if how == "=":
        return c.ExpectSql(node, statement, said)
    if not said.strip():
        raise Wrong("the message is missing")
    return c.ExpectSqlFails(node, statement, said.strip())


def _expect_checksum(node: str, _connection: str, tail: str) -> c.Command:
    word, _, rest = tail.partition(" ")
    if word != "of":
        raise Wrong("“of” and a TXID are missing")
    return c.ExpectChecksum(node, txid(rest.strip()))


def _expect_text(node: str, connection: str, tail: str) -> c.Command:
    if not tail:
        raise Wrong("the message is missing")
    return c.ExpectFails(node, tail, connection)


def _expect_event(node: str, _connection: str, tail: str) -> c.Command:
    name, _, text = tail.partition(" ")
    return c.ExpectEvent(node, tracepoint(name), text.strip())


def _expect_role(node: str, _connection: str, tail: str) -> c.Command:
    if tail not in (*c.ROLES, "down"):
        raise Wrong(f"{tail!r} is no role")
    return c.ExpectRole(node, tail)


def _expect_log(node: str, _connection: str, tail: str) -> c.Command:
    if not tail:
        raise Wrong("the text is missing")
    return c.ExpectLog(node, tail)


def _waits(node: str, connection: str, tail: str) -> c.Command:
    nothing(tail.split())
    return c.ExpectWaits(node, connection)


def _done(node: str, connection: str, tail: str) -> c.Command:
    return c.ExpectDone(node, connection, tail or None)


_EXPECTATIONS: Mapping[str, tuple[Callable[[str, str, str], c.Command], bool]] = MappingProxyType(
    {
        "sql": (_expect_sql, False),
        "at": (lambda node, _, tail: c.ExpectAt(node, txid(tail)), False),
        "checksum": (_expect_checksum, False),
        "held": (lambda node, _, tail: c.ExpectHeld(node, tracepoint(tail)), False),
        "waits": (_waits, True),
        "done": (_done, True),
        "fails": (_expect_text, True),
        "event": (_expect_event, False),
        "no-event": (lambda node, _, tail: c.ExpectNoEvent(node, tracepoint(tail)), False),
        "role": (_expect_role, False),
        "log": (_expect_log, False),
    }
)
