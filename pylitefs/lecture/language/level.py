"""A level: a lesson whose end is a goal. The student gives the commands, and the nodes decide.

The rule: a level is a lesson's file up to its goal, and is read as one. What comes after it, under headings
of its own, is the goal, the hints and a solution; the solution is shown to nobody before the end, and run
as a test. Whatever is missing is named with its line.

    # Title, summary, ## …, ```lesson     the opening, as in a lesson
    ## Heading, prose, ```goal            what is asked for (goals.py)
    ## Heading, ```hints                  one hint after each `- `
    ## Heading, ```solution, prose        lesson commands, and why they do it
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pylitefs.errors import LessonError
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language.commands import Command
from pylitefs.lecture.language.goals import FREE, NOT_PLAYED, Terms, read_terms
from pylitefs.lecture.language.grammar import join_lines, parse
from pylitefs.lecture.language.lesson import Lesson, Section, render

LEVELS = Path(__file__).parents[1] / "levels"
BLOCKS = ("goal", "hints", "solution")
"""The info strings of a level's blocks, in their order."""
NEARLY = 0.7
"""How much like one of them a block's name is that was meant to be it."""
FEWEST_HINTS = 2
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Move:
    """One command of the solution."""

    line: int
    text: str
    command: Command

    @property
    def counts(self) -> bool:
        return self.command.verb not in FREE


@dataclass(frozen=True, slots=True)
class Level:
    """What a level's file says."""

    opening: Lesson
    """Its last section is the goal's, to which no step belongs."""
    terms: Terms
    hints: tuple[str, ...]
    solution: tuple[Move, ...]
    why: str
    """What the solution's prose says."""

    @property
    def name(self) -> str:
        return self.opening.name

    @property
    def title(self) -> str:
        return self.opening.title

    @property
    def fewest(self) -> int:
        """So many commands the solution needs."""
        return sum(move.counts for move in self.solution)


def names() -> tuple[str, ...]:
    """The packaged levels, from easy to hard."""
    return tuple(_packaged())


def load(name_or_path: str) -> Level:
    """The packaged level of that name, or the one in that `.md` file. Raises LessonError."""
    path = Path(name_or_path)
    if path.suffix != ".md":
        known = _packaged()
        if name_or_path not in known:
            near = get_close_matches(name_or_path, known, 1) or list(known)
            raise LessonError(f"there is no level {name_or_path!r}; there is: {', '.join(near)}")
        path = known[name_or_path]
    return read(lessons.name_of(path), lessons.text_of(path), path.name)


def is_level(name_or_path: str) -> bool:
    """Whether this names a packaged level, or a file that has a goal. A file that cannot be read is none."""
    path = Path(name_or_path)
    if path.suffix != ".md":
        return name_or_path in _packaged()
    try:
        return any(fence.info == "goal" for fence in _fences(lessons.text_of(path)))
    except LessonError:
        return False


def following(name: str) -> str:
    """The packaged level after this one; "" after the last."""
    known = names()
    return known[known.index(name) + 1] if name in known[:-1] else ""


def read(name: str, text: str, file: str = "") -> Level:
    """The level that `text` is. `file` is what errors call it. Raises LessonError."""
    return _Reader(name, text, file or name).level()


def _packaged() -> dict[str, Path]:
    return {lessons.name_of(path): path for path in sorted(LEVELS.glob("*.md"))}


@dataclass(frozen=True, slots=True)
class _Fence:
    info: str
    start: int
    end: int
    lines: tuple[str, ...]


def _fences(text: str) -> list[_Fence]:
    return [
        _Fence(token.info.strip(), token.map[0], token.map[1], tuple(token.content.splitlines()))
        for token in lessons.blocks().parse(text)
        if token.type == "fence" and token.map is not None
    ]


