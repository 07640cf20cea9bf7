"""The other program is found, and doubted, before anything is mounted."""

from pathlib import Path

import pytest

from pylitefs.compare import programs
from pylitefs.compare.programs import ProgramError


def says(folder: Path, text: str, name: str = "litefs") -> Path:
    """A program that prints this, whatever it is asked."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{text}'\n")
    path.chmod(0o755)
    return path


def test_a_real_litefs_is_told_by_its_version(tmp_path: Path) -> None:
    program = programs.find(says(tmp_path, "LiteFS v0.5.14, commit=abc"))
    assert (program.name, program.version, program.is_pylitefs) == ("LiteFS", "0.5.14", False)
    assert program.mount_command(Path("x.yml"), Path("mnt"))[-3:] == ["mount", "-config", "x.yml"]


def test_another_pylitefs_may_be_named(tmp_path: Path) -> None:
    program = programs.find(says(tmp_path, "pylitefs 9.9 (LiteFS 0.5 formats), Python 3"))
    assert (program.version, program.is_pylitefs) == ("9.9", True)
    assert program.mount_command(Path("x.yml"), Path("mnt"))[-1] == "--until-eof"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("LiteFS v0.4.0, commit=abc", "is LiteFS 0.4.0"),
        ("LiteFS v0.6.1", "is LiteFS 0.6.1"),
        ("LiteFS development build", "does not say which version"),
        ("hello", "is not LiteFS: to `version` it says .hello."),
        ("", "is not LiteFS"),
    ],
)
def test_any_other_program_is_refused_with_what_it_said(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ProgramError, match=complaint) as raised:
        programs.find(says(tmp_path, text))
    assert programs.RELEASES in str(raised.value)


def test_a_program_that_is_not_there_or_cannot_be_run(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="is not there"):
        programs.find(tmp_path / "nobody")
    (tmp_path / "text").write_text("no program")
    with pytest.raises(ProgramError, match="cannot be run"):
        programs.find(tmp_path / "text")


def test_the_path_is_searched_and_a_link_to_pylitefs_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = says(tmp_path / "a", "pylitefs 0.1.0 (LiteFS 0.5 formats), Python 3")
    monkeypatch.setenv("PATH", str(linked.parent))
    with pytest.raises(ProgramError) as raised:
        programs.find(None)
    assert len(str(raised.value).splitlines()) == 2, "two lines say where to get it"
    assert programs.RELEASES in str(raised.value)
    real = says(tmp_path / "b", "LiteFS v0.5.14, commit=abc")
    monkeypatch.setenv("PATH", f"{linked.parent}:{real.parent}")
    assert programs.find(None).command == (str(real),)
