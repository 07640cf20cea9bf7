"""A goal's conditions, looked at on what is known of the nodes; a node that is held is not asked for rows."""

from types import SimpleNamespace
from typing import cast

import pytest

from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.goals import AnyEvent, Condition, Lost, Never, Past, Terms
from pylitefs.lecture.live.expect import Expectations
from pylitefs.lecture.live.judging import Judge
from pylitefs.lecture.live.ledger import Ledger
from pylitefs.lecture.live.scene import Scene
from pylitefs.lecture.model import Entry

SNAPSHOT = Never("No snapshot.", "", "catchup.decide", "snapshot")


class Looked:
    """Expectations that keep what they were asked."""

    def __init__(self) -> None:
        self.asked: list[c.Expect] = []
        self.wrong: str | None = None

    def look(self, expected: c.Expect) -> str | None:
        self.asked.append(expected)
        return self.wrong


class Known:
    """A scene as far as a judge looks at it."""

    def __init__(self, **roles: str) -> None:
        self.seen: list[Entry] = []
        self.positions: dict[tuple[str, str], tuple[int, int]] = {}
        self.held: set[str] = set()
        self.nodes = SimpleNamespace(role_shown=roles.__getitem__)
        self.holds = SimpleNamespace(on=lambda node: [node] if node in self.held else [])
        self.looked = Looked()
        self.judge = Judge(cast(Scene, self), cast(Expectations, self.looked), Ledger())

    def passed(self, node: str, name: str, text: str) -> None:
        self.seen.append(Entry(0, 0.0, "event", name, node, text=text))


def test_a_position_beyond_a_txid() -> None:
    known = Known()
    assert known.judge.look(Past("n1", 2)) == "n1 is at TXID 0"
    known.positions["n1", "data.db"] = (3, 1)
    assert known.judge.look(Past("n1", 2)) is None
    assert known.judge.look(Past("n1", 3)) == "n1 is at TXID 3"


def test_an_event_on_any_node() -> None:
    known = Known()
    wanted = AnyEvent("catchup.decide", "both are")
    assert known.judge.look(wanted) == "no node has passed catchup.decide yet"
    known.passed("n2", "catchup.decide", "n1 gets nothing")
    assert known.judge.look(wanted) == "n2 passed catchup.decide, but with: n1 gets nothing"
    known.passed("n1", "catchup.decide", "n2 gets a snapshot: both are at TXID 3")
    assert known.judge.look(wanted) is None


def test_nobody_looks_into_a_node_that_is_held_or_down() -> None:
    known = Known(n1="primary", n2="down")
    rows = c.ExpectSql("n1", "SELECT 1", "1")
    assert known.judge.look(rows) is None
    known.held.add("n1")
    assert known.judge.look(rows) == "n1 is held, so nobody looks into its database"
    assert known.judge.look(c.ExpectSqlFails("n2", "SELECT 1", "x")) == "n2 is down"
    assert known.judge.look(c.ExpectHeld("n1", "ltx.commit")) is None
    assert known.looked.asked == [rows, c.ExpectHeld("n1", "ltx.commit")]


@pytest.mark.parametrize("text", ["n2 gets nothing", ""])
def test_what_is_forbidden_is_found_among_the_events(text: str) -> None:
    terms = Terms(3, (), (SNAPSHOT,), (Condition("Lost.", Lost()), Condition("Past.", Past("n1", 0))))
    known = Known()
    known.passed("n1", "catchup.decide", text)
    assert known.judge.forbidden(terms) is None
    known.passed("n1", "catchup.decide", "n2 gets a snapshot of data.db")
    assert known.judge.forbidden(terms) == SNAPSHOT
    assert known.judge.unmet(terms) == ["no program was told of a commit yet", "n1 is at TXID 0"]


def test_a_reason_is_short_enough_to_stand_beside_the_nodes() -> None:
    known = Known()
    same = Terms(1, (), (), (Condition("Same.", c.ExpectSame(("n1", "n2"))),))
    for told, read in (
        (
            "n1 at 000000000000000a/cb60573ecd33cb7e and n2 at 0000000000000004/8e73373ecd33cb7e",
            "n1 at a/cb60…cb7e and n2 at 4/8e73…cb7e",
        ),
        ("n1 has not passed ltx.commit since the last cluster", "n1 has not passed ltx.commit yet"),
        ("the log of n1 does not say 'x'; it ends:\nlevel=INFO\n", "the log of n1 does not say 'x'"),
        ("a" * 200, "a" * 90 + "…"),
    ):
        known.looked.wrong = told
        assert known.judge.unmet(same) == [read]
