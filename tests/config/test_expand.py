"""Environment expressions: every form LiteFS has, and what cannot be read, with its line."""

import pytest

from pylitefs.config.expand import NOTHING, expand, plain

ENVIRONMENT = {"A": "x", "B": "x", "C": "y", "LINES": "one\ntwo", "REGION": "fra"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A", "x"),
        ("${A}", "x"),
        ("${ A }", "x"),
        ("pre-${A}-$C-post", "pre-x-y-post"),
        ("$A.$C/$A", "x.y/x"),
        ("[$UNSET][${UNSET}]", "[][]"),
        ('${A == "x"}', "true"),
        ("${A == 'x'}", "true"),
        ("${A=='y'}", "false"),
        ("${A == B}", "true"),
        ("${A == C}", "false"),
        ("${A != B}", "false"),
        ('${A != "y"}', "true"),
        ("${UNSET == ''}", "true"),
        ("${UNSET == ALSO_UNSET}", "true"),
        ("${REGION == 'fra'} and ${REGION != 'fra'}", "true and false"),
        ("costs 5$, pa$$word, $1, trailing $", "costs 5$, pa$$word, $1, trailing $"),
        ("", ""),
    ],
)
def test_each_expression_becomes_its_value(text: str, expected: str) -> None:
    assert expand(text, ENVIRONMENT | {"word": "word"}).text == expected.replace("pa$$word", "pa$word")


@pytest.mark.parametrize(
    "form",
    [
        "${A = 'x'}",
        "${}",
        "${A == }",
        "${A == x y}",
        "${1A}",
        "${A == 'x}",
        "${A:-b}",
        "${A-b}",
        "${#A}",
        "${A%x}",
    ],
)
def test_what_cannot_be_read_becomes_nothing_and_is_noted(form: str) -> None:
    """With its line, as often as it is there."""
    found = expand(f"first\nsecond {form}, {form}\nthird", ENVIRONMENT)
    assert found.text == f"first\nsecond {NOTHING}, {NOTHING}\nthird"
    assert found.unread == {2: [form, form]}


def test_what_does_not_end_on_its_line_loses_its_bracket_alone() -> None:
    """As with Go where nothing ends it; no line of the file is swallowed."""
    found = expand("a ${A\nb }", ENVIRONMENT)
    assert (found.text, found.unread) == (f"a {NOTHING}A\nb }}", {1: ["${"]})


def test_a_value_with_line_breaks_keeps_the_file_s_line_numbers() -> None:
    found = expand("a\n$LINES\nb", ENVIRONMENT)
    assert found.text.split("\n") == ["a", "one", "two", "b"]
    assert found.lines == [1, 2, 2, 3]


def test_a_text_may_be_left_as_it_is() -> None:
    assert (plain("a $A\n${").text, plain("a $A\n${").lines) == ("a $A\n${", [1, 2])
