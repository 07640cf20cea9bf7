"""The forms of `expect`: each becomes its expectation, and what is wrong has its remedy."""

import pytest

from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language.grammar_expect import expect
from pylitefs.lecture.language.words import Wrong
from tests.lecture.language.test_commands import FORMS
from tests.lecture.language.test_grammar import WRONG

EXPECT = {text.removeprefix("expect "): found for text, found in FORMS.items() if text.startswith("expect ")}
NOT_ONE = [text.removeprefix("expect").strip() for text in WRONG if text.startswith("expect")]


def test_every_expectation_is_among_the_forms() -> None:
    assert {type(one) for one in EXPECT.values()} == set(c.EXPECTATIONS)


@pytest.mark.parametrize("text", EXPECT)
def test_each_form_becomes_its_expectation(text: str) -> None:
    assert expect(text) == EXPECT[text]


@pytest.mark.parametrize("text", NOT_ONE)
def test_what_is_wrong_has_a_remedy(text: str) -> None:
    with pytest.raises(Wrong) as caught:
        expect(text)
    assert caught.value.remedy


def test_a_query_ends_with_its_quotes_and_its_rows_may_go_on() -> None:
    assert expect("n1 sql \"SELECT '=' = 1\" = 0\n1") == c.ExpectSql("n1", "SELECT '=' = 1", "0\n1")
    assert expect('n1 sql "SELECT 1" fails  no table ') == c.ExpectSqlFails("n1", "SELECT 1", "no table")
