"""What can go wrong with nodes and the ways between them, done on purpose, and put right again.

The rule: a fault is a real one (a closed connection, SIGKILL, a changed byte), and the command ends when
what follows from it has happened, as far as that is not held.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live import damage
from pylitefs.lecture.live.nodes import DATABASE
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.lecture.model import Entry

CONNECT_S = 3.0
"""So long a command waits for a replica to connect again, where nothing is known to keep it from it."""


class Faults:
    def __init__(self, scene: Scene, shells: Shells, settling: Settling) -> None:
        self._scene = scene
        self._shells = shells
        self._settling = settling
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
        scene, nodes = self._scene, self._scene.nodes
        nodes.replica(command.node)
        scene.born += 1
        scene.tell("fault", "partition", nodes.cut(command.node), command.node)
        self._settling.settle()

    def _delay(self, command: commands.Delay) -> None:
        scene, nodes = self._scene, self._scene.nodes
        nodes.replica(command.node).delay_ms = command.milliseconds
        of = nodes.roles[command.node].of
        between = f"{of} sends to {command.node}" if of else f"{command.node} sends"
        text = f"What {between} arrives {command.milliseconds:,} ms later"
        scene.tell("fault", "delay", text, command.node)

    def _drop(self, command: commands.Drop) -> None:
        scene = self._scene
        link = scene.nodes.replica(command.node)
        scene.born += 1
        to = scene.nodes.roles[command.node].of or "its replicas"
        text = f"The connection of {command.node} to {to} ends"
        scene.tell("fault", "drop", text, command.node)
        with Reconnects(scene, self._settling, scene.nodes.over(command.node)):
            link.drop()
        self._settling.settle()

    def _heal(self, command: commands.Heal) -> None:
        scene, nodes = self._scene, self._scene.nodes
        names = nodes.healable(command.node)
        were_cut = [other for name in names if nodes.is_cut(name) for other in nodes.over(name)]
        scene.born += 1
        with Reconnects(scene, self._settling, were_cut):
            for name in names:
                nodes.heal(name)
            text = f"The way to {', '.join(names)} is whole again"
            scene.tell("command", "heal", text, command.node)
        self._settling.settle()

    def _kill(self, command: commands.Kill) -> None:
        scene = self._scene
        node = scene.nodes.running(command.node)
        scene.born += 1
        node.kill9()
        self._settling.node_ended(command.node, "kill", f"{command.node} is killed (SIGKILL), as by a crash")
        self._settling.settle()

    def _restart(self, command: commands.Restart) -> None:
        scene, nodes = self._scene, self._scene.nodes
        node = nodes.node(command.node)
        role = nodes.role_asked(command.node, command.role, command.of)
        scene.born += 1
        if node.pid:
            self._shells.kill(command.node)
            node.stop()
            self._settling.node_ended(command.node, "stop", f"{command.node} is stopped")
        followers = [name for name in nodes.names if nodes.roles[name].of == command.node]
        with Reconnects(scene, self._settling, [command.node, *followers]) as reconnects:
            nodes.set_role(command.node, role)
            node.start()
            nodes.seen_started(command.node)
            scene.tell(
                "command", "restart", f"{command.node} starts as {nodes.roles[command.node]}", command.node
            )
            if not self._settling.wait_up(node):
                reconnects.wanted = []
        self._settling.settle()

    def _corrupt(self, command: commands.Corrupt) -> None:
        scene = self._scene
        node = scene.nodes.node(command.node)
        entry = Entry(0, 0.0, "fault", "corrupt", command.node, DATABASE)
        if command.what == "link":
            scene.nodes.replica(command.node).corrupt_next(command.offset)
            entry.text = f"One bit of what {command.node} receives next will be wrong"
        else:
            done = damage.corrupt(node.data, DATABASE, command.what, command.offset)
            entry.text, entry.detail = f"On {command.node} {done}", done.facts
        scene.tell_of(0, entry)


class Reconnects:
    """At the end of the block, waits until those replicas have connected that nothing keeps from it."""

    def __init__(self, scene: Scene, settling: Settling, names: Iterable[str]) -> None:
        self._scene = scene
        self._settling = settling
        self.wanted = list(names)
        self._before = dict(scene.connects)

    def __enter__(self) -> "Reconnects":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return
        scene = self._scene
        deadline = time.monotonic() + CONNECT_S
        while any(map(self._is_awaited, self.wanted)) and time.monotonic() < deadline:
            scene.check_open()
            time.sleep(0.005)
            self._settling.refresh()

    def _is_awaited(self, name: str) -> bool:
        scene = self._scene
        if not scene.nodes.should_be_connected(name) or scene.holds.on(name):
            return False  # What is held on a replica keeps it from noticing that its connection has ended.
        return scene.connects.get(name, 0) <= self._before.get(name, 0)
