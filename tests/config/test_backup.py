"""The keys of the backup: a folder of its own, or refused by name."""

from pathlib import Path

import pytest

from pylitefs.config.backup import backup_path, refused_type, warnings, wrong_path
from pylitefs.config.model import BackupConfig, Config, DataConfig, FuseConfig


def config(kind: str, path: str = "", folder: Path = Path("/srv")) -> Config:
    return Config(
        backup=BackupConfig(type=kind, path=path),
        data=DataConfig(dir=folder / "data"),
        fuse=FuseConfig(dir=folder / "mnt"),
    )


def test_a_path_is_taken_against_the_folder_one_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in LiteFS."""
    monkeypatch.chdir(tmp_path)
    assert backup_path(config("file", "b")) == tmp_path / "b"
    assert backup_path(config("")) is None


def test_a_type_that_is_not_there_is_refused_by_name() -> None:
    assert refused_type(config("")) == refused_type(config("file", "/b")) == ""
    assert "ended in October 2024: write file" in refused_type(config("litefs-cloud"))
    assert "'s3' is no type of backup" in refused_type(config("s3"))


@pytest.mark.parametrize("path", ["data", "data/b", "mnt", "mnt/b", "."])
def test_it_lies_apart_from_data_and_mount(tmp_path: Path, path: str) -> None:
    """Or the node would back its backup up, or wait for its own mount."""
    assert "lie one in the other" in wrong_path(config("file", str(tmp_path / path), tmp_path))
    assert wrong_path(config("file", str(tmp_path / "backup"), tmp_path)) == ""
    assert "required with backup.type: file" in wrong_path(config("file"))
    assert wrong_path(config("")) == ""


def test_the_environment_s_token_is_ignored_with_a_warning() -> None:
    (line,) = warnings(config(""), {"LITEFS_CLOUD_TOKEN": "x"})
    assert line.startswith("LITEFS_CLOUD_TOKEN is set and ignored")
    assert warnings(config("file", "/b"), {"LITEFS_CLOUD_TOKEN": "x"}) == warnings(config(""), {}) == []
