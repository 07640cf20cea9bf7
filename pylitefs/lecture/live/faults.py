"""What can go wrong with nodes and the ways between them, done on purpose, and put right again.

The rule: a fault is a real one (a closed connection, SIGKILL, a changed byte), and the command ends when
what follows from it has happened, as far as that is not held.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live import damage
from pylitefs.lecture.live.nodes import DATABASE

if TYPE_CHECKING:
    from pylitefs.lecture.live.director import Director

CONNECT_S = 3.0
"""So long a command waits for a replica to connect again, where nothing is known to keep it from it."""


class Faults:
    def __init__(self, director: "Director") -> None:
        self._director = director
        self.doing: Mapping[type[Command], Callable[..., None]] = {
            commands.Partition: self._partition,
            commands.Delay: self._delay,
            commands.Drop: self._drop,
            commands.Heal: self._heal,
            commands.Kill: self._kill,
            commands.Restart: self._restart,
            commands.Corrupt: self._corrupt,
        }

    def _partition(self, command: commands.Partition) -> None:
        director, nodes = self._director, self._director.nodes
        link = nodes.replica(command.node)
        director.born += 1
        link.cut()
        of = nodes.roles[command.node].of
        director.tell("fault", "partition", f"The way between {of} and {command.node} is cut", command.node)
        director.settle()

    def _delay(self, command: commands.Delay) -> None:
        director, nodes = self._director, self._director.nodes
        nodes.replica(command.node).delay_ms = command.milliseconds
        of = nodes.roles[command.node].of
        text = f"What {of} sends to {command.node} arrives {command.milliseconds:,} ms later"
        director.tell("fault", "delay", text, command.node)

    def _drop(self, command: commands.Drop) -> None:
        director = self._director
        link = director.nodes.replica(command.node)
        director.born += 1
        text = f"The connection of {command.node} to {director.nodes.roles[command.node].of} ends"
        director.tell("fault", "drop", text, command.node)
        with _Reconnects(director, [command.node]):
            link.drop()
        director.settle()

    def _heal(self, command: commands.Heal) -> None:
        director, nodes = self._director, self._director.nodes
        if command.node:
            nodes.replica(command.node)
        names = [command.node] if command.node else nodes.replicas_by_role
        was_cut = [name for name in names if nodes.links[name].is_cut]
        director.born += 1
        with _Reconnects(director, was_cut):
            for name in names:
                nodes.links[name].heal()
            text = f"The way to {', '.join(names)} is whole again"
            director.tell("command", "heal", text, command.node)
        director.settle()

    def _kill(self, command: commands.Kill) -> None:
        director = self._director
        node = director.nodes.running(command.node)
        director.born += 1
        node.kill9()
        director.node_ended(command.node, "kill", f"{command.node} is killed (SIGKILL), as by a crash")
        director.settle()

    def _restart(self, command: commands.Restart) -> None:
        director, nodes = self._director, self._director.nodes
        node = nodes.node(command.node)
        role = nodes.role_asked(command.node, command.role, command.of)
        director.born += 1
        if node.pid:
            director.shells.kill(command.node)
            node.stop()
            director.node_ended(command.node, "stop", f"{command.node} is stopped")
        followers = [name for name in nodes.names if nodes.roles[name].of == command.node]
        with _Reconnects(director, [command.node, *followers]) as reconnects:
            nodes.set_role(command.node, role)
            node.start()
            nodes.seen_started(command.node)
            director.tell("command", "restart", f"{command.node} starts as {role}", command.node)
            if not director.settling.wait_up(node):
                reconnects.wanted = []
        director.settle()

    def _corrupt(self, command: commands.Corrupt) -> None:
        director = self._director
        node = director.nodes.node(command.node)
        if command.what == "link":
            director.nodes.replica(command.node).corrupt_next(command.offset)
            text = f"One bit of what {command.node} receives next will be wrong"
        else:
            text = f"On {command.node} {damage.corrupt(node.data, DATABASE, command.what, command.offset)}"
        director.tell("fault", "corrupt", text, command.node)


class _Reconnects:
    """At the end of the block, waits until those replicas have connected that nothing keeps from it."""

    def __init__(self, director: "Director", names: Iterable[str]) -> None:
        self._director = director
        self.wanted = list(names)
        self._before = dict(director.connects)

    def __enter__(self) -> "_Reconnects":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        director = self._director
        deadline = time.monotonic() + CONNECT_S
        while any(map(self._is_awaited, self.wanted)) and time.monotonic() < deadline:
            director.check_open()
            time.sleep(0.005)
            director.refresh()

    def _is_awaited(self, name: str) -> bool:
        director = self._director
        if not director.nodes.should_be_connected(name) or director.holds.on(name):
            return False  # What is held on a replica keeps it from noticing that its connection has ended.
        return director.connects.get(name, 0) <= self._before.get(name, 0)
