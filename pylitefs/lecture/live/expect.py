"""What a lesson expects is looked at until it is so. After `EXPECT_S` an ExpectError says what is so instead.

The rule: looking changes nothing. Positions are those the nodes have told; bytes are read from the data
directories, without a lock; and a query runs on a connection of its own that is no part of the history.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pylitefs.errors import ExpectError, SqliteFormatError
from pylitefs.lecture.language import commands
from pylitefs.lecture.live.clients import Answer, result_text
from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.ltx.header import format_txid
from pylitefs.sqlite import wal
from pylitefs.sqlite.header import DatabaseHeader

EXPECT_S = 10.0
_PAUSE_S = 0.02

Wrong = str | None
"""What is so instead; None if the expectation holds."""


class Expectations:
    """How each `expect` looks at the scene."""

    def __init__(self, scene: Scene, shells: Shells, settling: Settling) -> None:
        self._scene = scene
        self._shells = shells
        self._settling = settling
        self._looks: Mapping[type[commands.Expect], Callable[[Any], Wrong]] = {
            commands.ExpectSql: self._sql,
            commands.ExpectSqlFails: self._sql_fails,
            commands.ExpectAt: self._at,
            commands.ExpectChecksum: self._checksum,
            commands.ExpectHeld: self._held,
            commands.ExpectWaits: self._waits,
            commands.ExpectDone: self._done,
            commands.ExpectFails: self._fails,
            commands.ExpectSame: self._same,
            commands.ExpectDiffer: self._differ,
            commands.ExpectEvent: self._event,
            commands.ExpectNoEvent: self._no_event,
            commands.ExpectRole: self._role,
            commands.ExpectLog: self._log,
        }

    def check(self, command: commands.Expect, seconds: float = EXPECT_S) -> None:
        """Poll until what is expected is so, and tell of it. Raises ExpectError if it never is."""
        scene = self._scene
        nodes = scene.nodes
        for name in _nodes_of(command):
            nodes.node(name)
        look = self._looks[type(command)]
        polled = not isinstance(command, commands.ExpectNoEvent)
        deadline = time.monotonic() + (seconds if polled else 0)
        while (wrong := look(command)) is not None:
            scene.check_open()
            if time.monotonic() > deadline:
                raise ExpectError(wrong)
            time.sleep(_PAUSE_S)
            self._settling.refresh()
        scene.tell("command", "expect", _TOLD[type(command)](command), getattr(command, "node", ""))

    def look(self, command: commands.Expect) -> Wrong:
        """What is so instead just now; None if it holds. LessonError where it cannot be looked at."""
        for name in _nodes_of(command):
            self._scene.nodes.node(name)
        return self._looks[type(command)](command)

    def _sql(self, command: commands.ExpectSql) -> Wrong:
        answer = self._answer(command.node, command.statement)
        asked = f"{command.node}: {command.statement}"
        if answer is None:
            return f"{asked} does not come back (held: {self._scene.holds.told()})"
        found = result_text(answer)
        if "error" in answer:
            return f"{asked} fails: {found}"
        return None if found == command.value else f"{asked} gives {found!r} and not {command.value!r}"

    def _sql_fails(self, command: commands.ExpectSqlFails) -> Wrong:
        answer = self._answer(command.node, command.statement)
        asked = f"{command.node}: {command.statement}"
        if answer is None:
            return f"{asked} does not come back (held: {self._scene.holds.told()})"
        found = result_text(answer)
        if "error" in answer and command.text in found:
            return None
        how = "fails with" if "error" in answer else "does not fail, it gives"
        return f"{asked} {how} {found!r}; expected was an error with {command.text!r}"

    def _answer(self, node: str, statement: str) -> Answer | None:
        return self._shells.look(self._scene.nodes.running(node), self._settling.refresh, sql=statement)

    def _at(self, command: commands.ExpectAt) -> Wrong:
        txid = self._scene.positions.get((command.node, DATABASE), (0, 0))[0]
        if txid == command.txid:
            return None
        return f"{command.node} is at TXID {txid} and not at {command.txid}"

    def _checksum(self, command: commands.ExpectChecksum) -> Wrong:
        older = self._scene.checksums.get((command.node, DATABASE, command.txid))
        if older is None:
            return f"{command.node} has not been at TXID {command.txid} since the last cluster"
        txid, now = self._scene.positions[command.node, DATABASE]
        if now == older:
            return None
        had = f"{older:016x} at TXID {command.txid}"
        return f"{command.node} has checksum {now:016x} at TXID {txid}, and had {had}"

    def _held(self, command: commands.ExpectHeld) -> Wrong:
        if any(held.name == command.name for held in self._scene.holds.on(command.node)):
            return None
        return f"{command.name} is not held on {command.node}; held: {self._scene.holds.told()}"

    def _waits(self, command: commands.ExpectWaits) -> Wrong:
        shell = self._shells.find(command.node, command.connection)
        if shell is None:
            return f"nothing was typed into {_shell(command)} yet"
        return None if shell.is_running else f"{shell.name} does not wait: {shell.state} {shell.result}"

    def _done(self, command: commands.ExpectDone) -> Wrong:
        shell = self._shells.find(command.node, command.connection)
        if shell is None or not shell.sql:
            return f"nothing was typed into {_shell(command)} yet"
        if shell.state == "done":
            if command.rows is None or shell.result == command.rows:
                return None
            return f"{shell.name}: {shell.sql} gives {shell.result!r} and not {command.rows!r}"
        return f"{shell.name} is not done with {shell.sql}: {shell.state} {shell.result}"

    def _fails(self, command: commands.ExpectFails) -> Wrong:
        shell = self._shells.find(command.node, command.connection)
        if shell is None or not shell.sql:
            return f"nothing was typed into {_shell(command)} yet"
        if shell.state == "error" and command.text in shell.result:
            shell.is_failure_expected = True
            return None
        return f"{shell.name}: {shell.state} {shell.result!r}; expected was an error with {command.text!r}"

    def _differences(self, names: tuple[str, ...]) -> list[str]:
        """In what the first of these nodes differs from each of the others."""
        first, *others = names
        found: list[str] = []
        positions = {name: self._scene.positions.get((name, DATABASE), (0, 0)) for name in names}
        contents = {name: database_bytes(self._scene.nodes.node(name).data) for name in names}
        for other in others:
            if positions[other] != positions[first]:
                shown = " and ".join(f"{one} at {_position(positions[one])}" for one in (first, other))
                found.append(f"{shown}")
            elif contents[other] != contents[first]:
                where = _where(contents, first, other)
                found.append(f"{first} and {other} have the same position and other bytes{where}")
        return found

    def _same(self, command: commands.ExpectSame) -> Wrong:
        return "; ".join(self._differences(command.nodes)) or None

    def _differ(self, command: commands.ExpectDiffer) -> Wrong:
        if self._differences(command.nodes):
            return None
        position = self._scene.positions.get((command.nodes[0], DATABASE), (0, 0))
        return f"{' and '.join(command.nodes)} are the same, at {_position(position)}"

    def _event(self, command: commands.ExpectEvent) -> Wrong:
        seen = list(self._scene.seen)
        passed = [one for one in seen if one.node == command.node and one.name == command.name]
        if any(command.text in one.text for one in passed):
            return None
        if not passed:
            return f"{command.node} has not passed {command.name} since the last cluster"
        last = passed[-1].text
        return f"{command.node} passed {command.name}, but never with {command.text!r}; the last was: {last}"

    def _no_event(self, command: commands.ExpectNoEvent) -> Wrong:
        for one in list(self._scene.seen):
            if one.node == command.node and one.name == command.name:
                return f"{command.node} has passed {command.name}: {one.text}"
        return None

    def _role(self, command: commands.ExpectRole) -> Wrong:
        role = self._scene.nodes.role_shown(command.node)
        return None if role == command.role else f"{command.node} is {role} and not {command.role}"

    def _log(self, command: commands.ExpectLog) -> Wrong:
        node = self._scene.nodes.node(command.node)
        if node.log.exists() and command.text in node.log.read_text(errors="replace"):
            return None
        return f"the log of {command.node} does not say {command.text!r}; it ends:\n{node.log_tail(5)}"


def _nodes_of(command: commands.Expect) -> tuple[str, ...]:
    found = getattr(command, "nodes", None)
    return tuple(found) if found is not None else (command.node,)  # type: ignore[attr-defined]


def database_bytes(data_dir: Path, database: str = DATABASE) -> bytes | None:
    """The database as its files have it: the database file, and over it what the WAL has committed."""
    folder = data_dir / "dbs" / database
    try:
        content = bytearray((folder / "database").read_bytes())
    except FileNotFoundError:
        return None
    try:
        log = (folder / "wal").read_bytes()
        header = wal.WalHeader.parse(log)
        if not DatabaseHeader.parse(content[:100]).is_wal:
            return bytes(content)
    except (FileNotFoundError, SqliteFormatError):
        return bytes(content)
    done = wal.committed(wal.scan(lambda at, size: log[at : at + size], len(log), header), header)
    for pgno, index in done.frames.items():
        begin = wal.frame_offset(index, header.page_size) + wal.FRAME_HEADER_SIZE
        end = pgno * header.page_size
        content.extend(bytes(max(0, end - len(content))))
        content[end - header.page_size : end] = log[begin : begin + header.page_size]
    return bytes(content[: done.commit * header.page_size] if done.commit else content)


def _shell(command: Any) -> str:
    return f"{command.node}/{command.connection or 'a'}"


def _position(pos: tuple[int, int]) -> str:
    return f"{format_txid(pos[0])}/{pos[1]:016x}"


def _where(contents: Mapping[str, bytes | None], first: str, other: str) -> str:
    one, two = contents[first] or b"", contents[other] or b""
    if len(one) != len(two):
        return f" ({len(one):,} and {len(two):,})"
    return f", the first at offset {next(n for n in range(len(one)) if one[n] != two[n]):,}"


#: What is told of one that holds.
_TOLD: Mapping[type[commands.Expect], Callable[[Any], str]] = {
    commands.ExpectSql: lambda one: f"On {one.node}, {one.statement} gives {one.value or 'no rows'}",
    commands.ExpectSqlFails: lambda one: f"On {one.node}, {one.statement} fails: {one.text}",
    commands.ExpectAt: lambda one: f"{one.node} is at TXID {one.txid}",
    commands.ExpectChecksum: lambda one: f"{one.node} has the checksum again that it had at TXID {one.txid}",
    commands.ExpectHeld: lambda one: f"{one.node} is held at {one.name}",
    commands.ExpectWaits: lambda one: f"The shell {_shell(one)} waits",
    commands.ExpectDone: lambda one: f"The shell {_shell(one)} is done",
    commands.ExpectFails: lambda one: f"The shell {_shell(one)} got an error: {one.text}",
    commands.ExpectSame: lambda one: f"{', '.join(one.nodes)} have the same position and the same bytes",
    commands.ExpectDiffer: lambda one: f"{' and '.join(one.nodes)} differ",
    commands.ExpectEvent: lambda one: (
        f"{one.node} has passed {one.name}{f': {one.text}' if one.text else ''}"
    ),
    commands.ExpectNoEvent: lambda one: f"{one.node} has not passed {one.name}",
    commands.ExpectRole: lambda one: f"{one.node} is {'a ' if one.role != 'down' else ''}{one.role}",
    commands.ExpectLog: lambda one: f"The log of {one.node} says {one.text!r}",
}
