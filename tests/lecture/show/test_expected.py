"""The caption of a step is the sentence of the event that the lesson expects there."""

import itertools

import pytest

from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import HeadStep, open_recording, packaged
from pylitefs.lecture.show.expected import expected, with_what_is_beside

STEPS = [
    HeadStep(n, text, 0)
    for n, text in enumerate(
        ["run", "expect n1 event lock.acquire RESERVED", "expect n1 event ltx.commit", "expect n1 at 3"]
    )
]
EVENTS = [
    Entry(0, 0, "event", "lock.acquire", "n1", text="It took RESERVED."),
    Entry(1, 0, "event", "lock.acquire", "n2", text="It took RESERVED."),
    Entry(2, 0, "event", "lock.acquire", "n1", text="It took PENDING."),
    Entry(3, 0, "event", "pos.advance", "n1", text="It moved."),
]


def looked(step: int) -> Entry:
    return Entry(9, 0, "command", "expect", step=step)


def test_it_is_the_event_by_node_name_and_text() -> None:
    assert expected([*EVENTS, looked(1), looked(3)], STEPS) is EVENTS[0]


def test_what_did_not_happen_in_the_step_is_no_caption_of_it() -> None:
    assert expected([*EVENTS, looked(2)], STEPS) is None
    assert expected([*EVENTS, looked(1), looked(2)], STEPS) is EVENTS[0], "the other one is, then"
    assert expected(EVENTS, STEPS) is None


@pytest.mark.parametrize("kind", ["question", "answer", "note", "error"])
def test_what_speaks_to_the_class_goes_first(kind: str) -> None:
    assert expected([Entry(5, 0, kind), *EVENTS, looked(1)], STEPS) is None


def test_the_lessons_captions_are_what_their_steps_expect() -> None:
    """As the lesson `commit`: of the locks on the way, the one that its prose speaks of."""
    found = open_recording("commit")
    stops = [-1, *(one.seq for one in found.entries if one.stop)]
    captions = []
    for before, stop in itertools.pairwise(stops):
        at = with_what_is_beside(found.entries, stop)
        captions.append(expected(found.entries[before + 1 : at + 1], found.head.steps))
    told = [one.text for one in captions if one]
    assert any("took RESERVED" in text or "to RESERVED" in text for text in told)
    assert any("EXCLUSIVE" in text for text in told)
    assert packaged()
