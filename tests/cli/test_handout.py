"""`pylitefs handout`, as it is typed."""

import zipfile
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.lecture import recording


def test_handout_packs_recordings(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["handout", str(tmp_path / "out.zip"), str(recorded)]) == 0
    assert "made-up.html" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert len(archive.namelist()) == 3


@pytest.mark.usefixtures("with_packaged")
def test_handout_without_names_packs_the_packaged(tmp_path: Path) -> None:
    assert run(["handout", str(tmp_path / "out.zip")]) == 0


def test_handout_without_any_recording_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recording, "_packaged_folder", lambda: tmp_path)
    assert run(["handout", str(tmp_path / "out.zip")]) == 1
    assert "name some that `pylitefs lecture --record` made" in capsys.readouterr().err
    assert not (tmp_path / "out.zip").exists()
