"""A level's file: read into its opening, its goal, hints and solution, or refused with line and remedy."""

from pathlib import Path

import pytest

from pylitefs.errors import LessonError
from pylitefs.lecture.language import commands as c
from pylitefs.lecture.language import lesson, level
from tests.lecture.level_sample import LEVEL

LINES = LEVEL.splitlines()


def test_a_level_is_all_of_its_file() -> None:
    found = level.read("two-rows", LEVEL, "two-rows.md")
    assert (found.name, found.title, found.fewest) == ("two-rows", "Two rows", 1)
    assert [step.command.verb for step in found.opening.steps] == ["cluster", "sql", "sql", "expect"]
    assert [one.heading for one in found.opening.sections] == ["The scene", "The goal"]
    assert found.opening.sections[-1].html == "<p>Insert a row, in <strong>one</strong> transaction.</p>"
    assert found.hints == ("It is SQL, with `INSERT`, as above.", "The table is `t`.")
    assert [(move.line, move.text, move.counts) for move in found.solution] == [
        (LINES.index("sql n1 INSERT INTO t VALUES (2)") + 1, "sql n1 INSERT INTO t VALUES (2)", True),
        (LINES.index("expect n1 done") + 1, "expect n1 done", False),
    ]
    assert isinstance(found.solution[0].command, c.Sql)
    assert found.why == "A row is a row."


@pytest.mark.parametrize(
    ("old", "new", "at", "wrong"),
    [
        ("```goal\n", "```gaol\n", "```gaol", "there is no ```goal block"),
        ("```hints\n", "```text\n", "A row is a row.", "there is no ```hints block"),
        ("## Hints\n", "", "```hints", "stands under no heading of its own"),
        ("```hints\n", "Think.\n```hints\n", "Think.", "stands before the hints"),
        ("at most 2 commands\n", "", "```goal", "“at most” is missing"),
        ("at most 2", "at most two", "at most two", "'two' is no number of commands"),
        ("expect n1 past 2\n", "expect n1 passed 2\n", "expect n1 passed", "'passed' cannot be expected"),
        ("- The table is `t`.\n", "", "```hints", "1 hints: write at least 2"),
        ("  as above.", "as above.", "as above.", "a hint begins with `- `"),
        ("sql n1 INSERT INTO t VALUES (2)", "sq n1 INS", "sq n1 INS", "there is no command 'sq'"),
        ("sql n1 INSERT INTO t VALUES (2)", "restart n1", "restart n1", "restart is not to be given"),
        ("expect n1 done\n", "run\nrun\n", "```solution", "the solution has 3 commands, and 2 are given"),
        ("A row is a row.", "```solution\nrun\n```", "", "a second ```solution block"),
        ("cluster replicas 0\n", "", "sql n1 CREATE", "the first command is `cluster`"),
        ("# Two rows\n", "", "", "“# Title”"),
    ],
)
def test_what_is_missing_is_named_with_its_line(old: str, new: str, at: str, wrong: str) -> None:
    assert old in LEVEL
    text = LEVEL.replace(old, new, 1)
    with pytest.raises(LessonError) as raised:
        level.read("two-rows", text, "two-rows.md")
    line = next(number for number, one in enumerate(text.splitlines(), start=1) if one.startswith(at))
    assert f"two-rows.md, line {line if at else ''}" in str(raised.value)
    assert wrong in str(raised.value)


def test_a_goal_without_an_expectation_asks_for_nothing() -> None:
    text = LEVEL[: LEVEL.index("expect n1 past")] + LEVEL[LEVEL.index("```\n\n## Hints") :]
    with pytest.raises(LessonError, match="say what is to be reached"):
        level.read("x", text)


def test_a_file_with_a_goal_is_a_level(tmp_path: Path) -> None:
    (tmp_path / "07-two-rows.md").write_text(LEVEL)
    (tmp_path / "plain.md").write_text("# A lesson\n")
    assert level.is_level(str(tmp_path / "07-two-rows.md"))
    assert level.load(str(tmp_path / "07-two-rows.md")).name == "two-rows"
    assert not level.is_level(str(tmp_path / "plain.md"))
    assert not level.is_level(str(tmp_path / "none.md"))
    assert level.is_level("lost") and not level.is_level("commit")


def test_the_packaged_levels_have_names_of_their_own() -> None:
    """`pylitefs lecture NAME` means one thing."""
    assert len(level.names()) == 12
    assert not set(level.names()) & set(lesson.names())
    assert level.following(level.names()[0]) == level.names()[1]
    assert level.following(level.names()[-1]) == level.following("mine") == ""
    with pytest.raises(LessonError, match="there is no level 'lots'; there is: lost"):
        level.load("lots")
