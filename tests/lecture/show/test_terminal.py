"""The terminal: the lesson read as text, from a recording and from a session, with lines typed into it."""

import io
from collections.abc import Iterable
from dataclasses import replace

import pytest
from rich.console import Console

from pylitefs.errors import LessonError
from pylitefs.lecture.model import to_line
from pylitefs.lecture.recording import read_bytes
from pylitefs.lecture.show.terminal import LectureConsole, Story, TerminalLecture
from pylitefs.shown import has_control
from tests.lecture.sample_run import HEAD, JOURNAL, entries, recording


class Typed:
    """What is typed, line by line; then the input ends. Remembers the prompts."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        return next(self._lines, None)


class FakeSession:
    """Emits the sample run, an entry a step; remembers what else it was asked."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._left = entries()
        self.asked: list[str] = []

    def next(self) -> bool:
        if not self._left:
            return False
        entry = self._left.pop(0)
        self._story.emit(entry, [JOURNAL] if entry.dumps else [])
        return True

    def answer(self, choice: int) -> None:
        self.asked.append(f"answer {choice}")
        self.next()

    def do(self, line: str) -> None:
        if line == "dance":
            raise LessonError("there is no command 'dance'")
        self.asked.append(line)

    def again(self, step: int, *, yours: bool = True) -> None:
        self.asked.append(f"{'again' if yours else 'afresh'} {step}")
        self._story.emit(entries()[0])


def played(*lines: str, width: int = 140) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    TerminalLecture(HEAD, Story(recording()), console=console, read=Typed(lines)).run()
    return out.getvalue()


def lived(*lines: str) -> tuple[str, FakeSession]:
    out, story = io.StringIO(), Story()
    session = FakeSession(story)
    console = Console(file=out, width=140, highlight=False)
    TerminalLecture(HEAD, story, session, console=console, read=Typed(lines)).run()
    return out.getvalue(), session


def test_it_begins_with_the_title_and_the_keys_and_runs_nothing() -> None:
    text, session = lived()
    assert "A made-up lesson" in text
    assert "One transaction, in three steps." in text
    assert "Enter or Space: next" in text
    assert len(session._left) == len(entries())


def test_enter_shows_prose_command_events_and_nodes() -> None:
    text = played("", "")
    for wanted in (
        "Two nodes.",
        "1/3  cluster",
        "And a commit.",
        "2/3  sql n1 INSERT",
        "journal.write",
        "SQLite writes the journal's header.",
        "SQLite alone: The same.",
        "primary",
        "8000000000000001",
        "writer (pid 7): RESERVED",
    ):
        assert wanted in text, wanted


def test_the_prose_of_a_section_is_shown_once() -> None:
    assert played("", "", "", "").count("And a commit.") == 1


def test_back_shows_the_step_before_and_next_goes_forward_again() -> None:
    text = played("", "", "b", "")
    assert text.count("1/3  cluster") == 2
    assert text.count("2/3  sql") == 2
    assert "This is the beginning." in played("b")
    assert "This is the beginning." in played("", "b")


def test_at_the_live_end_enter_does_the_next_step_and_before_it_walks() -> None:
    _, session = lived("", "", "b", "")
    assert len(session._left) == 3, "the second Enter after b only walked what was there"
    _, session = lived("", "", "b", "", "")
    assert len(session._left) == 2


def test_a_question_asks_for_a_number_and_does_not_tell_the_answer() -> None:
    typed = Typed(["", "", "", "9", "2"])
    out = io.StringIO()
    TerminalLecture(HEAD, Story(recording()), console=Console(file=out, width=140), read=typed).run()
    assert typed.prompts == ["> ", "> ", "> ", "1–2? ", "1–2? ", "> "]
    before, _, after = out.getvalue().partition("You say 2.")
    assert "The choices are 1 to 2." in before
    assert "right" not in before
    assert "2  the LTX file  ← right" in after
    assert "The capture makes it." in after


def test_an_answer_goes_to_the_session() -> None:
    text, session = lived("", "", "", "2")
    assert session.asked == ["answer 1"]
    assert "← right" in text
    assert "No question is open." in lived("1")[0]


def test_a_wrong_answer_is_marked_wrong() -> None:
    """Live and from a recording: it looked as if the right one had been chosen."""
    for text in (lived("", "", "", "1")[0], played("", "", "", "1")):
        assert "1  nothing  ← wrong" in text
        assert "2  the LTX file  ← right" in text
        assert "Not so. The capture makes it." in text
    assert "wrong" not in played("", "", "", "2")
    assert "wrong" not in played("", "", "", "")


def test_what_is_done_at_an_open_question_does_not_tell_the_answer() -> None:
    told = replace(entries()[2], kind="command", text="The way is cut.", set={})
    story = Story(replace(recording(), entries=(*entries()[:2], told)))
    out = io.StringIO()
    TerminalLecture(HEAD, story, console=Console(file=out), read=Typed(["", "", ""])).run()
    assert "The way is cut." in out.getvalue()
    assert "3/3  ask What is next?" in out.getvalue()
    assert "the LTX file" not in out.getvalue()


