"""A lesson: a Markdown file of prose and commands, read into passages and steps.

The rule: the file reads well on any Markdown viewer, and nothing in it is lost: every passage of prose
belongs to at least one step, every ```lesson block is parsed before the first node starts.

    # Title                        the lesson's title
    One paragraph.                 its summary
    ## Heading
    prose, then a ```lesson block  a passage (Section) and its steps, as often as wanted
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from pylitefs.errors import LessonError
from pylitefs.lecture.language import look
from pylitefs.lecture.language.commands import Ask, Command, MakeCluster, Note
from pylitefs.lecture.language.grammar import join_lines, parse
from pylitefs.lecture.language.words import Wrong

LESSONS = Path(__file__).parents[1] / "lessons"
BLOCK = "lesson"
"""The info string of the fenced blocks that hold commands."""
NEARLY = 0.82
"""How much like `lesson` a block's name is that was meant to be it; `less` is a language."""
MAX_BYTES = 128 << 10
"""Of a lesson: it can be a stranger's. The longest of ours has 5 kB."""
MAX_PROSE = 16 << 10
"""Characters before one block of commands: to render them may take time that grows faster than they do."""
MAX_HTML = 8 * MAX_PROSE
NAME = re.compile(r"(?:\d\d-)?(.+)")


@dataclass(frozen=True, slots=True)
class Section:
    """A passage: the prose that stands before one block of commands."""

    heading: str
    """Of the `##` that the passage stands under; passages can share one."""
    prose_markdown: str
    html: str
    """The prose as HTML, safe to show: raw HTML and script links are text in it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a lesson."""

    index: int
    command: Command
    section: int
    """Index of its passage in `Lesson.sections`."""
    line: int
    """Of the file, from 1."""
    text: str
    """The command as written."""


