"""What a mount needs of the machine, each missing piece with the one command that brings it.

The rule: nothing is installed here, and the package `fuse` is never named on Debian: it takes `fuse3`
away, on which other programs build.
"""

import errno
import os
import shlex
import shutil
import subprocess
from ctypes.util import find_library
from pathlib import Path

from pylitefs.errors import MountError

FUSE_DEVICE = Path("/dev/fuse")
FUSE_CONF = Path("/etc/fuse.conf")
OS_RELEASE = Path("/etc/os-release")

_IN_DOCKER = "docker run --device /dev/fuse --cap-add SYS_ADMIN …"


def check(*, allow_other: bool = False) -> None:
    """Raise MountError, with one command, for the first thing that is missing; else return."""
    _check_programs()
    _check_device()
    if allow_other and os.geteuid() != 0 and not _user_allow_other():
        raise MountError(
            f"fuse.allow-other is set, and {FUSE_CONF} does not let ordinary users do that. "
            f"Fix: echo user_allow_other | sudo tee -a {FUSE_CONF}"
        )


def _check_programs() -> None:
    """libfuse 2, and for ordinary users `fusermount` (root's libfuse mounts by itself)."""
    missing = []
    if not (os.environ.get("FUSE_LIBRARY_PATH") or find_library("fuse")):
        missing.append("libfuse 2 (libfuse.so.2)")
    fusermount, fusermount3 = shutil.which("fusermount"), shutil.which("fusermount3")
    if os.geteuid() != 0 and not fusermount:
        if fusermount3 and not missing:
            link = Path(fusermount3).with_name("fusermount")
            raise MountError(
                f"libfuse 2 calls `fusermount`, and only {fusermount3} is there. "
                f"Fix: {_as_root(f'ln -s {shlex.quote(fusermount3)} {shlex.quote(str(link))}')}"
            )
        if not fusermount3:
            missing.append("fusermount")
    if missing:
        raise MountError(f"not installed: {' and '.join(missing)}. Fix: {_as_root(install_command())}")


def _check_device() -> None:
    try:
        os.close(os.open(FUSE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        raise MountError(f"{FUSE_DEVICE} is not there. Fix: {_device_command()}") from None
    except PermissionError as error:
        if error.errno == errno.EPERM or os.geteuid() == 0:
            raise MountError(f"this container may not open {FUSE_DEVICE}. Fix: {_IN_DOCKER}") from None
        fix = _as_root(f"chmod a+rw {FUSE_DEVICE}")
        raise MountError(f"this user may not open {FUSE_DEVICE}. Fix: {fix}") from None
    except OSError as error:
        raise MountError(f"{FUSE_DEVICE}: {error.strerror}. Fix: {_device_command()}") from None


def _device_command() -> str:
    if Path("/.dockerenv").exists() or not shutil.which("modprobe"):
        return _IN_DOCKER
    return _as_root("modprobe fuse")


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"


def _user_allow_other() -> bool:
    try:
        lines = FUSE_CONF.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.strip() == "user_allow_other" for line in lines)


def install_command() -> str:
    """The package manager's command for `fusermount` and libfuse 2, without sudo."""
    facts = _os_release()
    family = {facts.get("ID", ""), *facts.get("ID_LIKE", "").split()}
    if family & {"debian", "ubuntu"}:
        return f"apt-get install -y fuse3 {_debian_libfuse(facts)}"
    if family & {"fedora", "rhel", "centos"}:
        return "dnf install -y fuse3 fuse-libs"
    if "alpine" in family:
        return "apk add fuse fuse3"
    if "arch" in family:
        return "pacman -S --needed fuse2 fuse3"
    if family & {"suse", "opensuse"}:
        return "zypper install -y fuse3 libfuse2"
    return "apt-get install -y fuse3 libfuse2"


def _debian_libfuse(facts: dict[str, str]) -> str:
    """`libfuse2`, or `libfuse2t64` as it is called since the 64-bit time of Debian 13 and Ubuntu 24.04."""
    first = {"debian": 13.0, "ubuntu": 24.04}.get(facts.get("ID", ""))
    try:
        if first is not None:
            return "libfuse2t64" if float(facts["VERSION_ID"]) >= first else "libfuse2"
    except (KeyError, ValueError):
        pass
    if shutil.which("apt-cache"):
        known = subprocess.run(["apt-cache", "show", "libfuse2t64"], capture_output=True, check=False)
        return "libfuse2t64" if known.returncode == 0 else "libfuse2"
    return "libfuse2"


def _os_release() -> dict[str, str]:
    try:
        lines = OS_RELEASE.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
