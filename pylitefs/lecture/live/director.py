"""The director: real, mounted nodes whose every event is recorded and can be held, and what is done to them.

    do(command) --> told as an entry --> done --> settle: all that follows is held, or has ended
                                                      |
    nodes --control channels--> Chronicle (entries) --+--> Holds (what is held)

The rule: a step never depends on luck. One command is done at a time; it has been done when no process of
the lecture has anything to do any more (settling.py), and which held event a step releases is decided by
holds.py alone. Everything ends with this process: nodes and shells with their standard input, and what is
held with the control channel.
"""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pylitefs.cluster.nursery import Nursery
from pylitefs.errors import LessonError, PylitefsError
from pylitefs.lecture.history.chronicle import Emit
from pylitefs.lecture.history.historian import Historian
from pylitefs.lecture.language import commands
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.language.look import BESIDE
from pylitefs.lecture.live.expect import Expectations
from pylitefs.lecture.live.faults import Faults
from pylitefs.lecture.live.halts import HaltLocks
from pylitefs.lecture.live.histories import Histories
from pylitefs.lecture.live.holds import Holds
from pylitefs.lecture.live.leased_stage import LeasedStage
from pylitefs.lecture.live.leases import Leases
from pylitefs.lecture.live.looks import Looks
from pylitefs.lecture.live.nodes import Stage, remove
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.live.settling import Settling
from pylitefs.lecture.live.shells import Shells
from pylitefs.lecture.live.stepping import Stepping
from pylitefs.lecture.looking import Seen
from pylitefs.lecture.model import Json


class Director:
    """A cluster under `base_dir` and the shells on it. `emit` gets every entry, in order, one at a time.

    A command's last entry has `stop`, but those of an `expect` or a `look` have not. One thread at a time
    calls `do`; any may call `close`.
    """

    def __init__(self, base_dir: Path, emit: Emit) -> None:
        self.base_dir = base_dir.resolve()
        self.base_dir.mkdir(parents=True, exist_ok=True)
        self.seen = Seen()
        self.scene = Scene(self.seen.before(emit))
        self.shells = Shells(self.scene)
        self._settling = Settling(self.scene, self.shells)
        self.expectations = Expectations(self.scene, self.shells, self._settling)
        self._nursery = Nursery()
        self._lock = threading.RLock()
        self._doing: Mapping[type[Command], Callable[..., None]] = {
            commands.MakeCluster: self._make_cluster,
            commands.Sql: self._sql,
            commands.Note: lambda command: self.scene.tell("note", "note", command.text),
            **Stepping(self.scene, self._settling).doing,
            **Faults(self.scene, self.shells, self._settling).doing,
            **Leases(self.scene, self._settling).doing,
            **HaltLocks(self.scene, self.shells, self._settling).doing,
            **Histories(self.scene, self.shells, self._settling).doing,
            **Looks(self.scene, self.seen).doing,
        }

    def do(self, command: Command) -> None:
        """Do one command; ends when all is held or quiet. Raises LessonError; ExpectError for an `expect`."""
        scene = self.scene
        with self._lock:
            scene.check_open()
            scene.chronicle.begin_command()
            try:
                if isinstance(command, commands.Expect):
                    self.expectations.check(command)
                else:
                    self._doing[type(command)](command)
            except PylitefsError as error:
                scene.tell("error", command.verb, str(error))
                scene.chronicle.end_command()
                raise error if isinstance(error, LessonError) else LessonError(str(error)) from error
            scene.chronicle.end_command(stop=not isinstance(command, BESIDE))

    def say(self, kind: str, name: str, text: str, changes: Json) -> None:
        """An entry that touches no node: a question, an answer. Next stops at it."""
        scene = self.scene
        with self._lock:
            scene.check_open()
            scene.chronicle.begin_command()
            scene.tell(kind, name, text, changes={"lesson/step": scene.chronicle.step, **changes})
            scene.chronicle.end_command()

    def settle(self) -> None:
        """Wait until all is held, or quiet. Raises LessonError where that takes too long."""
        with self._lock:
            self.scene.check_open()
            self._settling.settle()

    def begin_again(self) -> None:
        """End the nodes and forget the history: entries begin at 0."""
        with self._lock:
            self.scene.check_open()
            self._end_cluster()
            self.scene.chronicle.begin_again()

    def close(self) -> None:
        """Release everything and end every process; no mount is left. Also while a command is under way."""
        scene = self.scene
        scene.close()
        with self._lock:
            scene.chronicle.close()
            stage, scene.stage = scene.stage, None
            try:
                if stage is not None:
                    self.shells.tell_to_end()
                    stage.close()
            finally:
                self.shells.close()
                self._nursery.close()

    # Commands

    def _make_cluster(self, command: commands.MakeCluster) -> None:
        self._end_cluster()
        scene = self.scene
        gone: Json = dict.fromkeys(scene.chronicle.state)
        kind = LeasedStage if command.lease else Stage
        stage = kind(self.base_dir, command, scene.prepare, self._nursery)
        remove(self.base_dir, stage.names)
        scene.holds = Holds(stage.names)
        scene.chronicle.historian = Historian(stage.name_of_id, self.shells.name_of_pid)
        scene.stage = stage
        followers = ", ".join(stage.names[1:])
        has = "has the lease, and is the primary" if command.lease else "is the primary"
        text = f"New nodes: {stage.names[0]} {has}"
        if followers:
            text += f", {followers} {'follow' if command.replicas > 1 else 'follows'} it"
        scene.tell("command", "cluster", text, changes={**gone, **scene.state()})
        try:
            stage.start()
            self._settling.refresh()
            self._settling.settle()
        except BaseException:
            self._end_cluster()
            raise

    def _end_cluster(self) -> None:
        stage, self.scene.stage = self.scene.stage, None
        self.shells.forget()
        if stage is not None:
            stage.destroy()
        self.scene.clear()

    def _sql(self, command: commands.Sql) -> None:
        shell = self.shells.get(self.scene.nodes.running(command.node), command.connection)
        self.scene.born += 1
        self.shells.begin(shell, command.statement)
        self._settling.settle()
