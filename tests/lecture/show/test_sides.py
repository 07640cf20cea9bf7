"""Both sides of what a primary decides: each row of the rule, as the primary itself decides it."""

import pytest

from pylitefs.lecture.model import Entry
from pylitefs.lecture.recording import open_recording
from pylitefs.lecture.show.sides import sides, told, with_sides
from pylitefs.ltx.position import Pos
from pylitefs.replication.catchup import NextFile, decide
from pylitefs.replication.stream_trace import decided

A, B = (1 << 63) + 10, (1 << 63) + 11


def entry(replica: Pos, primary: Pos, file: NextFile | None) -> Entry:
    """As a primary tells what it decided."""
    decision = decide(replica, primary, file)
    detail = {**decided("AA", decision, replica, primary, file), "replica": "n2"}
    return Entry(0, 0, "event", "catchup.decide", "n1", "data.db", primary.txid, detail=detail)


@pytest.mark.parametrize(
    ("replica", "primary", "file", "signs", "gets"),
    [
        (Pos(2, A), Pos(4, B), NextFile(3, 3, A), "==", "LTX files"),
        (Pos(2, A), Pos(4, B), NextFile(3, 3, B), "=≠", "a snapshot"),
        (Pos(2, A), Pos(4, B), None, "≠", "a snapshot"),
        (Pos(4, A), Pos(4, A), None, "==", "nothing"),
        (Pos(4, A), Pos(4, B), None, "=≠", "a snapshot"),
        (Pos(5, A), Pos(4, B), None, "≠", "a snapshot"),
        (Pos(), Pos(4, B), None, "≠", "a snapshot"),
        (Pos(1, A), Pos(), None, "≠", "nothing"),
    ],
)
def test_the_signs_are_what_was_decided_by(
    replica: Pos, primary: Pos, file: NextFile | None, signs: str, gets: str
) -> None:
    """A replica gets files, or nothing, where all is equal; a snapshot where something is not."""
    found = sides(entry(replica, primary, file))
    assert found is not None
    assert "".join(row[2] for row in found["rows"]) == signs
    assert found["gets"] == gets
    assert (found["replica"], found["primary"]) == ("n2", "n1")


def test_what_is_told_is_told_in_lines() -> None:
    found = sides(entry(Pos(2, A), Pos(4, B), NextFile(3, 3, A)))
    assert found is not None
    assert told(found) == [
        "the next TXID it needs                 3  =  3  the next LTX file",
        "the replica's checksum  800000000000000a  =  800000000000000a  that file's pre-apply checksum",
        "n2 gets LTX files",
    ]


def test_what_does_not_say_enough_has_none() -> None:
    """Another event, and a decision from a recording that is older."""
    assert sides(Entry(0, 0, "event", "ltx.store")) is None
    old = {"decision": "files", "position": f"{2:016x}/{A:016x}", "reason": "it continues"}
    assert sides(Entry(0, 0, "event", "catchup.decide", detail=dict(old))) is None
    nonsense = {**old, "primary": "zz/1", "next": "7"}
    assert sides(Entry(0, 0, "event", "catchup.decide", detail=dict(nonsense))) is None


def test_a_line_gets_them_beside_its_entry() -> None:
    made = entry(Pos(2, A), Pos(4, B), None)
    assert with_sides({"entry": made.to_json()})["entry"]["sides"] == sides(made)
    other = {"entry": Entry(0, 0, "note").to_json()}
    assert with_sides(other) is other
    assert with_sides({"dump": {}}) == {"dump": {}}


def test_the_lesson_behind_shows_both_sides_of_each_decision() -> None:
    for one in open_recording("behind").entries:
        if one.name == "catchup.decide":
            found = sides(one)
            assert found is not None, one.text
            assert one.text.startswith(f"{found['replica']} gets ")
