"""A level under way: its opening, the commands of who plays it, and what the nodes say of the goal.

The rule: commands are the lesson's own, done by the same director. What could not be understood, or was
refused before anything happened, costs nothing. The goal is looked at when all is still after a command, and
meanwhile whenever something has happened, for some things take their time.
"""

import contextlib
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pylitefs.errors import ExpectError, LessonError, PylitefsError
from pylitefs.lecture.language.commands import Command, Expect
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.language.level import Level
from pylitefs.lecture.live.attempt import FORBIDDEN, REACHED, Attempt
from pylitefs.lecture.live.director import Director
from pylitefs.lecture.live.expect import EXPECT_S
from pylitefs.lecture.live.judging import Judge
from pylitefs.lecture.live.ledger import Ledger
from pylitefs.lecture.live.session import Emit
from pylitefs.lecture.model import Dump, Entry

WATCH_S = 0.4
LATE_S = 4.0
"""So long after a command the goal is looked at again although nothing has been told."""
LAST_S = 4.0
"""So long the goal is waited for after the last command."""
LOOK_S = 3.0
"""So long an `expect` of who plays waits."""
_PAUSE_S = 0.05
_TYPOS = ("syntax error", "no such table", "no such column", "incomplete input", "unrecognized token")
"""What SQLite says of a statement that it does not begin."""


class LevelSession:
    """A level, from its opening on. Any thread may call; one call at a time, the others wait.

    `emit` gets every entry, as of a lesson's Session; the state's `level` has how it stands.
    """

    def __init__(self, level: Level, base_dir: Path, emit: Emit) -> None:
        self.level = level
        self.attempt = Attempt(level)
        self._emit = emit
        self._ledger = Ledger()
        self._told: list[Entry] = []
        """The entries of the command under way."""
        self._was_paused = False
        self._is_set = False
        self._shown: object = None
        self._judged = (0, 0.0)
        """How much was told when the goal was looked at last, and when the last command ended."""
        self._lock = threading.RLock()
        self._director = Director(base_dir, self._take)
        self._judge = Judge(self._director.scene, self._director.expectations, self._ledger)
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="level", daemon=True)
        self._watcher.start()

    def next(self) -> bool:
        """Set the scene, if that is not done. LessonError otherwise: it is not the lesson's turn."""
        with self._lock:
            if self._is_set:
                raise LessonError("it is your turn: type a command; `?` lists them, and `hint` helps")
            for step in self.level.opening.steps:
                self._director.scene.chronicle.step = step.index
                try:
                    self._director.do(step.command)
                except PylitefsError as error:
                    place = f"{self.level.name}, line {step.line}, `{step.text.splitlines()[0]}`"
                    raise LessonError(f"{place}: {error}") from error
            self._director.scene.forget_events()
            self._is_set = True
            self._look()
            self._tell("note", "level", f"Your turn: {self._given_to_use()}.")
            return True

    def answer(self, choice: int) -> None:
        """There is no question in a level."""
        raise LessonError(f"no question is open, so {choice + 1} answers none: type a command")

    def do(self, line: str) -> None:
        """A command of who plays. Raises LessonError, with what was wrong with it."""
        with self._lock:
            self._check_set()
            command = parse(line)
            self.attempt.check(command)
            if isinstance(command, Expect):
                self._do_look(command, line)
                return
            failed, outcome = self._do(command)
            if failed is not None and not self._has_happened():
                raise failed
            counts = Attempt.costs(command) and not self._is_typo()
            self.attempt.did(line, outcome if counts else f"{outcome} (costs nothing)", counts=counts)
            is_last = self.attempt.used >= self.level.terms.most
            self.wait(LAST_S if is_last else 0)
            self.attempt.use_up()
            self._tell_how_it_stands(outcome)
            if failed is not None:
                raise failed

    def again(self, step: int, *, yours: bool = True) -> None:
        """New nodes, the opening, and all commands are there again; the hints stay."""
        del step, yours
        with self._lock:
            self._is_set = False
            self._director.begin_again()
            self.attempt = Attempt(self.level, self.attempt.hints)
            self._shown = None
            self.next()

    def hint(self) -> None:
        """Tell one hint more. LessonError if there is none."""
        with self._lock:
            self._check_set()
            self._tell("note", "hint", f"Hint: {self.attempt.hint()}")

    def give_up(self) -> None:
        """End the attempt, and tell a solution."""
        with self._lock:
            self._check_set()
            self.attempt.give_up()
            self._tell("note", "level", self.attempt.why_over)

    def wait(self, seconds: float) -> bool:
        """Look at the goal until it is reached, something forbidden has happened, or so long."""
        with self._lock:
            deadline = time.monotonic() + seconds
            while True:
                self._look()
                if self.attempt.over or time.monotonic() >= deadline:
                    return self.attempt.over == REACHED
                self._director.scene.check_open()
                time.sleep(_PAUSE_S)

    def wait_for(self, command: Expect) -> None:
        """Wait until this is so: a solution's own patience. Raises ExpectError if it never is."""
        with self._lock:
            self._director.do(command)

    def close(self) -> None:
        """Release everything and end every process and mount. Also while another call is under way."""
        self._closing.set()
        self._director.close()
        self._watcher.join(5)

    def __enter__(self) -> "LevelSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # A command

    def _check_set(self) -> None:
        if not self._is_set:
            raise LessonError("the scene is not set yet: wait until it is, or begin again")

    def _do(self, command: Command) -> tuple[LessonError | None, str]:
        self._told.clear()
        self._was_paused = self._director.scene.paused
        failed: LessonError | None = None
        try:
            self._director.do(command)
        except LessonError as error:
            failed = error
        told = [one for one in self._told if one.kind in ("sql", "fault", "command", "note", "error")]
        return failed, str(failed) if failed else told[-1].text if told else "done"

    def _has_happened(self) -> bool:
        """Whether the command under way did something before it failed."""
        has_paused = self._director.scene.paused != self._was_paused
        return has_paused or any(one.kind in ("command", "fault", "sql", "note") for one in self._told)

    def _is_typo(self) -> bool:
        """Whether it is SQL that SQLite did not understand, and nothing came of it."""
        failed = [one.text for one in self._told if one.kind == "sql" and one.name == "error"]
        wrote = any(one.kind == "event" and not one.name.startswith("lock.") for one in self._told)
        return not wrote and any(said in text for text in failed for said in _TYPOS)

    def _do_look(self, command: Expect, line: str, seconds: float = LOOK_S) -> None:
        try:
            self._director.expectations.check(command, seconds)
            outcome = "it is so"
        except ExpectError as error:
            outcome = f"not so: {error}"
        self.attempt.did(line, outcome, counts=False)
        self._look()
        self._tell_how_it_stands(outcome)

    # The goal

    def _look(self) -> None:
        """Look at the goal; it is reached only if it is so once all is still."""
        terms = self.level.terms
        unmet = self._judge.unmet(terms)
        if not any(unmet):
            with contextlib.suppress(LessonError):
                self._director.settle()
            unmet = self._judge.unmet(terms)
        self.attempt.saw(unmet, self._judge.forbidden(terms))
        self._judged = (self._director.scene.chronicle.count, self._judged[1])

    def _tell_how_it_stands(self, outcome: str = "") -> None:
        """And first what came of the command."""
        attempt = self.attempt
        self._judged = (self._judged[0], time.monotonic())
        if attempt.over:
            self._tell("note", "level", attempt.why_over)
        else:
            met = sum(why is None for why in attempt.unmet)
            done = f"{outcome.rstrip('.')}. " if outcome else ""
            text = f"{done}The goal: {met} of {len(attempt.unmet)} so far; {self._given_to_use()}."
            self._tell("note", "level", text)

    def _given_to_use(self) -> str:
        left = self.level.terms.most - self.attempt.used
        return f"{left} of {self.level.terms.most} commands are left"

    def _tell(self, kind: str, name: str, text: str) -> None:
        self._shown = self.attempt.shown()
        self._director.say(kind, name, text, {"level": self._shown})

    def _watch(self) -> None:
        """Look again now and then: what takes its time is seen when it comes."""
        while not self._closing.wait(WATCH_S):
            if not self._lock.acquire(blocking=False):
                continue
            try:
                if self._is_set and not self.attempt.over and self._is_worth_a_look():
                    self._look()
                    if self.attempt.shown() != self._shown:
                        self._tell_how_it_stands()
            except PylitefsError:
                pass  # Whoever gives the next command is told.
            finally:
                self._lock.release()

    def _is_worth_a_look(self) -> bool:
        count, ended = self._judged
        return self._director.scene.chronicle.count != count or time.monotonic() < ended + LATE_S

    def _take(self, entry: Entry, dumps: Sequence[Dump]) -> None:
        self._ledger.take(entry)
        self._told.append(entry)
        self._emit(entry, dumps)


