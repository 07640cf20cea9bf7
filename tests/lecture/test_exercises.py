"""docs/exercises.md and the course in docs/teaching.md: each solution holds, as it stands; the plan fits."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pylitefs.child_python import python_module
from pylitefs.lecture.language import lesson
from pylitefs.lecture.live.session import run_headless
from tests.lecture.committed import PAGE_SIZE, committed

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "exercises.md").read_text()
EXERCISES, _, SOLUTIONS = TEXT.partition("\n## Solutions\n")
TEACHING = (ROOT / "docs" / "teaching.md").read_text()
COURSE = TEACHING.partition("## A course of four lectures")[2].partition("\n## ")[0]
QUICK = 2
"""The solution that is run each time; the others take longer together than they should."""
MINUTES = 90


def solutions() -> dict[int, str]:
    found = re.findall(r"^### Solution (\d+)\n(.*?)(?=^### |\Z)", SOLUTIONS, re.MULTILINE | re.DOTALL)
    return {int(number): text for number, text in found}


def lessons_of(text: str) -> list[str]:
    return re.findall(r"^````markdown\n(.*?)^````$", text, re.MULTILINE | re.DOTALL)


WITH_LESSON = [number for number, text in solutions().items() if lessons_of(text)]


def run(text: str, folder: Path) -> int:
    return run_headless(lesson.read("solution", text), lambda entry, dumps: None, folder)


def test_each_exercise_has_its_solution() -> None:
    """In order, and each with something to hold it to: a lesson, a program, or figures."""
    numbers = [int(one) for one in re.findall(r"^(\d+)\. \*\*", EXERCISES, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1)) == list(solutions())
    assert len(numbers) >= 10
    assert {1, 2, 4, 5, 6, 8, 9, 10, 11} == set(WITH_LESSON)
    for number, text in solutions().items():
        assert number in WITH_LESSON or "```python" in text or re.search(r"\d+ s", text), number
        for one in lessons_of(text):
            assert lesson.read(str(number), one).steps


@pytest.mark.fuse
@pytest.mark.parametrize(
    "number",
    [pytest.param(one, marks=() if one == QUICK else pytest.mark.full) for one in WITH_LESSON],
)
def test_a_solution_holds_on_real_nodes(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in lessons_of(solutions()[number]):
        assert run(text, tmp_path) == 0, capsys.readouterr().err


@pytest.mark.fuse
@pytest.mark.full
@pytest.mark.timeout(300)
def test_before_becomes_after_where_the_table_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first solution's lesson, killed at each of its table's tracepoints."""
    [text] = lessons_of(solutions()[1])
    table = re.findall(r"^\| `([a-z.]+)` \| (\d+) \|$", solutions()[1], re.MULTILINE)
    assert len(table) == 8
    for name, cents in table:
        here = text.replace("run-to journal.invalidate", f"run-to {name}").replace("= 500\n", f"= {cents}\n")
        assert run(here, tmp_path / name) == 0, f"{name}: {capsys.readouterr().err}"


def test_the_sum_by_hand_is_the_position_s(tmp_path: Path) -> None:
    """What the program of the third solution computes is what `pylitefs ltx checksum` says, and what an
    LTX file promises."""
    [program] = re.findall(r"^```python\n(.*?)^```$", solutions()[3], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(program, names)
    file = tmp_path / "a.db"
    committed(
        file, ["PRAGMA page_size = 512", "CREATE TABLE t (x)", "INSERT INTO t VALUES (randomblob(3000))"]
    )
    said = subprocess.run(
        python_module("pylitefs", "ltx", "checksum", str(file)),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert names["checksum"](file.read_bytes(), PAGE_SIZE) in said.stdout


def test_the_course_is_four_times_ninety_minutes() -> None:
    """Minute by minute, in order, with lessons that exist, each once; and each exercise is given once."""
    lectures = re.split(r"^### ", COURSE, flags=re.MULTILINE)[1:]
    assert len(lectures) == 4
    shown: list[str] = []
    given: list[int] = []
    for lecture in lectures:
        begins = [int(minute) for minute in re.findall(r"^\| (\d+) \|", lecture, re.MULTILINE)]
        assert begins == sorted(set(begins))
        assert begins[0] == 0
        assert 75 <= begins[-1] < MINUTES
        rows = re.findall(r"^\| \d+ \| (.*?) \|", lecture, re.MULTILINE)
        told = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
        shown += sorted(told & set(lesson.names()))
        assert lecture.count("?") >= 5, "a lecture asks"
        for home in re.findall(r"exercises ([\d, and]+) for home", lecture):
            given += [int(one) for one in re.findall(r"\d+", home)]
    assert sorted(shown) == sorted(lesson.names())
    assert given == list(solutions())
