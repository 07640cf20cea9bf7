"""What a lecture is made of: entries and dumps, as JSON and back, and the state that entries give."""

import json

from pylitefs.lecture.model import Dump, Entry, Part, Term, state_at, to_line

ENTRY = Entry(
    3, 12.3456, "event", "ltx.commit", "n1", "a.db", 7, "writer", "What é.", "Alone.", {"pgno": "2"},
    ("d1", "d2"), {"id": "f"}, (("n1", "a.db", 2, "written"),),
    (Term("before", 1), Term("after", (1 << 64) - 1)), {"mode": "paused"}, True, 4,
)  # fmt: skip
DUMP = Dump(
    "d1",
    "n1 a.db",
    "a.db",
    "wal",
    b"\x00\xff",
    (Part(32, 2, "salt", "1", "Means.", "salt"),),
    32,
    ((33, 1),),
    "cut",
)


def test_an_entry_comes_back_from_its_line_as_it_was() -> None:
    line = to_line(ENTRY.to_json())
    again = Entry.from_json(json.loads(line))
    assert again.to_json() == ENTRY.to_json()
    assert (again.lights, again.xor, again.dumps, again.stop) == (ENTRY.lights, ENTRY.xor, ENTRY.dumps, True)
    assert again.t_ms == 12.346


def test_a_line_is_one_line_without_blanks_and_numbers_of_64_bits_are_text() -> None:
    """JavaScript's numbers have 53 bits."""
    line = to_line(ENTRY.to_json())
    assert "\n" not in line and '"seq":3,' in line and "é" in line
    assert ENTRY.to_json()["xor"] == [["before", "0000000000000001"], ["after", "f" * 16]]


def test_a_dump_comes_back_from_its_line_as_it_was() -> None:
    assert Dump.from_json(json.loads(to_line(DUMP.to_json()))) == DUMP


def test_the_state_is_what_all_entries_set_in_their_order() -> None:
    """So a slider that moves back is a shorter loop."""
    entries = [
        Entry(0, 0, "event", set={"mode": "paused", "question": {"text": "?"}}),
        Entry(1, 0, "event"),
        Entry(2, 0, "event", set={"mode": "running", "question": None, "nodes": None}),
    ]
    assert state_at(entries) == {"mode": "running"}
    assert state_at(entries[:2]) == {"mode": "paused", "question": {"text": "?"}}
    assert state_at([]) == {}
