"""Step, run, pause: what of the held events goes on.

The rule: who goes on is decided before anybody does, and the next decision waits until all is held or quiet.
"""

from collections.abc import Callable, Mapping

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live.holds import Pausing
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling


class Stepping:
    def __init__(self, scene: Scene, settling: Settling) -> None:
        self._scene = scene
        self._settling = settling
        self.doing: Mapping[type[Command], Callable[..., None]] = {
            commands.StepOn: self._step,
            commands.RunTo: lambda command: self._run_to(command.name, command.node, "run-to"),
            commands.RunToCommit: lambda command: self._run_to("pos.advance", command.node, "run-to-commit"),
            commands.Run: self._run,
            commands.Pause: self._pause,
        }

    def _step(self, command: commands.StepOn) -> None:
        scene = self._scene
        self._check_node(command.node)
        if not scene.paused:
            scene.paused = True
            scene.hold_by_mode()
        for number in range(command.count):
            held = scene.holds.next(command.node)
            if held is None:
                where = f" on {command.node}" if command.node else ""
                after = f"after {number} of {command.count} steps " if number else ""
                raise LessonError(
                    f"{after}nothing is held{where} (held: {scene.holds.told()}): give it something to do "
                    "with sql, or go on with run"
                )
            scene.born += 1
            scene.holds.remove(held)
            scene.tell("command", "step", f"{held.node} goes on from {held.name}", held.node)
            scene.let(held)
            self._settling.settle()

    def _pause(self, command: commands.Pause) -> None:
        scene = self._scene
        self._check_node()
        scene.paused, scene.pausing = True, Pausing(command.names, command.without)
        which = ", ".join(command.names) or "each tracepoint"
        but = f", but not {', '.join(command.without)}" if command.without else ""
        scene.tell("command", "pause", f"From now on {which} that a node passes is held{but}")
        scene.hold_by_mode()
        self._settling.settle()

    def _run(self, command: commands.Run) -> None:
        scene = self._scene
        self._check_node()
        scene.born += 1
        scene.paused = False
        told = scene.holds.told()
        scene.holds.clear()
        scene.tell("command", "run", f"Everything goes on; held until now: {told}")
        scene.hold_by_mode()
        self._settling.settle()

    def _run_to(self, name: str, node: str, verb: str) -> None:
        """Let everything go, until events of that name, and only these, are held and all else is through."""
        scene = self._scene
        self._check_node(node)
        scene.born += 1
        scene.paused = True
        held_so_far = scene.holds.on()
        scene.holds.clear()
        where = f" on {node}" if node else ""
        scene.tell("command", verb, f"Everything goes on until {name} is held{where}")
        only = Pausing((name,))
        scene.set_rules(lambda one: only.rule(scene.pids(one)) if node in ("", one) else None)
        for held in held_so_far:
            scene.let(held)
        self._settling.settle()
        scene.hold_by_mode()
        if not any(held.name == name for held in scene.holds.on(node)):
            raise LessonError(
                f"{name} was not passed{where}, and nothing goes on any more: give the nodes something to do "
                f"before `{verb}`, with sql"
            )

    def _check_node(self, name: str = "") -> None:
        nodes = self._scene.nodes
        if name:
            nodes.node(name)