class _Reader:
    def __init__(self, name: str, text: str, file: str) -> None:
        self._name = name
        self._text = text
        self._file = file
        self._lines = text.splitlines()
        self._all = _fences(text)

    def level(self) -> Level:
        goal = self._block("goal")
        heading = self._heading_of(goal)
        opening = lessons.read(self._name, "\n".join(self._lines[:heading]), self._file)
        terms = self._terms(goal)
        hints, solution = self._block("hints"), self._block("solution")
        if not goal.end <= hints.start < hints.end <= solution.start:
            raise self._error(solution.start, f"the order is {', '.join(BLOCKS)}")
        if self._heading_of(hints) < goal.end or self._heading_of(solution) < hints.end:
            raise self._error(hints.start, "a block stands under no heading of its own: write “## …”")
        self._must_be_empty(goal.end, self._heading_of(hints), "stands after the goal: write it before")
        self._must_be_empty(self._heading_of(hints) + 1, hints.start, "stands before the hints")
        self._must_be_empty(hints.end, self._heading_of(solution), "stands after the hints")
        prose = "\n".join(self._lines[heading + 1 : goal.start]).strip()
        section = Section(self._lines[heading].lstrip("# ").strip(), prose, render(prose))
        opening = replace(opening, sections=(*opening.sections, section))
        why = self._lines[self._heading_of(solution) + 1 : solution.start] + self._lines[solution.end :]
        moves = self._solution(solution, terms)
        return Level(opening, terms, self._hints(hints), moves, " ".join(" ".join(why).split()))

    def _block(self, name: str) -> _Fence:
        """The one block of this name."""
        found = [one for one in self._all if one.info == name]
        if len(found) == 1:
            return found[0]
        if found:
            raise self._error(found[1].start, f"a second ```{name} block: one is enough")
        near = [one for one in self._all if get_close_matches(one.info.lower(), [name], 1, NEARLY)]
        at = near[0].start if near else len(self._lines) - 1
        raise self._error(at, f"there is no ```{name} block: a level has {', '.join(BLOCKS)}")

    def _heading_of(self, fence: _Fence) -> int:
        """The line of the `##` that the block stands under."""
        inside = {line for one in self._all for line in range(one.start, one.end)}
        for line in range(fence.start, -1, -1):
            if self._lines[line].startswith("## ") and line not in inside:
                return line
        raise self._error(fence.start, f"the ```{fence.info} block stands under no “## …”")

    def _terms(self, fence: _Fence) -> Terms:
        def wrong(index: int, what: str) -> LessonError:
            return self._error(fence.start + 1 + index, what)

        terms = self._tried(fence, lambda: read_terms(fence.lines, wrong))
        if not terms.most:
            raise self._error(fence.start, "“at most” is missing; write, say: at most 4 commands")
        if not terms.goal:
            raise self._error(fence.start, "no `expect …` in it: say what is to be reached")
        return terms

    def _hints(self, fence: _Fence) -> tuple[str, ...]:
        found: list[str] = []
        for index, line in enumerate(fence.lines):
            if line.startswith("- "):
                found.append(line[2:].strip())
            elif found and line.startswith("  "):
                found[-1] += f" {line.strip()}"
            elif line.strip():
                raise self._error(
                    fence.start + 1 + index, "a hint begins with `- `, and goes on after two spaces"
                )
        if len(found) < FEWEST_HINTS:
            raise self._error(fence.start, f"{len(found)} hints: write at least {FEWEST_HINTS}")
        return tuple(found)

    def _solution(self, fence: _Fence, terms: Terms) -> tuple[Move, ...]:
        moves: list[Move] = []
        for index, text in self._tried(fence, lambda: list(join_lines(fence.lines))):
            at = fence.start + 1 + index
            try:
                command = parse(text)
            except LessonError as error:
                raise self._error(at, str(error)) from None
            if command.verb in NOT_PLAYED or command.verb in terms.without:
                raise self._error(at, f"{command.verb} is not to be given in this level")
            moves.append(Move(at + 1, text, command))
        count = sum(move.counts for move in moves)
        if not 0 < count <= terms.most:
            raise self._error(fence.start, f"the solution has {count} commands, and {terms.most} are given")
        return tuple(moves)

    def _tried(self, fence: _Fence, read_it: Callable[[], Found]) -> Found:
        try:
            return read_it()
        except LessonError as error:
            if str(error).startswith(f"{self._file}, "):
                raise
            raise self._error(fence.start, str(error)) from None

    def _must_be_empty(self, start: int, end: int, what: str) -> None:
        for index in range(start, end):
            if self._lines[index].strip():
                raise self._error(index, f"“{self._lines[index].strip()[:60]}” {what}")

    def _error(self, index: int, what: str) -> LessonError:
        return LessonError(f"{self._file}, line {index + 1}: {what}")
