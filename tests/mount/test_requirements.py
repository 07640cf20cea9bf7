"""What is missing on a machine is said with one command that brings it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.errors import MountError
from pylitefs.mount import requirements

DEBIAN_12 = 'ID=debian\nVERSION_ID="12"\n'
DEBIAN_13 = 'ID=debian\nVERSION_ID="13"\n'
UBUNTU_22 = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n'
UBUNTU_24 = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n'
FEDORA = "ID=fedora\nVERSION_ID=42\n"


class Machine:
    """A machine of which everything is there until a test takes it away."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.programs = {"fusermount": "/usr/bin/fusermount", "fusermount3": "/usr/bin/fusermount3"}
        self.library: str | None = "libfuse.so.2"
        self.device = folder / "fuse"
        self.device.touch(mode=0o666)
        self.conf = folder / "fuse.conf"
        self.release = folder / "os-release"
        self.release.write_text(DEBIAN_12)
        patch.delenv("FUSE_LIBRARY_PATH", raising=False)
        patch.setattr(requirements, "FUSE_DEVICE", self.device)
        patch.setattr(requirements, "FUSE_CONF", self.conf)
        patch.setattr(requirements, "OS_RELEASE", self.release)
        patch.setattr("shutil.which", self.programs.get)
        patch.setattr(requirements, "find_library", lambda name: self.library)
        self.user(1000)

    def user(self, uid: int) -> None:
        self._patch.setattr(os, "geteuid", lambda: uid)

    def failing_open(self, error: OSError) -> None:
        def fail(*args: object) -> int:
            raise error

        self._patch.setattr(os, "open", fail)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def complaint(check: Callable[[], None] = requirements.check) -> str:
    with pytest.raises(MountError) as caught:
        check()
    return str(caught.value)


def test_a_whole_machine_passes(machine: Machine) -> None:
    requirements.check()


@pytest.mark.parametrize(
    ("release", "fix"),
    [
        (DEBIAN_12, "sudo apt-get install -y fuse3 libfuse2"),
        (DEBIAN_13, "sudo apt-get install -y fuse3 libfuse2t64"),
        (UBUNTU_22, "sudo apt-get install -y fuse3 libfuse2"),
        (UBUNTU_24, "sudo apt-get install -y fuse3 libfuse2t64"),
        (FEDORA, "sudo dnf install -y fuse3 fuse-libs"),
    ],
)
def test_a_bare_machine_gets_one_command(machine: Machine, release: str, fix: str) -> None:
    machine.release.write_text(release)
    machine.programs.clear()
    machine.library = None
    assert complaint() == f"not installed: libfuse 2 (libfuse.so.2) and fusermount. Fix: {fix}"


def test_the_package_that_displaces_fuse3_is_never_named(machine: Machine) -> None:
    machine.library = None
    assert " fuse " not in f"{complaint()} "


def test_root_needs_no_fusermount_and_no_sudo(machine: Machine) -> None:
    machine.user(0)
    machine.programs.clear()
    requirements.check()
    machine.library = None
    assert complaint() == "not installed: libfuse 2 (libfuse.so.2). Fix: apt-get install -y fuse3 libfuse2"


def test_a_missing_link_to_fusermount3_is_made(machine: Machine) -> None:
    del machine.programs["fusermount"]
    assert complaint().endswith("Fix: sudo ln -s /usr/bin/fusermount3 /usr/bin/fusermount")


def test_a_missing_device_is_loaded_or_passed_into_the_container(machine: Machine) -> None:
    machine.device.unlink()
    assert complaint().endswith("Fix: docker run --device /dev/fuse --cap-add SYS_ADMIN …")
    if not Path("/.dockerenv").exists():
        machine.programs["modprobe"] = "/sbin/modprobe"
        assert complaint().endswith("Fix: sudo modprobe fuse")


def test_a_device_that_may_not_be_opened(machine: Machine) -> None:
    machine.failing_open(PermissionError(13, "Permission denied"))
    assert complaint().endswith(f"Fix: sudo chmod a+rw {machine.device}")
    machine.failing_open(PermissionError(1, "Operation not permitted"))
    assert "this container may not open" in complaint()


def test_allow_other_needs_fuse_conf_for_ordinary_users(machine: Machine) -> None:
    machine.conf.write_text("#user_allow_other\n")
    said = complaint(lambda: requirements.check(allow_other=True))
    assert said.endswith(f"Fix: echo user_allow_other | sudo tee -a {machine.conf}")
    machine.conf.write_text("mount_max = 10\nuser_allow_other\n")
    requirements.check(allow_other=True)
    machine.conf.unlink()
    machine.user(0)
    requirements.check(allow_other=True)
