"""What is mounted where, read from the kernel's list; and whether it answers, asked by a child."""

import os
import subprocess
from pathlib import Path

import pytest

from pylitefs.mount import mountinfo
from pylitefs.mount.mountinfo import GUARD, Mount

LINES = r"""
22 1 0:21 / /proc rw - proc proc rw
40 22 0:51 / /srv/my\040node/mnt ro - tmpfs pylitefs-guard ro
41 40 0:52 / /srv/my\040node/mnt rw,nosuid shared:9 master:2 - fuse.pylitefs pylitefs rw,user_id=0
42 22 8:1 /sub /srv/other rw - ext4 /dev/sda1 rw
""".strip()


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's list."""
    path = tmp_path / "mountinfo"
    path.write_text(f"{LINES}\n")
    real = open

    def opened(file: object, *arguments: object, **options: object) -> object:
        return real(path if file == "/proc/self/mountinfo" else file, *arguments, **options)  # type: ignore

    monkeypatch.setattr("builtins.open", opened)


@pytest.mark.usefixtures("listed")
def test_mounts_on_one_directory_are_a_stack_and_the_topmost_counts() -> None:
    """Names with spaces are escaped in the list, and optional fields may stand in between."""
    place = Path("/srv/my node/mnt")
    guard, mount = mountinfo.stack(place)
    assert (guard.is_guard, guard.is_fuse, guard.source) == (True, False, GUARD)
    assert mount == Mount(str(place), "fuse.pylitefs", "pylitefs", 52) == mountinfo.find(place)
    assert mount.is_fuse and not mount.is_guard


@pytest.mark.usefixtures("listed")
def test_what_lies_in_a_mount_or_around_it_is_not_mounted_itself() -> None:
    for place in ("/srv", "/srv/my node", "/srv/my node/mnt/x", "/srv/othe"):
        assert mountinfo.find(Path(place)) is None and mountinfo.stack(Path(place)) == []


def test_a_link_is_followed_without_asking_the_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that leads elsewhere again, and one that leads to itself."""
    real = tmp_path / "real" / "mnt"
    real.mkdir(parents=True)
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to(real)
    (tmp_path / "folder").symlink_to(real.parent)
    (tmp_path / "loop").symlink_to("loop")
    looked: list[object] = []
    stat = os.stat

    def told(path: object, *arguments: object, **options: object) -> object:
        looked.append(path)
        return stat(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", told)
    for name in ("one", "two", "folder/mnt"):
        assert mountinfo.real_path(tmp_path / name) == real
    mountinfo.real_path(tmp_path / "loop")
    assert not [path for path in looked if str(path).endswith("mnt")]


def test_a_directory_answers_and_a_dead_mount_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mountinfo.answers(tmp_path)
    assert mountinfo.answers(tmp_path / "nobody"), "there is nothing, which is no dead mount"
    for said, alive in (("Transport endpoint is not connected", False), ("Permission denied", True)):
        program = tmp_path / "stat"
        program.write_text(f"#!/bin/sh\necho \"stat: cannot statx 'x': {said}\" >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert mountinfo.answers(tmp_path) == alive


def test_one_that_is_silent_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held, and so somebody serves it; the child that asks is left behind."""
    program = tmp_path / "stat"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def kept(*arguments: object, **options: object) -> "subprocess.Popen[str]":
        asked.append(popen(*arguments, **options))  # type: ignore
        return asked[0]

    monkeypatch.setattr(subprocess, "Popen", kept)
    try:
        assert mountinfo.answers(tmp_path, 0.05)
        assert asked[0].poll() is None
    finally:
        for one in asked:
            one.kill()
            one.communicate()


def test_who_serves_is_named_as_far_as_the_kernel_tells() -> None:
    assert Mount("/x", "fuse", "pylitefs", 999_999).holder() == "pylitefs"
