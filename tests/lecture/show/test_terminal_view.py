"""What the terminal shows, as text: values in, lines out."""

import io
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console, RenderableType

from pylitefs.lecture.model import Entry, Term
from pylitefs.lecture.show import terminal_view as view
from tests.lecture.sample_run import ANSWERED, JOURNAL, QUESTION, entries


def shown(one: RenderableType) -> list[str]:
    """The lines that are printed, without the blanks at their ends."""
    out = io.StringIO()
    Console(file=out, width=160).print(one)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def table(change: Callable[[dict[str, object]], None]) -> str:
    state: dict[str, object] = {}
    for entry in entries()[:2]:
        state.update(entry.set)
    change(state)
    out = io.StringIO()
    Console(file=out, width=160).print(view.nodes_table(state, live=True))
    return out.getvalue()


def test_votes_are_bars_with_their_numbers() -> None:
    """The longest has all of the room; nobody's vote is none."""
    told = {"question": "r-1", "open": True, "counts": [2, 0, 4], "followers": 9}
    assert shown(view.votes(told)) == [
        "6 of 9 have voted",
        f"  1  {'█' * 15} 2",
        "  2   0",
        f"  3  {'█' * 30} 4",
    ]
    assert shown(view.votes({})) == ["0 of 0 have voted"]


def test_the_nodes_show_what_is_held_how_long_a_cut_link_and_the_lag() -> None:
    def change(state: dict[str, object]) -> None:
        state["node/n2/link"] = {"state": "cut", "delay_ms": 0, "to": "n1"}
        state["db/n2/data.db/txid"] = 1

    text = table(change)
    assert "journal.write by writer for" in text
    [n2] = [line for line in text.splitlines() if line.startswith("n2")]
    assert "replica, link cut" in n2
    assert n2.rstrip().endswith(" 2"), "two transactions behind"
    assert "link 200 ms late" in table(lambda state: state.update({"node/n2/link": {"delay_ms": 200}}))


def test_the_lease_is_shown_where_there_is_one() -> None:
    has = table(lambda state: state.update({"lease": {"holder": "n1", "session": "ab12cd34", "ttl_s": 10.0}}))
    assert has.splitlines()[-1] == "lease: n1 · session ab12cd34… · 10 s"
    free = table(lambda state: state.update({"lease": {"holder": "", "session": "", "ttl_s": 2.5}}))
    assert free.splitlines()[-1] == "lease: nobody has it · 2.5 s"
    assert "lease" not in table(lambda state: None)


def test_who_has_the_halt_lock_is_shown_while_somebody_has_it() -> None:
    has = table(lambda state: state.update({"halt": {"holder": "n2"}}))
    assert has.splitlines()[-1] == "HALT lock: n2"
    assert "HALT" not in table(lambda state: None)


def test_the_five_sentences_stand_in_a_row_and_what_is_broken_has_its_reason() -> None:
    """One line where all is well; what no lease and no replica make meaningless has a dash."""
    said = {name: (sign, short) for name, sign, short in (("a", "holds", "one"), ("b", "broken", "two"))}
    verdicts = [
        {"name": n, "short": short, "state": s, "why": f"{n} is so.", "at": 0}
        for n, (s, short) in said.items()
    ]
    lines = table(lambda state: state.update({"invariants": verdicts})).splitlines()
    assert [line.rstrip() for line in lines[-2:]] == ["✓ one  ✗ two", "✗ b is so."]
    assert "✓ file, then position  ✓ checksum = bytes" in table(lambda state: None).splitlines()[-1]


def test_only_the_last_events_are_shown() -> None:
    many = [Entry(n, n, "event", "page.write", "n1", text=f"write {n}") for n in range(20)]
    before, *lines = shown(view.events(many))
    assert before.strip() == "… 8 before"
    assert [line.rpartition("page.write")[2].strip() for line in lines] == [
        f"write {n}" for n in range(8, 20)
    ]


def test_a_question_has_its_numbered_choices_and_no_answer_before_it_is_given() -> None:
    assert shown(view.question(QUESTION)) == ["What is next?", "  1  nothing", "  2  the LTX file"]
    assert shown(view.question(ANSWERED))[2:] == ["  2  the LTX file  ← right", "The capture makes it."]


