"""A lesson's run on real nodes: its folder, and what is printed of each step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pylitefs.cli import lecture_live
from pylitefs.cli.lecture_live import Outcomes, folder, headless
from pylitefs.errors import LessonError
from pylitefs.lecture.language import lesson as lessons
from pylitefs.lecture.language.lesson import Lesson
from pylitefs.lecture.model import Entry

Output = pytest.CaptureFixture[str]
TEXT = "# Three\n\nSteps.\n\n## Begin\n\nProse.\n\n```lesson\ncluster\nrun\nnote the end\n```\n"


@pytest.fixture
def lesson() -> Lesson:
    return lessons.read("three", TEXT, "three.md")


def entry(step: int) -> Entry:
    return Entry(0, 0, "command", step=step)


def said(capsys: Output) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]


def test_a_folder_is_fresh_and_gone_afterwards(tmp_path: Path) -> None:
    named = tmp_path / "a" / "b"
    with folder(named) as base:
        assert base == named and named.is_dir()
        (base / "file").write_text("x")
    assert not named.exists()
    with folder(None) as base:
        assert base.is_dir() and base.name.startswith("pylitefs-lecture-")
    assert not base.exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for directory in (tmp_path, tmp_path / "mine"):
        with pytest.raises(LessonError, match="--dir"), folder(directory):
            raise AssertionError("it was taken")
    assert (tmp_path / "mine").read_text() == "x"


def test_a_folder_in_which_something_is_mounted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """To remove it would be to remove the databases through the mount."""
    monkeypatch.setattr(lecture_live, "is_mounted", lambda path: path.name == "mnt")
    with folder(tmp_path / "new") as base:
        (base / "n1" / "mnt").mkdir(parents=True)
        (base / "n1" / "mnt" / "a.db").write_text("x")
    assert (base / "n1" / "mnt" / "a.db").exists()
    assert f"still mounted, so {base} stays" in capsys.readouterr().err


def test_a_step_is_told_once_something_of_a_later_one_follows(lesson: Lesson, capsys: Output) -> None:
    outcomes = Outcomes(lesson)
    outcomes.emit(entry(-1))
    outcomes.emit(entry(0))
    assert said(capsys) == []
    outcomes.emit(entry(1))
    outcomes.emit(entry(1))
    assert said(capsys) == [["ok", "1", "cluster"]]
    outcomes.end(True)
    assert said(capsys) == [["ok", "2", "run"], ["ok", "3", "note the end"]]


@pytest.mark.parametrize(("seen", "lines"), [(-1, []), (1, [["ok", "1", "cluster"], ["FAILED", "2", "run"]])])
def test_a_run_that_failed_did_so_at_the_last_step_that_was_seen(
    lesson: Lesson, capsys: Output, seen: int, lines: list[list[str]]
) -> None:
    outcomes = Outcomes(lesson)
    outcomes.emit(entry(seen))
    outcomes.end(False)
    assert said(capsys) == lines


@pytest.mark.parametrize("failing", [set(), {"two"}])
def test_headless_runs_all_and_its_code_says_whether_one_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, failing: set[str]
) -> None:
    ran: list[tuple[str, Path]] = []

    def run(lesson: Lesson, emit: Any, base: Path) -> int:
        ran.append((lesson.name, base))
        emit(entry(0), ())
        return int(lesson.name in failing)

    monkeypatch.setattr(lecture_live, "run_headless", run)
    monkeypatch.setattr("pylitefs.cli.lecture_live.requirements.check", lambda: None)
    chosen: Sequence[Lesson] = [lessons.read(name, TEXT, name) for name in ("one", "two", "three")]
    record = tmp_path / "records"
    assert headless(chosen, tmp_path, record, all_lessons=True) == bool(failing)
    assert ran == [(name, tmp_path / name) for name in ("one", "two", "three")]
    assert len(list(record.iterdir())) == 3
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == ("2 of 3 lessons hold; broken: two" if failing else "3 of 3 lessons hold")
