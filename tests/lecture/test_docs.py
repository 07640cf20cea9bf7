"""docs/lessons.md and docs/teaching.md: the example runs, every lesson is in the plan, the lines hold."""

import re
import shlex
from pathlib import Path

import click
import pytest

from pylitefs.cli.main import cli
from pylitefs.lecture.language import goals, lesson, level
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.live import level_session
from pylitefs.lecture.live.session import run_headless

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "pylitefs" / "lecture" / "show" / "page"
LESSONS = (ROOT / "docs" / "lessons.md").read_text()
TEACHING = (ROOT / "docs" / "teaching.md").read_text()
EXAMPLES = re.findall(r"^````markdown\n(.*?)^````$", LESSONS, re.MULTILINE | re.DOTALL)
"""Of a lesson, and of a level."""
DOCKERFILE = (ROOT / "demo" / "lecture.Dockerfile").read_text()


@pytest.mark.fuse
def test_the_example_in_the_page_is_a_lesson_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example, _ = EXAMPLES
    found = lesson.read("example", example)
    assert run_headless(found, lambda entry, dumps: None, tmp_path) == 0, capsys.readouterr().err


@pytest.mark.fuse
@pytest.mark.full
def test_the_example_of_a_level_is_solved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not in each run: tests/lecture/live/test_level_session.py plays one much like it."""
    _, example = EXAMPLES
    found = level.read("example", example)
    assert level_session.run_headless(found, lambda entry, dumps: None, tmp_path) == 0, (
        capsys.readouterr().err
    )


def test_what_a_goal_can_say_is_in_the_page_as_in_the_language() -> None:
    """And the example has what is said; the levels that teaching.md names are all there are."""
    said = LESSONS.partition("the goal can say:")[2].partition("A level that is to come")[0]
    assert re.findall(r"^- `(.*)`: (.*)$", said, re.MULTILINE) == [
        (form.usage, form.help) for form in goals.FORMS.values()
    ]
    assert level.read("example", EXAMPLES[1]).fewest == 1
    named = TEACHING.partition("### Levels")[2].partition("###")[0]
    assert tuple(re.findall(r"`([a-z-]+)`", named)) == level.names()


def test_the_plan_names_every_lesson_in_order() -> None:
    table = TEACHING.partition("## The lessons")[2].partition("## Fifty minutes")[0]
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == lesson.names()


def test_the_fifty_minutes_are_fifty_at_most() -> None:
    plan = TEACHING.partition("## Fifty minutes")[2].partition("###")[0]
    begins = [int(minute) for minute in re.findall(r"^\| (\d+) \|", plan, re.MULTILINE)]
    assert begins == sorted(set(begins))
    assert begins[0] == 0
    assert begins[-1] < 50


def test_lessons_and_headings_that_the_pages_name_exist() -> None:
    for page in (LESSONS, TEACHING):
        for name in re.findall(r"\(`([a-z-]+)`\)", page):
            assert name in lesson.names()
    headings = {one.heading for name in lesson.names() for one in lesson.load(name).sections}
    for heading in re.findall(r"up to “([^”]+)”", TEACHING):
        assert heading in headings


def lecture_lines() -> list[str]:
    """What is typed on other systems, and cannot be run here."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", TEACHING, re.MULTILINE | re.DOTALL)
    return [line for language, block in blocks if not language for line in block.splitlines()]


def test_the_lines_for_a_container_are_those_of_the_dockerfile() -> None:
    joined = re.sub(r" \\\n# +", " ", DOCKERFILE)
    docker = [line for line in lecture_lines() if line.startswith("docker ")]
    assert len(docker) == 3
    for line in docker:
        assert line in joined


def test_the_lines_for_other_systems_have_options_that_exist() -> None:
    """Behind `demo/lecture` and the image stands `pylitefs lecture`; its arguments are parsed as there."""
    lecture = cli.get_command(click.Context(cli), "lecture")
    assert lecture is not None
    found = 0
    for line in lecture_lines():
        program, _, rest = line.rpartition("demo/lecture ")
        if "pylitefs-lecture " in line and "docker run" in line:
            program, _, rest = line.rpartition("pylitefs-lecture ")
        if not program and not line.startswith("demo/lecture"):
            continue
        context = lecture.make_context("lecture", shlex.split(rest))
        assert context.params["lesson"] in lesson.names()
        found += 1
    assert found == 3


def test_what_a_clicker_does_is_what_the_page_gives_it() -> None:
    """Its two keys go through the lesson; the rest has keys that no clicker has, and the page says so."""
    keys = (PAGE / "keys.js").read_text()
    assert re.search(r'STEP_KEYS = \{ PageDown: "next", PageUp: "back" \}', keys)
    assert "Everything can be done with a clicker" not in TEACHING
    assert "(PageDown: next, PageUp: back), and Next answers an open question" in " ".join(TEACHING.split())


def test_the_paths_are_where_the_page_has_them() -> None:
    """Behind a button, at every size (tests/lecture/show/test_page_sizes.py looks)."""
    assert '"copy path"' in (PAGE / "nodes.js").read_text()
    for page in (TEACHING, DOCKERFILE):
        assert "mount paths are on the page" not in page
        assert "mount paths that the page shows" not in page
        assert "not in large type" not in page


def test_what_a_wrong_lesson_does_is_told_of_each_way_to_run_it() -> None:
    """`--headless` ends, and Next goes on."""
    assert "stops here" not in LESSONS
    assert all("stops here" not in one.help for one in VERBS.values())
    assert "In the page and in the terminal it is told in red, and Next goes on." in " ".join(LESSONS.split())
