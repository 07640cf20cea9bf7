"""What followers get: all that was shown, and no word of what is to come."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language.commands import Ask
from pylitefs.lecture.model import Entry, Json
from pylitefs.lecture.recording import Head, open_recording, packaged
from pylitefs.lecture.show.audience import TO_COME, Audience
from tests.lecture import recordings

SHORT = ("asynchronous", "commit")


def told(name: str) -> Iterator[tuple[Entry, str]]:
    """Each entry of a packaged recording, and what followers get with it."""
    recording = open_recording(name)
    audience = Audience(Head.of(lessons.load(name)).to_json())
    for entry in recording.entries:
        yield entry, "\n".join(audience.lines(entry, [recording.dumps[one] for one in entry.dumps]))


@pytest.mark.parametrize(
    "name", [name if name in SHORT else pytest.param(name, marks=pytest.mark.full) for name in packaged()]
)
def test_an_answer_goes_out_when_it_is_shown_and_not_before(name: str) -> None:
    """In no lesson: neither which choice is right, nor why, nor a command that comes later."""
    pieces = list(told(name))
    text = "".join(text for _, text in pieces)
    ends = list(accumulate(len(text) for _, text in pieces))
    for step in lessons.load(name).steps:
        if isinstance(step.command, Ask):
            why = json.dumps(step.command.why, ensure_ascii=False)
            entry, _ = pieces[bisect_right(ends, text.index(f'"why":{why}'))]
            assert (entry.kind, entry.step) == ("answer", step.index)
            assert text.index(why[1:-1]) > text.index(step.command.question)
            assert text.index(why[1:-1]) > ends[entry.seq - 1]
            assert f'"answer":{step.command.answer},"why":{why}' in pieces[entry.seq][1]
    assert not re.search(r"\\n *\+ ", text), "a question's command marks the right choice"
    for entry, lines in pieces:
        for line in map(json.loads, lines.splitlines()):
            for index, command in line.get("shown", {"steps": []})["steps"]:
                assert index <= max(entry.step, entry.set.get("lesson/step") or 0), command


def lines_of(audience: Audience, upto: int) -> list[Json]:
    made = recordings.made()
    found: list[str] = []
    for entry in made.entries[:upto]:
        found += audience.lines(entry, made.dumps[entry.seq])
    return [json.loads(line) for line in found]


def test_the_lesson_s_text_comes_as_far_as_the_class_has_come() -> None:
    """First a header with room for all of it, then each passage once, with the commands that are done."""
    audience = Audience(recordings.HEADER)
    header, first, *rest = [json.loads(line) for line in audience.opening()]
    assert not rest
    assert {step["text"] for step in header["steps"]} == {TO_COME}
    assert [one["heading"] for one in header["sections"]] == [""] * 3
    assert first["shown"]["sections"][0][1] == "Three nodes" and first["shown"]["steps"] == []
    lines = lines_of(audience, len(recordings.made().entries))
    shown = [line["shown"] for line in lines if "shown" in line]
    steps = [index for one in shown for index, _ in one["steps"]]
    sections = [number for one in shown for number, *_ in one["sections"]]
    assert steps == list(range(steps[-1] + 1)) and sections == list(range(sections[-1] + 1))
    texts = dict(pair for one in shown for pair in one["steps"])
    assert texts[6] == "ask Is the row there?"


def test_a_header_s_other_fields_stay_here() -> None:
    """A field that a later version has, with hints or solutions, does not go along by itself."""
    head = {**recordings.HEADER, "solution": "SECRET"}
    head["sections"] = [{**one, "prose": "SECRET", "hint": "SECRET"} for one in head["sections"]]
    audience = Audience(head)
    assert "SECRET" not in "".join(audience.opening()) + json.dumps(lines_of(audience, 99))


def test_a_lesson_that_begins_again_is_told_from_its_beginning() -> None:
    """Header, dumps and all: whoever follows forgets what was."""
    audience = Audience(recordings.HEADER)
    first = lines_of(audience, 12)
    assert lines_of(audience, 12) == first


def test_no_path_of_the_machine_gets_out() -> None:
    audience = Audience(recordings.HEADER, Path("/home/ada/nodes"))
    entry = Entry(
        0, 0.0, "note", text="it is in /home/ada/nodes/n1", set={"node/n1/mount": "/home/ada/nodes/n1/mnt"}
    )
    told = "".join(audience.lines(entry, []))
    assert "ada" not in told and "it is in …/n1" in told


def test_no_step_is_known_before_there_are_nodes() -> None:
    """`cluster` takes all of the state away, the step's number too."""
    audience = Audience(recordings.HEADER)
    audience.lines(Entry(0, 0.0, "command", set={"lesson/step": None}), [])
