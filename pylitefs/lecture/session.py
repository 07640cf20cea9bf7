"""A lesson under way: its steps one after the other, what a person does in between, and again from any step.

The rule: everything goes through one director, one thing at a time; what a person did at a step is done
again when the lesson is replayed beyond it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pylitefs.lecture.lesson import Lesson, Step
from pylitefs.lecture.model import Dump, Entry

Emit = Callable[[Entry, Sequence[Dump]], None]


class Session:
    """A lesson, from its first step on. Any thread may call; one call at a time, the others wait.

    `emit` gets every entry, in order, with the dumps it points to; `again` begins anew at `seq` 0.
    """

    def __init__(self, lesson: Lesson, base_dir: Path, emit: Emit) -> None:
        self.lesson = lesson
        self.steps: tuple[Step, ...] = lesson.steps
        self.position = 0
        """Index of the step that `next` does; `len(steps)` at the end."""
        self._base_dir = base_dir
        self._emit = emit

    @property
    def ended(self) -> bool:
        """Whether there is no next step (an open question is one)."""
        return self.position >= len(self.steps)

    def next(self) -> bool:
        """Do the next step, and the `expect` lines after it; False if there is none.

        An open question is answered instead. Raises LessonError, ExpectError; the step then counts as done.
        """
        raise NotImplementedError

    def answer(self, choice: int) -> None:
        """Answer the open question (an index of its choices). LessonError if there is none."""
        raise NotImplementedError

    def do(self, line: str) -> None:
        """One command more, as a person typed it or a button says it. Raises LessonError."""
        raise NotImplementedError

    def again(self, step: int) -> None:
        """A new cluster, and all that was done before `step` (its index) again: then `position` is `step`."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything and end every process; no mount is left. Also while another call is under way."""
        raise NotImplementedError


def run_headless(lesson: Lesson, emit: Emit, base_dir: Path | None = None) -> int:
    """Run a lesson to its end: 0, or 1 where an `expect` failed or a command could not be done.

    In `base_dir`, or a temporary folder. What went wrong is told on standard error.
    """
    raise NotImplementedError
