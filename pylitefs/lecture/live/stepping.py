"""Step, run, pause: what of the held events goes on.

The rule: who goes on is decided before anybody does, and the next decision waits until all is held or quiet.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.live.holds import Pausing

if TYPE_CHECKING:
    from pylitefs.lecture.live.director import Director


class Stepping:
    def __init__(self, director: "Director") -> None:
        self._director = director
        self.doing: Mapping[type[Command], Callable[..., None]] = {
            commands.StepOn: self._step,
            commands.RunTo: lambda command: self._run_to(command.name, command.node, "run-to"),
            commands.RunToCommit: lambda command: self._run_to("pos.advance", command.node, "run-to-commit"),
            commands.Run: self._run,
            commands.Pause: self._pause,
        }

    def _step(self, command: commands.StepOn) -> None:
        director = self._director
        self._check_node(command.node)
        if not director.paused:
            director.paused = True
            director.hold_by_mode()
        for number in range(command.count):
            held = director.holds.next(command.node)
            if held is None:
                where = f" on {command.node}" if command.node else ""
                after = f"after {number} of {command.count} steps " if number else ""
                raise LessonError(
                    f"{after}nothing is held{where} (held: {director.holds.told()}): give it something to do "
                    "with sql, or go on with run"
                )
            director.born += 1
            director.holds.remove(held)
            director.tell("command", "step", f"{held.node} goes on from {held.name}", held.node)
            director.let(held)
            director.settle()

    def _pause(self, command: commands.Pause) -> None:
        director = self._director
        self._check_node()
        director.paused, director.pausing = True, Pausing(command.names, command.without)
        which = ", ".join(command.names) or "each tracepoint"
        but = f", but not {', '.join(command.without)}" if command.without else ""
        director.tell("command", "pause", f"From now on {which} that a node passes is held{but}")
        director.hold_by_mode()
        director.settle()

    def _run(self, command: commands.Run) -> None:
        director = self._director
        self._check_node()
        director.born += 1
        director.paused = False
        told = director.holds.told()
        director.holds.clear()
        director.tell("command", "run", f"Everything goes on; held until now: {told}")
        director.hold_by_mode()
        director.settle()

    def _run_to(self, name: str, node: str, verb: str) -> None:
        """Let everything go, until events of that name, and only these, are held and all else is through."""
        director = self._director
        self._check_node(node)
        director.born += 1
        director.paused = True
        held_so_far = director.holds.on()
        director.holds.clear()
        where = f" on {node}" if node else ""
        director.tell("command", verb, f"Everything goes on until {name} is held{where}")
        only = Pausing((name,))
        director.set_rules(lambda one: only.rule(director.shells.pids(one)) if node in ("", one) else None)
        for held in held_so_far:
            director.let(held)
        director.settle()
        director.hold_by_mode()
        if not any(held.name == name for held in director.holds.on(node)):
            raise LessonError(
                f"{name} was not passed{where}, and nothing goes on any more: give the nodes something to do "
                f"before `{verb}`, with sql"
            )

    def _check_node(self, name: str = "") -> None:
        nodes = self._director.nodes
        if name:
            nodes.node(name)
