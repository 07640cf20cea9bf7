"""A mount made beside its directory, which then takes the directory's place in one step.

For an ordinary user after a crash: fusermount mounts only on a directory that may be written. So it mounts
on a new one beside, and that one is renamed over the bare directory, which stays closed all the time.

The rule: the rename is the kernel's one step. It is refused where the caller sees a mount on either name,
so a child does it, in a mount namespace that was made before the mount was and never hears of it. Where
users may make no namespaces, or the parent directory is not theirs, there is no swap.
"""

import contextlib
import subprocess
import sys
from pathlib import Path

from pylitefs.errors import MountError
from pylitefs.mount import mountinfo

_CHILD = """
import ctypes, os, sys
CLONE_NEWUSER, CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x10000000, 0x20000, 0x4000, 0x40000
libc = ctypes.CDLL(None)
if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
    sys.exit(1)
print("ready", flush=True)
if sys.stdin.readline():
    os.rename(sys.argv[1], sys.argv[2])
"""
_CHILD_S = 10.0


class Swap:
    """`begin()` before mounting on `beside`; `finish()` once it is up; `cancel()` at any time."""

    def __init__(self, mount_dir: Path) -> None:
        self._dir = mount_dir
        self.beside = mount_dir.with_name(f".{mount_dir.name}.pylitefs-new")
        self._child: subprocess.Popen[str] | None = None

    def begin(self, mode: int) -> bool:
        """Make the directory beside; False if this user cannot swap here."""
        self.cancel()
        try:
            self.beside.mkdir()
            self.beside.chmod(mode)
        except OSError:
            return False
        # -S: nothing of site-packages is needed, and the start takes half the time.
        command = [sys.executable, "-I", "-S", "-c", _CHILD, str(self.beside), str(self._dir)]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._child.stdout is not None
        if self._child.stdout.readline():
            return True
        self.cancel()
        return False

    def finish(self) -> None:
        """The new mount takes the directory's place. Raises MountError if it cannot."""
        assert self._child is not None
        try:
            _, complaint = self._child.communicate("rename\n", timeout=_CHILD_S)
        except subprocess.TimeoutExpired:
            complaint = f"no answer after {_CHILD_S:g} s"
        if self._child.returncode != 0:
            why = complaint.strip().rpartition("\n")[2]
            raise MountError(f"{self._dir}: the new mount cannot take its place: {why}; is it empty?")
        self._child = None

    def cancel(self) -> None:
        """Leave nothing beside: also not what a node left that was killed half-way."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None
        with contextlib.suppress(FileNotFoundError):
            if mountinfo.find(self.beside) is not None:
                program = ["fusermount", "-u", "-z", str(self.beside)]
                subprocess.run(program, capture_output=True, check=False)
            self.beside.rmdir()
