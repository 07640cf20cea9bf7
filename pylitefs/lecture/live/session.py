"""A lesson under way: its steps one after the other, what a person does in between, and again from any step.

The rule: everything goes through one director, one thing at a time; what a person did at a step is done
again when the lesson is replayed beyond it, or is not, as the person says. The state's `lesson/yours` has it.
"""

import contextlib
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pylitefs.errors import LessonError, PylitefsError
from pylitefs.lecture.language.commands import Ask, Command, Halt, MakeCluster, Note, Sql, Unhalt
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.language.lesson import Lesson, Step
from pylitefs.lecture.language.look import BESIDE
from pylitefs.lecture.live.director import Director
from pylitefs.lecture.live.looks import Links
from pylitefs.lecture.live.shells import FIRST, YOURS
from pylitefs.lecture.model import Dump, Entry, Json

Emit = Callable[[Entry, Sequence[Dump]], None]


@dataclass(frozen=True, slots=True)
class _Free:
    """What a person did beside the lesson, when `before` was the next step."""

    before: int
    command: Command
    line: str


class Session:
    """A lesson, from its first step on. Any thread may call; one call at a time, the others wait.

    `emit` gets every entry, in order, with the dumps it points to; `again` begins anew at `seq` 0.
    """

    def __init__(self, lesson: Lesson, base_dir: Path, emit: Emit) -> None:
        self.lesson = lesson
        self.steps: tuple[Step, ...] = lesson.steps
        self.position = 0
        """Index of the step that `next` does; `len(steps)` at the end."""
        self.question: Ask | None = None
        """What is asked and not answered yet."""
        self._base_dir = base_dir
        self._emit = emit
        self._free: list[_Free] = []
        self._failed: set[int] = set()
        """Steps that have failed."""
        self._lock = threading.RLock()
        self._closed = False
        self._director = Director(base_dir, emit)
        self._links = Links(lesson.sections, self._director.seen)

    @property
    def ended(self) -> bool:
        """Whether there is no next step (an open question is one)."""
        return self.position >= len(self.steps) and self.question is None

    def next(self) -> bool:
        """Do the next step, and the `expect` and `look` lines after it; False if there is none.

        An open question is answered instead: the `expect` lines after it show that the answer is right.
        Raises LessonError, ExpectError; the step then counts as done.
        """
        with self._lock:
            if self.question is not None:
                self._reveal(None)
            elif self.ended:
                return False
            else:
                self._do_step()
            self._do_expects()
            return True

    def answer(self, choice: int) -> None:
        """Answer the open question (an index of its choices). LessonError if there is none."""
        with self._lock:
            if self.question is None:
                raise LessonError("no question is open: go on with the next step")
            if not 0 <= choice < len(self.question.choices):
                raise LessonError(
                    f"the question has {len(self.question.choices)} choices, and no {choice + 1}"
                )
            self._reveal(choice)
            self._do_expects()

    def do(self, line: str) -> None:
        """One command more, as a person typed it or a button says it. Raises LessonError."""
        with self._lock:
            command = parse(line)
            if isinstance(command, Ask):
                raise LessonError("a question stands in a lesson: write it into the file")
            if isinstance(command, Sql | Halt | Unhalt) and not command.connection:
                command = replace(command, connection=YOURS)
            self._do_free(_Free(self.position, command, line), self._free)
            self._free.append(_Free(self.position, command, line))

    def again(self, step: int, *, yours: bool = True) -> None:
        """A new cluster, and all that was done on it before `step` (an index) again; then at `step`.

        Without `yours`, what a person did beside the lesson is not. The history begins anew, with the last
        `cluster` before that step; a question on the way is answered. LessonError if that cannot be.
        """
        with self._lock:
            if not 0 <= step <= len(self.steps):
                raise LessonError(f"the lesson has steps 0 to {len(self.steps)}, and no {step}")
            self._free = [one for one in self._free if yours and one.before < step]
            self._director.begin_again()
            self.question = None
            self.position = start = max((n for n in range(step) if self._makes_cluster(n)), default=0)
            while self.position < step:
                for number, one in enumerate(self._free):
                    if start < one.before == self.position:
                        self._do_free(one, self._free[:number])
                self._do_again()

    def _do_free(self, one: _Free, before: Sequence[_Free]) -> None:
        """Do what a person asked for; the entries say of it, and of all that was done so before."""
        self._director.scene.chronicle.with_next({"lesson/yours": _told([*before, one])})
        try:
            self._director.do(one.command)
        except PylitefsError:
            self._director.scene.chronicle.with_next({"lesson/yours": _told(before)})
            raise

    def check_links(self) -> None:
        """LessonError if the passage is over, and one of its links never led anywhere."""
        with self._lock:
            here = self.steps[self.position - 1].section
            self._links.stop(here)
            if self.ended or self.steps[min(self.position, len(self.steps) - 1)].section != here:
                self._links.check(here)

    def check_statements(self) -> None:
        """LessonError if SQL has failed, and what comes next is no `expect` that says so any more."""
        with self._lock:
            coming = self.steps[self.position].command if self.position < len(self.steps) else None
            if self.question is not None or isinstance(coming, (Ask, Note, *BESIDE)):
                return
            for shell in self._director.shells.failed():
                typed = [step for step in self.steps[: self.position] if _types_into(step, shell.name)]
                remedy = f"mend it, or say `expect {shell.name} fails TEXT` after it"
                raise LessonError(f"{self._place(typed[-1])}: the statement failed: {shell.result}; {remedy}")

    def close(self) -> None:
        """Release everything and end every process and mount. Also while another call is under way."""
        self._director.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _makes_cluster(self, step: int) -> bool:
        return isinstance(self.steps[step].command, MakeCluster)

    def _do_again(self) -> None:
        """A step of a replay: what failed before, as after a fault, may fail again."""
        step = self.position
        try:
            self._do_step()
        except LessonError:
            if step not in self._failed:
                raise
        if self.question is not None:
            self._reveal(None)

    def _do_step(self) -> None:
        step = self.steps[self.position]
        self.position += 1
        chronicle = self._director.scene.chronicle
        chronicle.step = step.index
        if chronicle.state.get("question") and not isinstance(step.command, BESIDE):
            chronicle.with_next({"question": None})
        if isinstance(step.command, Ask):
            self.question = step.command
            self._director.say("question", "ask", step.command.question, {"question": _shown(step.command)})
            return
        try:
            self._director.do(step.command)
        except PylitefsError as error:
            self._failed.add(step.index)
            raise type(error)(f"{self._place(step)}: {error}") from error

    def _place(self, step: Step) -> str:
        return f"{self.lesson.name}, line {step.line}, `{step.text.splitlines()[0]}`"

    def _do_expects(self) -> None:
        if self.question is None:
            while not self.ended and isinstance(self.steps[self.position].command, BESIDE):
                self._do_step()

    def _reveal(self, choice: int | None) -> None:
        asked, self.question = self.question, None
        assert asked is not None
        right = asked.choices[asked.answer]
        said = "" if choice is None else "Right: " if choice == asked.answer else "No: "
        text = f"{said}{right}. {asked.why}".strip()
        self._director.say("answer", "ask", text, {"question": _shown(asked, revealed=True)})


def _told(done: Sequence[_Free]) -> list[list[object]]:
    """As the state's `lesson/yours` has it."""
    return [[one.before, one.line] for one in done]


def _types_into(step: Step, shell: str) -> bool:
    command = step.command
    return isinstance(command, Sql) and f"{command.node}/{command.connection or FIRST}" == shell


def _shown(asked: Ask, *, revealed: bool = False) -> Json:
    """As the state's `question` has it."""
    return {
        "text": asked.question,
        "choices": list(asked.choices),
        "answer": asked.answer if revealed else None,
        "why": asked.why if revealed else "",
    }


def run_headless(lesson: Lesson, emit: Emit, base_dir: Path | None = None) -> int:
    """Run a lesson to its end: 0, or 1 where an `expect` or SQL failed, or a command could not be done.

    In `base_dir`, or a temporary folder. What went wrong is told on standard error.
    """
    with contextlib.ExitStack() as stack:
        if base_dir is None:
            base_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pylitefs-lecture-")))
        session = stack.enter_context(Session(lesson, base_dir, emit))
        try:
            while session.next():
                session.check_statements()
                session.check_links()
        except LessonError as error:
            print(error, file=sys.stderr)
            return 1
    return 0
