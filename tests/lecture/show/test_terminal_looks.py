"""What the prose points at, in the terminal: numbers behind the links, and what they show."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from pylitefs.errors import LessonError
from pylitefs.lecture.recording import HeadSection
from pylitefs.lecture.show import terminal_looks
from pylitefs.lecture.show.terminal import Story, TerminalLecture
from tests.lecture.sample_run import HEAD, recording
from tests.lecture.show.test_terminal import Typed

PROSE = "Its [magic](look:n1/journal/magic) is a [journal](look:n1/journal)'s, see [it](https://a.example)."


def played(*lines: str) -> str:
    """The sample run, whose second passage points at its journal's bytes."""
    first, second = HEAD.sections
    head = replace(HEAD, sections=(first, HeadSection(second.heading, second.html, PROSE)))
    out = io.StringIO()
    console = Console(file=out, width=140, highlight=False)
    TerminalLecture(head, Story(recording()), console=console, read=Typed(lines)).run()
    return out.getvalue()


def test_each_link_has_a_number_and_what_it_shows() -> None:
    text = played("", "", "l 1", "l 2", "look n1 journal nrec")
    assert "Its magic ‹l 1› is a journal ‹l 2›'s, see it" in text
    assert "look:" not in text
    assert "bytes 0 to 7: magic d9d505f920a163d7. Says that this is a journal." in text
    assert "d9d505f9 20a163d7" in text
    assert "n1: data.db-journal, 32 bytes" in text


def test_what_is_not_there_is_one_line() -> None:
    text = played("", "", "l 3", "l x", "look n1 ltx", "look n9")
    assert text.count("this passage points at l 1 to l 2") == 2
    assert "no LTX file of n1 has been shown yet" in text
    assert "there is no node n9" in text
    with pytest.raises(LessonError, match="points at none"):
        terminal_looks.typed("l 1", ())
