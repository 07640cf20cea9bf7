"""docs/glossary.md as it is read: its parts, their words, and what the lecture's page has of it.

    python -m tests.glossary        writes pylitefs/lecture/show/page/terms.js anew

The rule: the docs are the one place where a word is explained; the page has a copy that a test compares.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pylitefs.lecture.language import lesson
from pylitefs.lecture.language.lesson import Lesson

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "glossary.md"
TERMS = ROOT / "pylitefs" / "lecture" / "show" / "page" / "terms.js"
_ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| `(.+?)` \|$", re.MULTILINE)
_HEAD = """// Words and what they mean: those of docs/glossary.md that the lessons use.
// The rule: what is explained is explained there, and copied here by `python -m tests.glossary`.
"""


@dataclass(frozen=True)
class Word:
    """One line of the glossary."""

    part: str
    word: str
    means: str
    lesson: str
    """A lesson's name; "" for a word that no lesson uses."""
    module: str


@cache
def words() -> tuple[Word, ...]:
    found: list[Word] = []
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        for word, means, where, module in _ROW.findall(part):
            name = "" if where == "–" else where.strip("`")
            found.append(Word(part.partition("\n")[0], word, means, name, module))
    return tuple(found)


def prose(found: Lesson) -> str:
    """What a class reads of a lesson: prose, questions, notes; links as their words."""
    told = [one.prose_markdown for one in found.sections] + [one.text for one in found.steps]
    headings = [one.heading for one in found.sections]
    text = " ".join("\n".join([found.title, found.summary, *headings, *told]).split())
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def is_used(word: str, text: str) -> bool:
    """Whether the word is in the text, also as a plural; a word in capitals only so."""
    flags = 0 if word.isupper() else re.IGNORECASE
    return re.search(rf"(?<![\w-]){re.escape(word)}(?:e?s)?(?![\w-])", text, flags) is not None


def shown() -> Iterator[Word]:
    """The words that the page explains: those that some lesson uses."""
    return (one for one in words() if one.lesson)


def script() -> str:
    """terms.js, as it has to be."""
    lines = [f"  [{_js(one.word)}, {_js(one.means.replace('`', ''))}]," for one in shown()]
    return "\n".join([_HEAD + "export const TERMS = [", *lines, "];", ""])


def _js(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def lessons() -> tuple[Lesson, ...]:
    return tuple(lesson.load(name) for name in lesson.names())


if __name__ == "__main__":
    TERMS.write_text(script())
