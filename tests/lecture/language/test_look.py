"""What a lesson points at: read from a command or a link, and refused with the line where it cannot be."""

import re

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.language import lesson, look
from pylitefs.lecture.language.grammar import parse
from pylitefs.lecture.language.look import FIELDS, WITH_PAGES, Look, Target, slug
from pylitefs.lecture.show import layouts

LESSON = """# T

S.

## H

One line,
and [the checksum](look:{}) of it.

```lesson
cluster
{}
```
"""


@pytest.mark.parametrize(
    ("words", "target"),
    [
        ("n1", Target("n1")),
        ("n2 page 3", Target("n2", "page", "3")),
        ("n1 lock READ1", Target("n1", "lock", "READ1")),
        ("n1 journal", Target("n1", "journal")),
        ("n1 ltx post-apply", Target("n1", "ltx", "post-apply")),
        ("n1 wal commit 1", Target("n1", "wal", "commit", 1)),
        ("n1 database cell-12", Target("n1", "database", "cell-12")),
        ("n1 database SQLite-version", Target("n1", "database", "sqlite-version")),
    ],
)
def test_a_command_and_a_link_say_the_same(words: str, target: Target) -> None:
    assert parse(f"look {words}") == Look(target)
    assert look.link(words.replace(" ", "/")) == target == look.link(str(target))
    assert look.typed(f"look {words}") == look.typed(f"look:{words.replace(' ', '/')}") == target


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("", "missing"),
        ("x", "no node"),
        ("n1 ltxx", "write: ltx"),
        ("n1 ltx postapply", "write: post-apply-checksum"),
        ("n1 ltx commit x", "no number"),
        ("n1 ltx commit 1 2", "too much"),
        ("n1 page", "missing"),
        ("n1 page two", "no page number"),
        ("n1 lock EXCLUSIV", "write: EXCLUSIVE"),
        ("n1 position page-2", "no field"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(words: str, what: str) -> None:
    """As a command, and in a link with the line of the link."""
    with pytest.raises(LessonError, match=what):
        parse(f"look {words}")
    with pytest.raises(LessonError, match=what) as caught:
        lesson.read("x", LESSON.format(words.replace(" ", "/"), ""), "x.md")
    assert re.match(r"x\.md, line 8: the link ", str(caught.value))


def test_the_fields_are_those_that_are_shown() -> None:
    """Each kind of file: what the byte layouts name, and pages and rows by their number."""
    named = {
        kind: {slug(row.name) for one in layouts.sections() if one.format == kind for row in one.rows}
        for kind in FIELDS
    }
    named["frame"] |= named["ltx"]
    for kind, known in FIELDS.items():
        assert known <= named[kind], kind
    assert all(parse(f"look n1 {kind} page-1") for kind in WITH_PAGES)


def test_a_link_in_prose_is_no_web_address() -> None:
    """It goes into the page's HTML as it is, and is prose for a recording's reader too."""
    found = lesson.read("x", LESSON.format("n1/ltx", "look n1 ltx"))
    assert list(look.links(found.sections[0].html)) == ["n1/ltx"]
    assert 'href="look:n1/ltx"' in found.sections[0].html