def test_a_wrong_answer_is_marked_beside_the_right_one() -> None:
    """What was chosen is told again, and whether it is so; without a choice, neither."""
    assert shown(view.question(ANSWERED, 0))[1:] == [
        "  1  nothing  ← wrong", "  2  the LTX file  ← right", "Not so. The capture makes it."
    ]  # fmt: skip
    assert shown(view.question(ANSWERED, 1))[1:] == [
        "  1  nothing", "  2  the LTX file  ← right", "Right. The capture makes it."
    ]  # fmt: skip
    assert shown(view.question(QUESTION, 0)) == shown(view.question(QUESTION)), "not before it is answered"


def test_an_xor_is_one_number_below_the_other() -> None:
    terms = [Term("before", 5), Term("page 1, new", 6), Term("after", 3)]
    assert shown(view.xor(terms)) == [
        "    0000000000000005  before",
        "  ⊕ 0000000000000006  page 1, new",
        "  = 0000000000000003  after",
    ]


def test_a_dump_is_shown_field_by_field_with_a_mark_at_what_changed() -> None:
    lines = shown(view.dump(replace(JOURNAL, note="A note.")))
    assert lines[0].strip() == "n1: data.db-journal" and lines[-1] == "A note."
    [magic] = [line for line in lines if "magic" in line]
    [count] = [line for line in lines if "nRec" in line]
    assert magic.split()[:3] == ["0", "d9d505f9", "20a163d7"] and count.startswith("*")


def test_a_dump_without_parts_is_shown_in_rows_of_16_bytes() -> None:
    lines = shown(view.dump(replace(JOURNAL, parts=(), base=100)))
    rows = [line.split()[-5:] for line in lines if "0000" in line]
    assert [row[0] for row in rows] == ["100", "116"]
    assert [row[1] for row in rows] == ["d9d505f9", "00000000"]


def test_a_long_field_is_cut() -> None:
    (part,) = [replace(JOURNAL.parts[0], length=32)]
    assert any("… 32 bytes" in line for line in shown(view.dump(replace(JOURNAL, parts=(part,)))))


@pytest.mark.parametrize("live", [True, False])
def test_how_long_something_is_held_is_told_only_while_it_is(live: bool) -> None:
    """A recording's clock is another day's."""
    state = {"nodes": ["n1"], "node/n1/held": [{"name": "ltx.commit", "who": "", "wall_ms": 1}]}
    text = " ".join(shown(view.nodes_table(state, live=live)))
    assert "ltx.commit" in text and (" for " in text) == live


def test_each_line_of_the_events_says_when_where_and_what() -> None:
    lines = shown(view.events(entries()[:2]))
    assert lines[0].split() == ["0.000", "s", "cluster", "Two", "nodes."]
    assert lines[1].split()[1:4] == ["s", "n1", "journal.write"]
    assert lines[1].endswith("[d: 1]")


def test_a_part_is_marked_that_shares_a_byte_with_what_changed() -> None:
    """Whatever the order of the changes, and whether they overlap."""
    parts = tuple(replace(JOURNAL.parts[0], offset=at, length=2, name=f"p{at}") for at in range(0, 12, 2))
    dump = replace(JOURNAL, parts=parts, changed=((9, 1), (2, 0), (3, 2), (4, 1)))
    marked = [line.split()[3] for line in shown(view.dump(dump)) if line.startswith("*")]
    assert marked == ["p2", "p4", "p8"]


def test_what_is_shown_takes_time_that_grows_with_it() -> None:
    """10,000 parts and changes, 10,000 databases: by the square it would take minutes."""
    part = JOURNAL.parts[0]
    parts = tuple(replace(part, offset=2 * number, length=1) for number in range(10_000))
    changed = tuple((2 * number + 1, 1) for number in range(10_000))
    began = time.process_time()
    assert view.dump(replace(JOURNAL, parts=parts, changed=changed))
    state = {f"db/n1/{number}/txid": number for number in range(10_000)}
    assert view.nodes_table({"nodes": ["n1"], **state}, live=False)
    assert time.process_time() - began < 20
