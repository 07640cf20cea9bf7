"""A recording, and recordings as if they were packaged."""

from pathlib import Path

import pytest

from pylitefs.lecture import recording
from pylitefs.lecture.recording import Writer
from tests.lecture.sample_run import HEAD, JOURNAL, entries


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    with Writer(path, HEAD) as writer:
        for entry in entries():
            writer.emit(entry, [JOURNAL] if entry.dumps else [])
    return path


@pytest.fixture
def with_packaged(tmp_path: Path, recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `commit` had a recording, and no other lesson."""
    folder = tmp_path / "packaged"
    folder.mkdir()
    (folder / f"commit{recording.SUFFIX}").write_bytes(recorded.read_bytes())
    monkeypatch.setattr(recording, "_packaged_folder", lambda: folder)
