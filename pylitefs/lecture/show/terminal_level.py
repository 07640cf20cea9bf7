"""A level in the terminal: what is asked for, commands that are typed, hints, and how it ended.

The rule: it shows what the state's `level` has and decides nothing. It reads lines, as a lesson in the
terminal does; where the terminal has `readline`, Tab completes verbs, nodes and tracepoints.
"""

import contextlib
from collections.abc import Iterator

from rich.markdown import Markdown
from rich.rule import Rule
from rich.text import Text

from pylitefs.errors import PylitefsError
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.model import Entry, Json
from pylitefs.lecture.show.asking import Played
from pylitefs.lecture.show.completing import completions
from pylitefs.lecture.show.terminal import TerminalLecture

try:
    import readline
except ImportError:  # It is not there on Windows.
    readline = None  # type: ignore[assignment]

_KEYS = (
    ("hint", "one hint more"),
    ("give up", "end this attempt, and see a solution"),
    ("again", "new nodes, the opening, and all commands are there again"),
    ("d, d 2 …", "show the bytes: the first dump of what happened last, the second …"),
    ("b", "back: look at what was before"),
    ("q", "quit"),
)


class TerminalLevel(TerminalLecture):
    """The loop of a level."""

    def run(self) -> None:
        """Set the scene, then until `q` or the end of the input."""
        self._console.print(Rule(Text(self._head.title)))
        self._console.print(Text(self._head.summary))
        self._try("")
        with _completed(self._offered):
            while (line := self._read(self._prompt())) is not None:
                line = line.strip()
                if line in {"q", "quit", "exit"}:
                    return
                self._try(line)

    def _try(self, line: str) -> None:
        try:
            self._act(line)
        except PylitefsError as error:
            self._console.print(Text(str(error), "bold red"))
            self._catch_up()

    def _act(self, line: str) -> None:
        lecture = self._lecture
        if lecture is None or line in {"b", "back", "?", "h", "help"} or line.partition(" ")[0] == "d":
            super()._act(line)
        elif line in {"", "n", "next"}:
            if self._level():
                self._show_goal()
            else:
                lecture.next()
                self._catch_up()
        elif line in {"hint", "give up"} and isinstance(lecture, Played):
            lecture.hint() if line == "hint" else lecture.give_up()
            self._catch_up()
        elif line == "again":
            self._at = -1
            lecture.again(0)
            self._catch_up()
        else:
            lecture.do(line)
            self._catch_up()

    def _level(self) -> Json:
        found: Json = self._state().get("level") or {}
        return found

    def _prompt(self) -> str:
        level = self._level()
        return f"{level['used']}/{level['most']}> " if level else "> "

    def _offered(self, line: str) -> list[str]:
        state = self._state()
        verbs = [*self._level().get("verbs", VERBS), "hint", "give up", "again"]
        return completions(line, verbs, state.get("nodes", []))

    def _show(self, before: int, at: int) -> None:
        super()._show(before, at)
        if any("level" in one.set for one in self._story.entries()[before + 1 : at + 1]):
            self._show_goal()

    def _show_place(self, entry: Entry) -> None:
        """The opening has a place in the lesson; what is typed afterwards has not."""
        if not self._level():
            super()._show_place(entry)

    def _show_goal(self) -> None:
        level, goal = self._level(), self._head.sections[-1]
        if not level["given"] and not level["hints"] and not level["over"]:
            self._console.print(Rule(Text(goal.heading)))
            self._console.print(Markdown(goal.prose))
        for text, is_met, why in level["goal"]:
            mark = Text("✓ " if is_met else "○ ", "bold green" if is_met else "bold yellow")
            self._console.print(Text.assemble(mark, (text, "bold"), ("" if is_met else f"  {why}", "dim")))
        for text in level["never"]:
            self._console.print(Text.assemble(("✗ ", "bold red"), ("never: ", "bold"), text))
        if level["without"]:
            self._say(f"Not to be given here: {', '.join(level['without'])}.")
        for number, hint in enumerate(level["hints"], start=1):
            self._console.print(Text.assemble((f"Hint {number}: ", "bold cyan"), hint))
        if level["over"]:
            self._show_end(level)
        else:
            self._say(
                f"{level['most'] - level['used']} of {level['most']} commands are left. "
                f"`hint`: {level['hints_left']} more; `give up`; `again`; `?` lists the commands."
            )

    def _show_end(self, level: Json) -> None:
        style = "bold green" if level["over"] == "reached" else "bold red"
        self._console.print(Rule(Text(level["why_over"], style)))
        if level["solution"]:
            self._console.print(Text(f"A solution with {level['fewest']}:", "bold"))
            for line in level["solution"]:
                self._console.print(Text(f"    {line}", "cyan"))
            self._console.print(Markdown(level["why"]))
        onward = f" The next level: pylitefs lecture {level['next']}" if level["next"] else ""
        self._say(f"`again` begins anew, `q` ends it.{onward}")

    def _help(self) -> None:
        for key, meaning in _KEYS:
            self._console.print(Text(f"{key:10}{meaning}"))
        self._say("Or a command; `expect …` looks, and costs nothing:")
        for verb in self._level().get("verbs", VERBS):
            self._console.print(Text.assemble((VERBS[verb].usage, "bold"), f"  {VERBS[verb].help}"))


@contextlib.contextmanager
def _completed(offered: "object") -> Iterator[None]:
    """Tab completes the line, while the block lasts."""
    if readline is None or not callable(offered):
        yield
        return
    before, delimiters = readline.get_completer(), readline.get_completer_delims()

    def complete(_: str, number: int) -> str | None:
        line = readline.get_line_buffer()[: readline.get_endidx()]
        found = offered(line)
        return f"{found[number]} " if number < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)
        readline.set_completer_delims(delimiters)
