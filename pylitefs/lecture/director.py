"""The director: real, mounted nodes whose every event is recorded and can be held, and what is done to them.

The rule: a step never depends on luck. One command is done at a time, and it has been done when
everything that follows from it is held, or has ended.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pylitefs.lecture.commands import Command
from pylitefs.lecture.model import Dump, Entry

Emit = Callable[[Entry, Sequence[Dump]], None]


class Director:
    """A cluster under `base_dir` and the shells on it. `emit` gets every entry, in order, in one thread at a time.

    The last entry of a command has `stop`; but those of an `expect` have not.
    """

    def __init__(self, base_dir: Path, emit: Emit) -> None:
        self.base_dir = base_dir
        self._emit = emit

    def do(self, command: Command) -> None:
        """Do one command; ends when all is held or quiet. Raises LessonError; ExpectError for an `expect`."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything and end every process; no mount is left."""
        raise NotImplementedError
