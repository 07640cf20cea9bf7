"""What can be done with the HALT lock of a lecture's database: take it, give it back, let its time pass.

The rule: a shell takes it, as any program does, so it ends with that shell. Its time stands still, as the
lease's does, and passes when the lesson says so: first where it is held, then on the primary.
"""

import time
from collections.abc import Callable, Mapping

from pylitefs.cluster.cluster import ClusterNode
from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.store.halting import TTL_S

ENDED_S = 5.0
"""So long a command waits for a lock's end that is not held on the way."""


class HaltLocks:
    def __init__(self, scene: Scene, shells: Shells, settling: Settling) -> None:
        self._scene = scene
        self._shells = shells
        self._settling = settling
        self.doing: Mapping[type[Command], Callable[..., None]] = {
            commands.Halt: lambda command: self._have(command, "open data.db-lock, and lock it", wanted=True),
            commands.Unhalt: lambda command: self._have(command, "close data.db-lock", wanted=False),
            commands.ExpireHalt: self._expire,
        }

    def _have(self, command: commands.Halt | commands.Unhalt, told: str, *, wanted: bool) -> None:
        scene = self._scene
        shell = self._shells.get(scene.nodes.running(command.node), command.connection)
        scene.born += 1
        self._shells.begin(shell, told, command.verb, halt=wanted)
        self._settling.settle()

    def _expire(self, command: commands.ExpireHalt) -> None:
        del command
        scene, nodes = self._scene, self._scene.nodes
        holder = scene.halted_by
        if not holder:
            raise LessonError("nobody has the HALT lock: take it with `halt n2`")
        if nodes.made.lease:
            raise LessonError("the lease would end as well: make nodes without one, or use `expire-lease`")
        scene.born += 1
        text = f"{TTL_S:g} s pass, and the HALT lock of {holder} is not renewed"
        scene.tell("fault", "expire-halt", text, holder)
        # Where it is held first: nobody writes there any more when the primary's writers go on.
        for node in sorted(nodes.alive, key=lambda one: nodes.roles[one.name].is_primary):
            self._pass_time(node)
            self._settling.settle()
        deadline = time.monotonic() + ENDED_S
        while scene.halted_by and not self._is_held() and time.monotonic() < deadline:
            scene.check_open()
            time.sleep(0.005)
            self._settling.refresh()
        self._settling.settle()

    @staticmethod
    def _pass_time(node: ClusterNode) -> None:
        try:
            if node.control is not None:
                node.control.pass_lease_time(TTL_S)
        except EOFError:
            pass  # It has ended just now.

    def _is_held(self) -> bool:
        return any(held.name.startswith("halt.") for held in self._scene.holds.on())
