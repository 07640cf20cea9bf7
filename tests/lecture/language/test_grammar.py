"""The grammar of the lesson language: every form is parsed; what is wrong says why, and what to write."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.grammar import join_lines, parse
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.trace import TRACEPOINTS
from tests.lecture.language.test_commands import FORMS

#: What is wrong, and what its error must name: the thing, and the remedy.
WRONG = {
    "": ("no command", "cluster"),
    "stepp n1": ("'stepp'", "write: step"),
    "cluster replicas": ("replicas", "cluster [replicas N]"),
    "cluster replicas 20": ("20 replicas", "at most 8"),
    "cluster page-size 1000": ("1000 bytes", "a power of two"),
    "cluster journal off": ("'off'", "delete, truncate, persist, wal"),
    "cluster lease 10": ("'10'", "200ms, 1s"),
    "cluster lease 10ms": ("10ms", "1s to 600s"),
    "expire-lease n1": ("'n1'", "expire-lease"),
    "promote": ("missing", "n1, n2"),
    "handoff first": ("'first'", "n1, n2"),
    "cluster size 3": ("'size'", "cluster [replicas N]"),
    "sql": ("missing", "sql NODE[/SHELL] STATEMENT…"),
    "sql n1": ("the statement is missing", "sql NODE[/SHELL] STATEMENT…"),
    "sql node1 SELECT 1": ("'node1'", "n1, n2"),
    "step n1 x": ("'x'", "step [NODE] [COUNT]"),
    "step 0": ("0 steps", "1 or more"),
    "run-to": ("missing", "run-to NAME [NODE]"),
    "run-to ltx.comit": ("'ltx.comit'", "ltx.commit"),
    "run now": ("'now'", "write: run"),
    "pause without": ("missing", "pause [NAME…]"),
    "partition": ("the node is missing", "n1, n2"),
    "partition n2 n3": ("'n3' is too much", "partition NODE"),
    "delay n2 soon": ("'soon'", "200ms"),
    "restart n2 as king": ("as king", "restart NODE [as primary|replica [of NODE]]"),
    "restart n2 as primary of n1": ("only a replica", "restart NODE"),
    "restart n2 as replica of n2": ("itself", "another node"),
    "corrupt n2 memory": ("'memory'", "database, journal, wal, ltx, link"),
    "ltx n1": ("is missing", "ltx NODE"),
    "ltx n1 forget": ("'forget'", "ltx NODE"),
    "ltx n1 diff": ("the TXID is missing", "ltx NODE"),
    "ltx n1 history 3": ("history has no TXID", "ltx NODE"),
    "corrupt n2 wal first": ("'first'", "corrupt NODE"),
    "note": ("missing", "note TEXT"),
    "ask Which?": ("0 choices", "two lines"),
    "ask Which?\n- a\n- b\n= so": ("0 right choices", "'  + '"),
    "ask Which?\n+ a\n+ b\n= so": ("2 right choices", "'  + '"),
    "ask Which?\n- a\n+ b": ("the reason is missing", "'  = '"),
    "ask\n- a\n+ b\n= so": ("the question is missing", "ask QUESTION"),
    "expect": ("missing", "at"),
    "expect n1": ("missing", "at"),
    "expect n1 hold x": ("'hold'", "held"),
    "expect n1 at": ("no TXID", "expect NODE at TXID"),
    "expect n1 checksum 3": ("“of”", "expect NODE checksum of TXID"),
    "expect n1 held sleeping": ("'sleeping'", "ltx.commit"),
    "expect n1 sql SELECT 1": ("in quotes", 'expect NODE sql "SELECT …" = ROWS'),
    'expect n1 sql "SELECT 1" fails': ("the message is missing", "expect NODE sql"),
    "expect n1/b at 3": ("not of a shell", "n1"),
    "expect n1 fails": ("the message is missing", "expect NODE[/SHELL] fails TEXT"),
    "expect n1 waits long": ("too much", "expect NODE[/SHELL] waits"),
    "expect same n1": ("second node", "expect same NODE NODE…"),
    "expect same n1 n1": ("itself", "each node once"),
    "expect differ n1 n2 n3": ("two nodes", "expect differ NODE NODE"),
    "expect n1 role boss": ("'boss'", "primary|replica|down"),
    "expect n1 log": ("missing", "expect NODE log TEXT"),
}


@pytest.mark.parametrize("text", FORMS, ids=str)
def test_each_form_becomes_its_command(text: str) -> None:
    assert parse(text) == FORMS[text]


@pytest.mark.parametrize("text", WRONG, ids=str)
def test_what_is_wrong_names_the_line_the_thing_and_the_remedy(text: str) -> None:
    with pytest.raises(LessonError) as raised:
        parse(text)
    thing, remedy = WRONG[text]
    said, _, write = str(raised.value).partition("; write: ")
    assert thing in said
    assert remedy in f"write: {write}"
    assert text.partition("\n")[0] in said


def test_a_group_stands_for_all_of_its_tracepoints() -> None:
    journal = tuple(name for name in TRACEPOINTS if name.startswith("journal."))
    assert parse("pause journal") == c.Pause(journal)
    assert parse("pause without journal pos.advance") == c.Pause(without=(*journal, "pos.advance"))


def test_lines_are_joined_and_keep_their_numbers() -> None:
    lines = ["# a comment", "", "sql n1 SELECT 1,", "  2,", "    3", "", "run"]
    assert list(join_lines(lines)) == [(2, "sql n1 SELECT 1,\n2,\n  3"), (6, "run")]


def test_a_line_that_continues_nothing_is_wrong() -> None:
    with pytest.raises(LessonError, match="continues no command"):
        list(join_lines(["  2,"]))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("\t- wrong", "a tab"),
        (" \t- wrong", "a tab"),
        (" - wrong", "one space"),
        ("\xa0 - wrong", "a space that"),
    ],
)
def test_what_looks_like_two_spaces_is_named(line: str, found: str) -> None:
    """It was “0 choices” or “no command”, of a question whose choices stand there for all to see."""
    with pytest.raises(LessonError, match=f"“- wrong” begins with {found}.* two spaces"):
        list(join_lines(["ask What?", line, "  + right", "  = why"]))


@pytest.mark.parametrize("more", ["  ", "\t"])
def test_a_choice_with_more_than_two_spaces_is_named(more: str) -> None:
    with pytest.raises(LessonError, match="“- wrong” begins with more than two spaces; write: exactly two"):
        parse(f"ask What?\n{more}- wrong\n{more}+ right\n{more}= why")


@given(st.text(), st.sampled_from([*VERBS, "expect n1", "expect n1 sql", "ask a\n- b\n+ c\n="]))
def test_whatever_is_typed_is_a_command_or_a_lesson_error(text: str, before: str) -> None:
    for line in (text, f"{before} {text}"):
        try:
            assert isinstance(parse(line), c.Command)
        except LessonError as error:
            assert "write: " in str(error)