def test_a_dump_on_demand_names_each_field_and_marks_what_changed() -> None:
    text = played("", "", "d")
    assert "n1: data.db-journal" in text
    assert "d9d505f9 20a163d7" in text
    assert "Says that this is a journal." in text
    [changed] = [line for line in text.splitlines() if "nRec" in line]
    assert changed.startswith("*")
    assert "This step has 1 dumps." in played("", "", "d 2")
    assert "no bytes" in played("d")


def test_the_xor_is_written_out() -> None:
    text = played("", "", "", "", "")
    assert "⊕ 0000000000000006  page 1, new" in text
    assert "= 8000000000000007  after" in text


def test_commands_of_the_lesson_language_go_to_the_session() -> None:
    text, session = lived("", "partition n2", "again 2", "afresh 2", "dance", "?", "q", "never read")
    assert session.asked == ["partition n2", "again 1", "afresh 1"]
    assert "there is no command 'dance'" in text
    assert "run-to-commit [NODE]" in text
    assert "never read" not in text


def test_a_recording_has_no_nodes_and_an_end() -> None:
    text = played("partition n2", *[""] * 7)
    assert "This is a recording" in text
    assert "This is the end of the recording." in text


def test_the_end_of_a_live_lesson_is_told() -> None:
    text, _ = lived(*[""] * 6)
    assert "The lesson is over." in text


def test_what_the_session_told_before_an_error_is_shown() -> None:
    class Failing(FakeSession):
        def next(self) -> bool:
            super().next()
            raise LessonError("n2 does not start")

    out, story = io.StringIO(), Story()
    TerminalLecture(HEAD, story, Failing(story), console=Console(file=out), read=Typed([""])).run()
    assert "n2 does not start" in out.getvalue()
    assert "1/3  cluster" in out.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_it_shows_in_any_width(width: int) -> None:
    assert max(map(len, played("", "", "d", width=width).splitlines())) <= width


def test_markup_in_a_text_is_text() -> None:
    """SQL and file names hold brackets; rich must not read them as its own."""
    story = Story(replace(recording(), entries=(replace(entries()[0], text="a[bold]b[/]c [/x]"),)))
    out = io.StringIO()
    TerminalLecture(HEAD, story, console=Console(file=out, width=140), read=Typed([""])).run()
    assert "a[bold]b[/]c [/x]" in out.getvalue()


def hostile(found: object) -> object:
    """The same with every text of people's made to steer a terminal; names by which things are found stay."""
    if isinstance(found, dict):
        kept = {"kind", "lesson", "pylitefs", "id", "dumps", "data", "name", "phase", "xor", "nodes", "html"}
        return {key: value if key in kept else hostile(value) for key, value in found.items()}
    if isinstance(found, list):
        return [hostile(one) for one in found]
    return f"\x1b[2J\x1b]0;x\x07\u202e\ud800\udcff{found}\r\x9b" if isinstance(found, str) else found


def test_nothing_that_a_recording_holds_steers_the_terminal() -> None:
    """Prose, headings, commands, events, bytes, questions: escaped, also what is no Unicode."""
    lines = [hostile(line) for line in recording().lines()]
    assert isinstance(lines[0], dict)
    data = "".join(to_line(line) + "\n" for line in lines if isinstance(line, dict))
    found = read_bytes(data.encode("utf-8", "surrogatepass"), "run.jsonl")
    out = io.StringIO()
    console = LectureConsole(file=out, width=140, highlight=False, force_terminal=False)
    TerminalLecture(
        found.head, Story(found), console=console, read=Typed(["", "", "d", "", "1", "b", "?", ""])
    ).run()
    text = out.getvalue()
    assert "\\u001b" in text and "\\ud800" in text and "\\u202e" in text
    assert not has_control(text.replace("\n", "")) and text.encode()


def test_a_number_of_any_length_is_typed_without_harm() -> None:
    text = played("9" * 5000, f"d {'9' * 5000}", f"again {'9' * 5000}")
    assert text.count("This is a recording: it has no nodes.") == 3


def test_the_votes_of_a_class_are_shown_before_the_answer() -> None:
    """When it is answered, and by `v` while it is open; of a lecture that nobody follows they are not."""
    votes = {"question": "r-1", "open": True, "counts": [3, 1], "followers": 5}
    out, story = io.StringIO(), Story()
    session = FakeSession(story)
    asked = next(number for number, one in enumerate(entries(), 1) if one.kind == "question")
    console = Console(file=out, width=140, highlight=False)
    typed = Typed([*[""] * asked, "v", "1", "v"])
    TerminalLecture(HEAD, story, session, console=console, read=typed, votes=lambda: votes).run()
    text = out.getvalue()
    assert text.count("4 of 5 have voted") == 2
    assert text.rindex("have voted") < text.index("← right")
    assert "have voted" not in lived(*[""] * asked, "1")[0]
