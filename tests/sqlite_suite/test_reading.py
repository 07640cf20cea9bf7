"""What is read from the output of testfixture."""

import pytest

from tests.sqlite_suite.reading import read

WHOLE = """\
cup-1.0... Ok
cup-1.1...
! cup-1.1 expected: [tea]
! cup-1.1 got:      [coffee]
cup-1.2...
Error: the cup is broken
cup-1.3.a b... Ok
SQLite 2022-12-28 14:03:47 0123456789abcdef
2 errors out of 5 tests on here Linux 64-bit little-endian
!Failures on these tests: cup-1.1 cup-1.2
All memory allocations freed - no leaks
"""


def test_a_whole_run_is_read() -> None:
    """Cases that pass, that give something else, and that are an error; names may have blanks."""
    outcome = read(WHOLE)
    assert outcome.passed == {"cup-1.0", "cup-1.3.a b"}
    assert outcome.failed == {"cup-1.1": "coffee", "cup-1.2": "error: the cup is broken"}
    assert (outcome.tests, outcome.ended, outcome.ran) == (5, "", 5)


def test_a_case_that_fails_once_has_failed() -> None:
    """A loop may have one name for many cases."""
    outcome = read("cup-2... Ok\ncup-2...\n! cup-2 expected: [1]\n! cup-2 got:      [2]\ncup-2... Ok\n")
    assert not outcome.passed
    assert outcome.failed == {"cup-2": "2"}


def test_a_value_of_several_lines_is_a_failure_too() -> None:
    outcome = read(
        "cup-3...\n! cup-3 expected: [1\n2]\n! cup-3 got:      [3\n4]\n!Failures on these tests: cup-3\n"
    )
    assert set(outcome.failed) == {"cup-3"}


@pytest.mark.parametrize(
    ("text", "ended", "why"),
    [
        ("cup-1... Ok\ncan't open file\n    while executing\n", "", "gave up: can't open file"),
        ("cup-1... Ok\ncup-2...", "ended by signal 11", "ended by signal 11"),
        ("", "", "gave up: without a word"),
    ],
)
def test_a_run_without_its_last_line_has_not_finished(text: str, ended: str, why: str) -> None:
    outcome = read(text, ended)
    assert (outcome.ended, outcome.tests) == (why, 0)


def test_files_that_stay_open_are_a_failure() -> None:
    assert "(end)" in read(WHOLE + "2 files were left open\n").failed
