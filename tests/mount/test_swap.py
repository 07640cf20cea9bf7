"""A directory made beside takes the other's place in one step, or nothing is left beside."""

from pathlib import Path

import pytest

from pylitefs.errors import MountError
from pylitefs.mount.swap import Swap


@pytest.fixture
def mount_dir(tmp_path: Path) -> Path:
    """The bare directory, closed."""
    path = tmp_path / "mnt"
    path.mkdir(mode=0o555)
    return path


def begun(mount_dir: Path) -> Swap:
    swap = Swap(mount_dir)
    if not swap.begin(0o750):
        pytest.skip("this user can make no mount namespace here")
    return swap


def test_what_was_made_beside_is_there_afterwards_under_the_name(mount_dir: Path) -> None:
    """The same directory (a mount on it would come along), and nothing beside any more."""
    swap = begun(mount_dir)
    made = swap.beside.stat()
    assert made.st_mode & 0o777 == 0o750 and made.st_ino != mount_dir.stat().st_ino
    swap.finish()
    assert mount_dir.stat().st_ino == made.st_ino and not swap.beside.exists()
    swap.cancel()
    assert mount_dir.exists()


def test_a_directory_that_is_not_empty_keeps_its_place(mount_dir: Path) -> None:
    swap = begun(mount_dir)
    (mount_dir / "a.db").touch()
    with pytest.raises(MountError, match=r"the new mount cannot take its place: .*; is it empty\?"):
        swap.finish()
    swap.cancel()
    assert (mount_dir / "a.db").exists() and not swap.beside.exists()


def test_cancelled_nothing_is_left_beside(mount_dir: Path) -> None:
    swap = begun(mount_dir)
    swap.cancel()
    swap.cancel()
    assert not swap.beside.exists() and mount_dir.exists()


def test_what_a_killed_node_left_beside_is_taken_away_first(mount_dir: Path) -> None:
    Swap(mount_dir).beside.mkdir()
    begun(mount_dir).cancel()
    assert not Swap(mount_dir).beside.exists()


def test_where_nothing_can_be_made_beside_there_is_no_swap(tmp_path: Path) -> None:
    swap = Swap(tmp_path / "nobody" / "mnt")
    assert not swap.begin(0o755)
