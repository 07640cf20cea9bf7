"""Every command has its line of help, in the language and in the documentation alike."""

import re
from pathlib import Path

from pylitefs.lecture.language.commands import EXPECTATIONS
from pylitefs.lecture.language.verbs import VERBS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "lessons.md"


def test_the_page_documents_every_command_with_its_help() -> None:
    text = PAGE.read_text()
    for one in (*VERBS.values(), *EXPECTATIONS.values()):
        assert f"- `{one.usage}`: {one.help}" in text


def test_the_page_documents_no_other_command() -> None:
    known = {one.usage for one in (*VERBS.values(), *EXPECTATIONS.values())}
    assert set(re.findall(r"^- `([^`]+)`: ", PAGE.read_text(), re.MULTILINE)) == known


def test_a_usage_begins_with_its_verb() -> None:
    for verb, line in VERBS.items():
        assert line.usage.split()[0] == verb and line.help
