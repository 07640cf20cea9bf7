"""What a level asks for is understood, or refused with what could stand there."""

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language import goals as g
from pylitefs.lecture.language.verbs import VERBS


def terms(text: str) -> g.Terms:
    return g.read_terms(text.splitlines(), lambda index, what: LessonError(f"{index}: {what}"))


def test_every_form_becomes_what_it_says() -> None:
    found = terms(
        "at most 4 commands\n"
        "# a comment\n"
        "without kill restart\n"
        "never any event catchup.decide a snapshot\n  = No copy.\n"
        "never n1 event ltx.encode\n  = No file\n    at all.\n"
        "expect any event catchup.decide both are\n  = Found.\n"
        "expect n2 past 3\n  = Further on.\n"
        "expect lost\n  = Gone.\n"
        'expect n1 sql "SELECT 1" = 1\n  2\n  = Two rows.\n'
        "expect same n1 n2\n  = The same.\n"
    )
    assert (found.most, found.without) == (4, ("kill", "restart"))
    assert found.never == (
        g.Never("No copy.", "", "catchup.decide", "a snapshot"),
        g.Never("No file at all.", "n1", "ltx.encode", ""),
    )
    assert [one.expect for one in found.goal] == [
        g.AnyEvent("catchup.decide", "both are"),
        g.Past("n2", 3),
        g.Lost(),
        c.ExpectSql("n1", "SELECT 1", "1\n2"),
        c.ExpectSame(("n1", "n2")),
    ]
    assert [one.text for one in found.goal] == ["Found.", "Further on.", "Gone.", "Two rows.", "The same."]
    assert found.verbs == tuple(
        one for one in VERBS if one not in {"cluster", "ask", "note", "kill", "restart"}
    )


@pytest.mark.parametrize(
    ("line", "wrong", "remedy"),
    [
        ("at most many commands", "'many' is no number", "at most N commands"),
        ("at most 0 commands", "nothing can be reached", "at most 1 command"),
        ("at least 4 commands", "is no number of commands", "at most N commands"),
        ("without kil", "'kil' is no command", "kill"),
        ("without expect", "'expect' is no command", ""),
        ("without cluster", "'cluster' is no command", ""),
        ("never n1 event catchup.decide", "what the student reads is missing", "two spaces"),
        ("never n1 events ltx.encode\n  = x", "'events'", "never NODE|any event NAME"),
        ("never n1 event ltx.encod\n  = x", "no tracepoint 'ltx.encod'", "ltx.encode"),
        ("never some event ltx.encode\n  = x", "'some' is no node", "n1"),
        ("expect lost now\n  = x", "'now' is too much", "expect lost"),
        ("expect any event nothing\n  = x", "no tracepoint 'nothing'", ""),
        ("expect any sql\n  = x", "something is missing", "expect any event NAME"),
        ("expect n2 past\n  = x", "something is missing", "expect NODE past TXID"),
        ("expect n2 past three\n  = x", "'three' is no TXID", "expect NODE past TXID"),
        ("expect n2 att 3\n  = x", "cannot be expected", "at"),
        ("expect n2 at 3", "what the student reads is missing", "two spaces"),
        ("kill n1", "nothing that a goal can say", "at most, without, never or expect"),
        ("nevr n1 event ltx.encode", "nothing that a goal can say", "never"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(line: str, wrong: str, remedy: str) -> None:
    with pytest.raises(LessonError) as raised:
        terms(f"at most 2 commands\n{line}")
    assert str(raised.value).startswith("1: “")
    assert wrong in str(raised.value)
    assert remedy in str(raised.value).partition("; write: ")[2] or not remedy


def test_a_forbidden_event_is_known_by_node_name_and_text() -> None:
    never = g.Never("x", "", "catchup.decide", "snapshot")
    assert never.is_it("n3", "catchup.decide", "n2 gets a snapshot of data.db")
    assert not never.is_it("n3", "catchup.decide", "n2 gets nothing")
    assert not never.is_it("n3", "ltx.store", "a snapshot")
    assert not g.Never("x", "n1", "catchup.decide", "").is_it("n2", "catchup.decide", "")