def run_headless(level: Level, emit: Emit, base_dir: Path | None = None) -> int:
    """Play a level's solution: 0 if it reaches the goal, by what the level allows, and the opening does not.

    In `base_dir`, or a temporary folder. What went wrong is told on standard error.
    """
    with contextlib.ExitStack() as stack:
        if base_dir is None:
            base_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pylitefs-level-")))
        session = stack.enter_context(LevelSession(level, base_dir, emit))
        try:
            why = play(session)
        except LessonError as error:
            why = str(error)
        if why:
            print(f"{level.name}: {why}", file=sys.stderr)
        return 1 if why else 0


def play(session: LevelSession) -> str:
    """Play the solution; "", or why it is none."""
    session.next()
    if session.attempt.over:
        return f"nothing was done, and the level is over: {session.attempt.why_over}"
    moves = session.level.solution
    for number, move in enumerate(moves, start=1):
        if session.attempt.over and any(later.counts for later in moves[number - 1 :]):
            return f"line {move.line}, `{move.text}`: the level is over before it: {session.attempt.why_over}"
        if isinstance(move.command, Expect):
            session.wait_for(move.command)
        else:
            session.do(move.text)
    session.wait(EXPECT_S)
    attempt = session.attempt
    if attempt.over == FORBIDDEN:
        return attempt.why_over
    left = [
        f"{one.text} ({why})" for one, why in zip(session.level.terms.goal, attempt.unmet, strict=True) if why
    ]
    return f"the solution does not reach the goal: {'; '.join(left)}" if left else ""
