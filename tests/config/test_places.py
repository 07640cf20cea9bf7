"""Where a path leads, and that nobody asks the mount for it."""

import os
from pathlib import Path

import pytest

from pylitefs.config.load import check_mountable, load_config
from pylitefs.config.places import beside, real_path


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are looked at: with a stopped node behind the mount, each look would be the last."""
    found: list[str] = []
    for name in ("stat", "lstat"):
        original = getattr(os, name)

        def look(path: object, *args: object, original: object = original, **options: object) -> object:
            found.append(os.fspath(path) if isinstance(path, str | Path) else "")
            return original(path, *args, **options)  # type: ignore[operator]

        monkeypatch.setattr(os, name, look)
    return found


def test_links_are_followed_and_the_mount_is_not_asked(tmp_path: Path, looked: list[str]) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mnt")
    assert real_path(tmp_path / "link") == real_path(tmp_path / "mnt") == tmp_path / "mnt"
    assert beside(tmp_path / "link", tmp_path / "data") == (tmp_path / "mnt", tmp_path / "data")
    inside = tmp_path / "mnt" / "data"
    assert beside(tmp_path / "mnt", inside) == (tmp_path / "mnt", inside)
    assert not [path for path in looked if path.startswith(str(tmp_path / "mnt"))]


def test_a_config_is_judged_without_asking_the_mount(tmp_path: Path, looked: list[str]) -> None:
    """A start over the mount of a stopped node, and the doctor, would hang beyond kill -9."""
    mount = tmp_path / "mnt"
    mount.mkdir()
    path = tmp_path / "litefs.yml"
    path.write_text(
        f"fuse: {{dir: {mount}}}\ndata: {{dir: {tmp_path}/data}}\nlease: {{type: static}}\n"
        f"backup: {{type: file, path: {tmp_path}/backup}}"
    )
    assert check_mountable(load_config(path)) == []
    assert not [one for one in looked if one.startswith(str(mount))]
