"""A level in the terminal: what is asked for, what is typed, hints, and how it ended; no node runs."""

import io

from rich.console import Console

from pylitefs.errors import LessonError
from pylitefs.lecture.language import level
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.live.attempt import Attempt
from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import Head
from pylitefs.lecture.show.terminal import Story
from pylitefs.lecture.show.terminal_level import TerminalLevel
from tests.lecture.level_sample import LEVEL

SAMPLE = level.read("two-rows", LEVEL)


class Scripted:
    """A session whose goal is reached by the second command."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._seq = 0
        self.attempt = Attempt(SAMPLE)

    def _tell(self, text: str) -> None:
        changes = {"level": self.attempt.shown(), "nodes": ["n1"], "node/n1/role": "primary"}
        self._story.emit(Entry(self._seq, 0.0, "note", "level", text=text, set=changes, stop=True, step=3))
        self._seq += 1

    def next(self) -> None:
        self._tell("Your turn.")

    def answer(self, choice: int) -> None:
        raise LessonError(f"no question {choice}")

    def do(self, line: str) -> None:
        self.attempt.check(parse(line))
        self.attempt.did(line, "done", counts=True)
        self.attempt.saw([None, None] if self.attempt.used == 2 else ["n1 is at TXID 2", None])
        self._tell(self.attempt.why_over or "Go on.")

    def again(self, step: int, *, yours: bool = True) -> None:
        self.attempt, self._seq = Attempt(SAMPLE, self.attempt.hints), step
        self.next()

    def hint(self) -> None:
        self._tell(self.attempt.hint())

    def give_up(self) -> None:
        self.attempt.give_up()
        self._tell(self.attempt.why_over)


def typed(*lines: str) -> list[str]:
    """What is printed for each line; first what is there before any."""
    story, out = Story(), io.StringIO()
    waiting, printed, prompts = list(lines), [], []

    def read(prompt: str) -> str | None:
        printed.append(out.getvalue())
        prompts.append(prompt)
        out.truncate(0)
        out.seek(0)
        return waiting.pop(0) if waiting else None

    console = Console(file=out, width=100, highlight=False)
    TerminalLevel(Head.of(SAMPLE.opening), story, Scripted(story), console=console, read=read).run()
    return [*printed, " ".join(prompts)]


def test_a_level_is_played_to_its_end() -> None:
    begin, typo, refused, hint, first, last, prompts = typed(
        "kil n1", "restart n1", "hint", "run", "sql n1 INSERT INTO t VALUES (2)"
    )
    assert "Insert a row, in one transaction." in begin
    assert "○ n1 has a transaction more.  not looked at yet" in begin
    assert "✗ never: Something is rolled back." in begin
    assert "Not to be given here: restart." in begin
    assert "2 of 2 commands are left. `hint`: 2 more" in begin
    assert "INSERT INTO t VALUES (2)" not in begin
    assert "there is no command 'kil'" in typo
    assert "not to be given in this level" in refused
    assert "Hint 1: It is SQL, with `INSERT`, as above." in hint
    assert "○ n1 has a transaction more.  n1 is at TXID 2" in first and "✓ The table has two rows." in first
    assert "1 of 2 commands are left" in first
    assert "The goal is reached, with 2 commands. It can be done with 1." in last
    assert "sql n1 INSERT INTO t VALUES (2)" in last and "A row is a row." in last
    assert prompts.split() == ["0/2>"] * 4 + ["1/2>", "2/2>"]


def test_giving_up_again_and_help() -> None:
    _, given_up, again, goal, help_, _ = typed("give up", "again", "", "?")
    assert "You have given up. This does it:" in given_up and "A solution with 1:" in given_up
    assert "Your turn." in again and "2 of 2 commands are left" in again
    assert "Insert a row, in one transaction." in goal
    assert "sql NODE[/SHELL] STATEMENT…" in help_ and "give up" in help_
    assert "restart NODE" not in help_ and "cluster [" not in help_


def test_quitting_ends_it() -> None:
    assert len(typed("q", "run")) == 2


def test_tab_offers_what_the_level_lets_be_given() -> None:
    story = Story()
    lecture = Scripted(story)
    shown = TerminalLevel(Head.of(SAMPLE.opening), story, lecture, console=Console(file=io.StringIO()))
    shown._try("")
    assert shown._offered("kil") == ["kill"]
    assert shown._offered("restart") == []
    assert shown._offered("kill ") == ["n1"]
    assert shown._offered("gi") == ["give up"]
