"""Which lesson comes after one."""

import itertools

from pylitefs.lecture.language import lesson
from pylitefs.lecture.language.following import following


def test_each_lesson_names_the_next_and_how_to_start_it() -> None:
    """Live another lecture, of a recording another recording; after the last there is none."""
    names = lesson.names()
    for name, after in itertools.pairwise(names):
        found = following(name, live=True)
        assert found == {
            "lesson": after,
            "title": lesson.load(after).title,
            "command": f"pylitefs lecture {after}",
        }
    assert (following(names[0], live=False) or {})["command"] == f"pylitefs replay {names[1]}"
    assert following(names[-1], live=True) is None


def test_a_lesson_of_one_s_own_has_none() -> None:
    assert following("mine", live=True) is None
