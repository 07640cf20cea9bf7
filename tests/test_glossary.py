"""docs/glossary.md: in order, true of lessons and modules, complete, and what the page explains."""

import re

import pytest

from pylitefs.lecture.language import lesson
from pylitefs.sqlite.locks import LOCK_NAMES
from tests import glossary
from tests.glossary import ROOT, Word

PARTS = ("SQLite's", "LiteFS's", "Ours")
MOST_CHARS = 140
"""Of a sentence: it stands beside a word, too."""


def test_each_part_is_in_order_and_each_word_is_there_once() -> None:
    assert tuple(dict.fromkeys(one.part for one in glossary.words())) == PARTS
    for part in PARTS:
        names = [one.word.strip("`").lower() for one in glossary.words() if one.part == part]
        assert len(names) > 20
        assert names == sorted(set(names))


@pytest.mark.parametrize("word", glossary.words(), ids=lambda one: one.word)
def test_a_word_is_explained_and_where_it_leads_is_there(word: Word) -> None:
    """One sentence, a module that exists, and a lesson that uses the word."""
    assert len(word.means) <= MOST_CHARS
    assert not word.means.endswith(".")
    assert (ROOT / "pylitefs" / word.module).is_file(), word.module
    if word.lesson:
        assert glossary.is_used(word.word, glossary.prose(lesson.load(word.lesson))), word.lesson
    elif word.part != "Ours":
        used = [one.name for one in glossary.lessons() if glossary.is_used(word.word, glossary.prose(one))]
        assert not used, f"the lessons {used} use it: name one"


def test_what_lessons_use_as_a_term_is_there() -> None:
    """Every lock that a client can hold, every field that is a checksum, and what the lessons are about."""
    known = {one.word.lower() for one in glossary.words()}
    locks = {name for name in LOCK_NAMES.values() if not re.search(r"\d", name)} - {"CKPT", "RECOVER"}
    assert {name.lower() for name in locks} <= known
    links = {link for one in glossary.lessons() for section in one.sections for link in LOOKED(section.html)}
    fields = {link.split("/")[2] for link in links if link.count("/") >= 2}
    for field in fields & {"pre-apply", "post-apply", "file-checksum", "nonce", "record-count"}:
        assert any(word.replace(" ", "-").startswith(field) for word in known), field


def LOOKED(html: str) -> list[str]:
    return re.findall(r'href="look:([^"]+)"', html)


def test_words_that_the_docs_link_to_are_there() -> None:
    """`[its term](glossary.md#ours)` leads to a part, and the word in brackets is one of it."""
    known = {one.word.lower() for one in glossary.words()}
    found = 0
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for word, anchor in re.findall(r"\[([^\]]+)\]\((?:docs/)?glossary\.md#([^)]+)\)", page.read_text()):
            assert anchor in {"sqlites", "litefss", "ours"}, page.name
            assert word.strip("`*").lower() in known, f"{page.name}: {word}"
            found += 1
    assert found


def test_there_is_one_glossary() -> None:
    assert "## Words of ours" not in (ROOT / "docs" / "architecture.md").read_text()


def test_the_page_explains_the_same_words() -> None:
    """Made anew with `python -m tests.glossary`."""
    assert glossary.TERMS.read_text() == glossary.script()
