"""A lesson in the terminal: prose, the nodes, the last events, a dump on demand; live or a recording.

The rules: it reads lines and prints text, so that a plain pipe does as well as a terminal (where Space and
a clicker step without Enter: terminal_keys.py). It never runs ahead: Enter first walks what was seen already,
and only at its end does the lesson's next step. And nothing that a recording or a database holds steers the
terminal.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markdown import Markdown
from rich.rule import Rule
from rich.segment import Segment
from rich.text import Text

from pylitefs.errors import PylitefsError
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.model import Dump, Entry, Json, state_at
from pylitefs.lecture.recording import Head, Recording
from pylitefs.lecture.show import sides, terminal_looks
from pylitefs.lecture.show import terminal_view as view
from pylitefs.lecture.show.expected import expected, with_what_is_beside
from pylitefs.lecture.show.terminal_keys import read_line
from pylitefs.shown import shown_lines

WIDTH_OF_A_PIPE = 120
_KEYS = (
    ("Enter", "go on: to the next thing that happens; so do Space, PageDown and → in an empty line"),
    ("b", "back: view what was before; live nodes do not rewind; so do PageUp and ←"),
    ("1, 2 …", "answer the question"),
    ("d, d 2 …", "show the bytes: the first dump of this step, the second …"),
    ("l 1, l 2 …", "show what the prose points at; so does look n1 ltx post-apply"),
    ("again N", "a new cluster, and the lesson again up to step N, with what you did; afresh N: without"),
    ("q", "quit"),
)


class Lecture(Protocol):
    """What goes on when the end of what was seen is reached: `Session` of live/session.py."""

    def next(self) -> object: ...
    def answer(self, choice: int) -> None: ...
    def do(self, line: str) -> None: ...
    def again(self, step: int, *, yours: bool = True) -> None: ...


class Story:
    """Everything seen so far; filled from any thread. An entry numbered 0 begins it anew."""

    def __init__(self, recording: Recording | None = None) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = list(recording.entries) if recording else []
        self.dumps: dict[str, Dump] = dict(recording.dumps) if recording else {}

    def emit(self, entry: Entry, dumps: Sequence[Dump] = ()) -> None:
        with self._lock:
            if entry.seq == 0:
                self._entries = []
            self._entries.append(entry)
            self.dumps.update((dump.id, dump) for dump in dumps)

    def entries(self) -> tuple[Entry, ...]:
        with self._lock:
            return tuple(self._entries)


class TerminalLecture:
    """The loop: show, read a line, act. `lecture` is None for a recording; `read` gives None at the end."""

    def __init__(
        self,
        head: Head,
        story: Story,
        lecture: Lecture | None = None,
        *,
        console: Console | None = None,
        read: Callable[[str], str | None] | None = None,
        votes: Callable[[], Json] | None = None,
    ) -> None:
        """`votes` gives those of a class that follows, as votes.py tells them."""
        self._head = head
        self._story = story
        self._lecture = lecture
        self._console = console or console_for_lectures()
        self._read = read or read_line
        self._votes = votes
        self._at = -1
        """Index of the entry that is shown; -1 before the first."""
        self._section = -1
        self._links: tuple[str, ...] = ()
        """What the passage points at."""
        self._chosen: dict[str, int] = {}
        """What was said to each question: the index of a choice."""

    def run(self) -> None:
        """Until `q` or the end of the input."""
        self._console.print(Rule(Text(self._head.title)))
        self._console.print(Text(self._head.summary))
        self._console.print(Text("Enter or Space: next, b: back, d: the bytes, ?: more, q: quit", "dim"))
        while (line := self._read(self._prompt())) is not None:
            line = line.strip()
            if line in {"q", "quit", "exit"}:
                return
            try:
                self._act(line)
            except PylitefsError as error:
                self._console.print(Text(str(error), "bold red"))
                self._catch_up()

    def _act(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if line in {"", "n", "next"}:
            self._next()
        elif line in {"b", "back"}:
            self._back()
        elif line in {"v", "votes"} and self._votes is not None:
            self._say_votes()
        elif word == "d" and (not rest or _is_number(rest)):
            self._dump(int(rest or 1))
        elif word in {"l", "look"}:
            target = terminal_looks.typed(line, self._links)
            seen = self._story.entries()[: self._at + 1]
            self._console.print(terminal_looks.looked(target, seen, self._story.dumps))
        elif line in {"?", "h", "help"}:
            self._help()
        elif _is_number(line):
            self._answer(int(line))
        elif self._lecture is None:
            self._say("This is a recording: it has no nodes. Enter, b, d and q do something, ? says more.")
        elif word in ("again", "afresh") and _is_number(rest):
            self._lecture.again(max(int(rest) - 1, 0), yours=word == "again")
            self._at = -1
            self._catch_up()
        else:
            self._lecture.do(line)
            self._catch_up()

    def _next(self) -> None:
        entries = self._story.entries()
        stop = next((n for n in range(self._at + 1, len(entries)) if entries[n].stop), None)
        if stop is not None:
            self._show(self._at, with_what_is_beside(entries, stop))
        elif self._lecture is None:
            rest = len(entries) - 1
            if self._at < rest:
                self._show(self._at, rest)
            else:
                self._say("This is the end of the recording.")
        else:
            self._say_votes()
            if self._lecture.next() is False:
                self._say("The lesson is over. Its nodes go on until you quit; ? names what they can do.")
            self._catch_up()

    def _catch_up(self) -> None:
        """Show all that has come in."""
        last = len(self._story.entries()) - 1
        if last > self._at:
            self._show(self._at, last)

    def _back(self) -> None:
        entries = self._story.entries()
        stops = [n for n in range(min(self._at, len(entries))) if entries[n].stop]
        if not stops:
            self._say("This is the beginning.")
            return
        stops = [with_what_is_beside(entries, one) for one in stops]
        stops = [one for one in stops if one < self._at]
        if not stops:
            self._say("This is the beginning.")
            return
        before = stops[-2] if len(stops) > 1 else -1
        self._show(before, stops[-1])

    def _answer(self, number: int) -> None:
        asked = self._state().get("question")
        if not asked or asked.get("answer") is not None:
            self._say("No question is open.")
            return
        if not 1 <= number <= len(asked["choices"]):
            self._say(f"The choices are 1 to {len(asked['choices'])}.")
            return
        self._chosen[str(asked["text"])] = number - 1
        if self._lecture is None or self._is_behind():
            self._say(f"You say {number}.")
            self._next()
        else:
            self._say_votes()
            self._lecture.answer(number - 1)
            self._catch_up()

    def _say_votes(self) -> None:
        """How the class has voted on the question that is open, before its answer is shown."""
        asked = self._state().get("question") if self._votes else None
        if self._votes and asked and asked.get("answer") is None:
            self._console.print(view.votes(self._votes()))

    def _is_behind(self) -> bool:
        return any(entry.stop for entry in self._story.entries()[self._at + 1 :])

    def _dump(self, number: int) -> None:
        entries = self._story.entries()
        with_dumps = next((one for one in reversed(entries[: self._at + 1]) if one.dumps), None)
        if with_dumps is None:
            self._say("There are no bytes to show yet.")
        elif number > len(with_dumps.dumps) or number < 1:
            self._say(f"This step has {len(with_dumps.dumps)} dumps.")
        else:
            self._console.print(view.dump(self._story.dumps[with_dumps.dumps[number - 1]]))

    def _help(self) -> None:
        for key, meaning in _KEYS:
            self._console.print(Text(f"{key:10}{meaning}"))
        if self._lecture is not None:
            if self._votes is not None:
                self._console.print(Text(f"{'v':10}how the class has voted so far"))
            self._say("Or a command of the lesson language:")
            for verb in VERBS.values():
                self._console.print(Text.assemble((verb.usage, "bold"), f"  {verb.help}"))

    # What is shown.

    def _state(self) -> Json:
        return state_at(self._story.entries()[: self._at + 1])

    def _show(self, before: int, at: int) -> None:
        """The entries after `before` up to `at`, and how things stand then."""
        entries = self._story.entries()
        self._at = at
        entry, seen = entries[at], entries[before + 1 : at + 1]
        self._show_place(entry)
        told = [one for one in seen if one.kind not in {"prose", "question", "answer"}]
        if told:
            self._console.print(view.events(told))
        named = expected(seen, self._head.steps)
        if named is not None:
            self._console.print(Text(f"{named.node} {named.name}: {named.text}", "bold"))
        for one in seen:
            if (both := sides.sides(one)) is not None and (one is named or one is entry or named is None):
                self._console.print(Text("\n".join(sides.told(both))))
            if one.name == "look" and one.detail.get("look"):
                found = terminal_looks.looked(str(one.detail["look"]), entries[: at + 1], self._story.dumps)
                self._console.print(found)
        for one in seen[-view.LAST_EVENTS :]:
            if one.xor:
                self._console.print(view.xor(one.xor))
        if entry.alone:
            self._console.print(Text(f"SQLite alone: {entry.alone}", "italic"))
        state = self._state()
        if state.get("nodes") and (told or not seen):
            self._console.print(view.nodes_table(state, live=self._lecture is not None))
        if state.get("question") and any("question" in one.set for one in seen):
            asked = state["question"]
            self._console.print(view.question(asked, self._chosen.get(str(asked["text"]))))

    def _show_place(self, entry: Entry) -> None:
        """The section's prose where it is a new one, and the step's command."""
        if not 0 <= entry.step < len(self._head.steps):
            return
        step = self._head.steps[entry.step]
        sections = self._head.sections
        if step.section != self._section and step.section < len(sections):
            before, self._section = self._section, step.section
            section = sections[step.section]
            if not 0 <= before < len(sections) or sections[before].heading != section.heading:
                self._console.print(Rule(Text(section.heading)))
            prose, self._links = terminal_looks.numbered(section.prose)
            self._console.print(Markdown(prose))
        # A question's choices are shown by themselves: here they would tell the answer.
        command = step.text.splitlines()[0] if step.text.startswith("ask ") else step.text
        self._console.print(Text(f"{step.index + 1}/{len(self._head.steps)}  {command}", "bold cyan"))

    def _prompt(self) -> str:
        asked = self._state().get("question") if self._at >= 0 else None
        if asked and asked.get("answer") is None:
            return f"1–{len(asked['choices'])}? "
        return "> "

    def _say(self, text: str) -> None:
        self._console.print(Text(text, "dim"))


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= 9


class LectureConsole(Console):
    """Prints what a recording or a database holds without what would steer the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(shown_lines(text), style)


def console_for_lectures() -> Console:
    """The terminal; of a pipe, lines of a fixed width."""
    console = LectureConsole(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH_OF_A_PIPE
    return console
