"""What is known of an event: what it does not say reads as nothing, and text is read as numbers."""

import pytest

from pylitefs.lecture.history.facts import Facts, bytes_text, count_text, pages_text


def test_pages_are_counted_for_people() -> None:
    assert pages_text([]) == "no page"
    assert pages_text([4]) == "page 4"
    assert pages_text([1, 2]) == "pages 1 and 2"
    assert pages_text(range(1, 10)) == "9 pages (1 to 9)"
    assert pages_text([1, 3, 4, 5, 6, 7, 40]) == "7 pages (1, 3, 4 … 40)"
    assert bytes_text(1) == "1 byte"
    assert bytes_text(1500) == "1,500 bytes"
    assert (count_text(1, "page"), count_text(1204, "page")) == ("1 page", "1,204 pages")


def of(**payload: object) -> Facts:
    return Facts("n1", "a.db", 4, "writer (pid 1)", "n2", payload)


@pytest.mark.parametrize(
    ("value", "number"),
    [(7, 7), ("7", 7), (7.9, 7), ("seven", 0), (None, 0), (True, 0), ([7], 0), (float("inf"), 0)],
)
def test_a_number_is_one_or_0(value: object, number: int) -> None:
    assert of(size=value).number("size") == number
    assert of().number("size") == 0


def test_a_text_is_one_or_empty_and_a_flag_is_one_or_not() -> None:
    facts = of(a="x", b=7, c=None, d="True", e=1, f="false", g=0)
    assert [facts.text(key) for key in ("a", "b", "c", "none")] == ["x", "7", "", ""]
    assert [facts.flag(key) for key in ("d", "e", "f", "g", "none")] == [True, True, False, False, False]


@pytest.mark.parametrize(
    ("payload", "pgnos", "said"),
    [
        ({"pages": [2, 3]}, (2, 3), "pages 2 and 3"),
        ({"pages": []}, (), "no page"),
        ({"pages": [2, True, "x"]}, (2,), "page 2"),
        ({"pages": 5}, (), "5 pages"),
        ({"pgno": "7"}, (7,), "page 7"),
        ({}, (), "0 pages"),
    ],
)
def test_pages_are_named_or_counted(payload: dict[str, object], pgnos: tuple[int, ...], said: str) -> None:
    """Older nodes only count them."""
    assert (of(**payload).pgnos, of(**payload).pages) == (pgnos, said)


def test_who_did_it_begins_a_sentence() -> None:
    assert of().actor == "The writer (pid 1)"
    assert [Facts(who=who).actor for who in ("applier", "n1 itself", "")] == [
        "The applier",
        "n1 itself",
        "SQLite",
    ]


def test_where_it_happened() -> None:
    facts = of(path="/d/dbs/a.db/journal", offset=512, length=1032)
    assert (facts.file, facts.place) == ("journal", "1,032 bytes at offset 512")
    assert (of(path="wal").file, of().file) == ("wal", "")
