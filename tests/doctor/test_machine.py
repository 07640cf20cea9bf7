"""The machine: FUSE, descriptors, dead mounts."""

import resource
from pathlib import Path

import pytest

from pylitefs.doctor import machine
from pylitefs.errors import MountError
from pylitefs.mount import mountinfo, requirements
from pylitefs.mount.mountinfo import Mount
from tests.doctor.found import fine, noted, wrong


def test_what_a_mount_lacks_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a node running that is another user's matter."""

    def check(*, allow_other: bool) -> None:
        raise MountError("/dev/fuse is not there. Fix: sudo modprobe fuse")

    monkeypatch.setattr(requirements, "check", check)
    assert "sudo modprobe fuse" in wrong(machine.fuse(allow_other=False, running=False))
    assert "its node runs" in noted(machine.fuse(allow_other=False, running=True))
    monkeypatch.setattr(requirements, "check", lambda *, allow_other: None)
    assert "/dev/fuse opens" in fine(machine.fuse(allow_other=True, running=False))


def test_how_many_files_may_be_open(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    assert "ulimit -Hn 4096" in wrong(machine.descriptors(256, nowhere))
    assert "1,024" in noted(machine.descriptors(1024, nowhere))
    assert "4,096" in fine(machine.descriptors(4096, nowhere))
    assert fine(machine.descriptors(resource.RLIM_INFINITY, nowhere))
    (tmp_path / "nr").write_text("950\t0\t1000\n")
    full = list(machine.descriptors(5000, tmp_path / "nr"))[1]
    assert full.is_wrong and "sysctl fs.file-max=2000" in full.text


def test_a_mount_whose_node_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two programs alone; its own node's start mends it."""
    mounts = [
        Mount(str(tmp_path / "own"), "fuse", "pylitefs", 1),
        Mount(str(tmp_path / "other"), "fuse.litefs", "litefs", 2),
        Mount(str(tmp_path / "alive"), "fuse", "pylitefs", 3),
        Mount(str(tmp_path / "sshfs"), "fuse.sshfs", "host:", 4),
    ]
    monkeypatch.setattr(mountinfo, "every", lambda: mounts)
    monkeypatch.setattr(mountinfo, "answers", lambda path: path.name == "alive")
    other, own = machine.dead_mounts(tmp_path / "own")
    assert own.is_wrong and "start the node, which takes it away" in own.text
    assert not other.is_wrong and f"umount -l {tmp_path}/other" in other.text
    monkeypatch.setattr(mountinfo, "answers", lambda path: True)
    assert "no node has left" in fine(machine.dead_mounts(None))
