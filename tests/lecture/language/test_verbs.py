"""Every command has its line of help, in the language and in the documentation alike."""

import re
from pathlib import Path

from pylitefs.lecture.language.commands import EXPECTATIONS
from pylitefs.lecture.language.goals import FORMS
from pylitefs.lecture.language.verbs import VERBS, slots

PAGE = Path(__file__).resolve().parents[3] / "docs" / "lessons.md"


def test_the_page_documents_every_command_with_its_help() -> None:
    text = PAGE.read_text()
    for one in (*VERBS.values(), *EXPECTATIONS.values(), *FORMS.values()):
        assert f"- `{one.usage}`: {one.help}" in text


def test_the_page_documents_no_other_command() -> None:
    known = {one.usage for one in (*VERBS.values(), *EXPECTATIONS.values(), *FORMS.values())}
    assert set(re.findall(r"^- `([^`]+)`: ", PAGE.read_text(), re.MULTILINE)) == known


def test_a_usage_begins_with_its_verb() -> None:
    for verb, line in VERBS.items():
        assert line.usage.split()[0] == verb and line.help


def test_a_usage_says_what_can_stand_at_each_place() -> None:
    """For who completes a line; docs and grammar know nothing of it."""
    assert slots("restart NODE [as primary|replica [of NODE]]") == [
        ["NODE"],
        ["as"],
        ["primary", "replica"],
        ["of"],
        ["NODE"],
    ]
    assert slots("sql NODE[/SHELL] STATEMENT…") == [["NODE"], []]
    assert slots(VERBS["pause"].usage) == [["NAME", "without"]]
    assert slots(VERBS["ltx"].usage)[1][:3] == ["history", "diff", "undo"]
    assert slots("run") == []