@dataclass(frozen=True, slots=True)
class Lesson:
    name: str
    """"ltx-file": the file's name without its number and ending."""
    title: str
    summary: str
    sections: tuple[Section, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class _Fence:
    """A ```lesson block: its first line and the line after it (from 0, fences included), and its text."""

    start: int
    end: int
    lines: tuple[str, ...]


def names() -> tuple[str, ...]:
    """The packaged lessons, in their order."""
    return tuple(_packaged())


def load(name_or_path: str | Path) -> Lesson:
    """The packaged lesson of that name, or the lesson in that `.md` file.

    Raises LessonError that names file and line for what is no lesson.
    """
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and path.suffix != ".md":
        known = _packaged()
        if name_or_path not in known:
            near = get_close_matches(name_or_path, known, 1) or list(known)
            raise LessonError(f"there is no lesson {name_or_path!r}; there is: {', '.join(near)}")
        path = known[name_or_path]
    return read(name_of(path), text_of(path), path.name)


def text_of(path: Path) -> str:
    """A lesson's file, up to where it is too long. Raises LessonError."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1).decode()
    except (OSError, ValueError) as error:
        raise LessonError(f"cannot read the lesson {path}: {error}") from error


def read(name: str, text: str, file: str = "") -> Lesson:
    """The lesson that `text` is. `file` is what errors call it. Raises LessonError."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise LessonError(f"{file or name} is longer than {MAX_BYTES:,} bytes: make it several lessons")
    return _Reader(name, text, file or name).lesson()


def render(prose: str) -> str:
    """Markdown as HTML that can be shown as it is."""
    return str(_markdown().render(prose)).strip()


def _packaged() -> dict[str, Path]:
    return {name_of(path): path for path in sorted(LESSONS.glob("*.md"))}


def name_of(path: Path) -> str:
    """The file's name without its number and ending."""
    found = NAME.fullmatch(path.stem)
    return found[1] if found else path.stem


@cache
def _markdown() -> MarkdownIt:
    """CommonMark and tables; HTML in the source is escaped, `javascript:` links stay text."""
    return MarkdownIt("commonmark", {"html": False}).enable("table")


@cache
def blocks() -> MarkdownIt:
    """As above, but what is inside of a paragraph is left as it is: that can take time that grows faster."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")


class _Reader:
    """Goes through a lesson's text once, from the top."""

    def __init__(self, name: str, text: str, file: str) -> None:
        self.name = name
        self.file = file
        self.lines = text.splitlines()
        self.tokens = blocks().parse(text)
        self.fences = tuple(self._all_fences())
        self._check_names_of_fences()
        self.sections: list[Section] = []
        self.steps: list[Step] = []

    def lesson(self) -> Lesson:
        title, summary, start = self._head()
        headings = [heading for heading in self._headings() if heading[0] >= start]
        first = headings[0][0] if headings else len(self.lines)
        self._must_be_empty(start, first, "stands before the first “## …”: move it under one")
        ends = [line for line, _ in headings[1:]] + [len(self.lines)]
        for (line, heading), end in zip(headings, ends, strict=False):
            self._read_section(heading, line + 1, end)
        if not self.steps:
            raise self._error(len(self.lines), f"no command: add a ```{BLOCK} block under a “## …”")
        first_done = next((step for step in self.steps if not isinstance(step.command, Ask | Note)), None)
        if first_done is None or not isinstance(first_done.command, MakeCluster):
            line = (first_done or self.steps[0]).line
            raise self._error(line, "no nodes yet: the first command is `cluster`")
        return Lesson(self.name, title, summary, tuple(self.sections), tuple(self.steps))

    def _head(self) -> tuple[str, str, int]:
        """Title, summary, and the line after them."""
        kinds = [token.type for token in self.tokens[:6]]
        if kinds[:3] != ["heading_open", "inline", "heading_close"] or self.tokens[0].tag != "h1":
            raise self._error(1, "the first line is not “# Title”: begin with it")
        summary = self.tokens[4] if kinds[3:] == ["paragraph_open", "inline", "paragraph_close"] else None
        if summary is None or summary.map is None:
            raise self._error(2, "no summary: write one paragraph after the title that says what is seen")
        return self.tokens[1].content, " ".join(summary.content.split()), summary.map[1]

    def _headings(self) -> Iterator[tuple[int, str]]:
        for token, text in zip(self.tokens, self.tokens[1:], strict=False):
            if token.type == "heading_open" and token.tag == "h2" and token.map is not None:
                yield token.map[0], text.content

    def _all_fences(self) -> Iterator[_Fence]:
        for token in self.tokens:
            if token.type == "fence" and token.info.strip() == BLOCK and token.map is not None:
                yield _Fence(token.map[0], token.map[1], tuple(token.content.splitlines()))

    def _check_names_of_fences(self) -> None:
        """A block whose name is nearly that of commands was meant to hold some."""
        for token in self.tokens:
            if token.type != "fence" or token.info.strip() == BLOCK or token.map is None:
                continue
            name = token.info.strip()
            if get_close_matches(name.partition(" ")[0].lower(), [BLOCK], 1, NEARLY):
                what = f"the block is named “{name[:40]}”, so it would be shown and not done"
                raise self._error(token.map[0] + 1, f"{what}: write ```{BLOCK}")

    def _fences(self, start: int, end: int) -> tuple[_Fence, ...]:
        """Those that begin in these lines."""
        first, after = (bisect_left(self.fences, line, key=lambda one: one.start) for line in (start, end))
        return self.fences[first:after]

    def _read_section(self, heading: str, start: int, end: int) -> None:
        at = start
        for fence in self._fences(start, end):
            prose = "\n".join(self.lines[at : fence.start]).strip()
            if prose or at == start:
                self.sections.append(self._section(heading, prose, at))
            self._read_block(fence)
            at = fence.end
        self._must_be_empty(at, end, f"is shown at no step: end “{heading}” with a ```{BLOCK} block (a note)")

    def _section(self, heading: str, prose: str, line: int) -> Section:
        if len(prose) > MAX_PROSE:
            what = f"{len(prose):,} characters before one block, where {MAX_PROSE:,} are the most"
            raise self._error(line + 1, f"{what}: put a ```{BLOCK} block (a note) between")
        html = render(prose)
        if len(html) > MAX_HTML:
            raise self._error(line + 1, f"this prose makes {len(html):,} characters of HTML: use less markup")
        for target in look.links(html):
            self._check_link(target, prose, line)
        return Section(heading, prose, html)

    def _check_link(self, target: str, prose: str, line: int) -> None:
        try:
            look.link(target)
        except Wrong as wrong:
            before = prose.partition(f"({look.SCHEME}{target}")[0]
            at = next((n for n in range(line, len(self.lines)) if self.lines[n].strip()), line)
            remedy = (
                wrong.remedy or "look:NODE/FILE/FIELD, look:NODE/page/N, look:NODE/lock/NAME or look:NODE"
            )
            what = f"the link ({look.SCHEME}{target}): {wrong}; write: {remedy}"
            raise self._error(at + 1 + before.count("\n"), what) from None

    def _read_block(self, fence: _Fence) -> None:
        try:
            for index, text in join_lines(fence.lines):
                line = fence.start + 2 + index
                try:
                    command = parse(text)
                except LessonError as error:
                    raise self._error(line, str(error)) from None
                self.steps.append(Step(len(self.steps), command, len(self.sections) - 1, line, text))
        except LessonError as error:
            if str(error).startswith(f"{self.file}, "):
                raise
            raise self._error(fence.start + 2, str(error)) from None

    def _must_be_empty(self, start: int, end: int, what: str) -> None:
        for index in range(start, end):
            if self.lines[index].strip():
                raise self._error(index + 1, f"“{self.lines[index].strip()[:60]}” {what}")

    def _error(self, line: int, what: str) -> LessonError:
        return LessonError(f"{self.file}, line {line}: {what}")
