"""What is mounted where, and whether it lives, found out without touching the mount.

The rule: nothing here may hang. A call into a FUSE mount whose process is stopped or held at a gate
waits beyond `kill -9`, so it is made by a child that is left behind if need be.
Format: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitefs.config import places

real_path = places.real_path
_ESCAPE = re.compile(r"\\([0-7]{3})")
NODES = ("pylitefs", "litefs")
"""The sources of our nodes' mounts, and of LiteFS's."""
GUARD = "pylitefs-guard"
"""The source of a guard, the read-only tmpfs beneath a mount; see bare_directory.py."""
_DEAD = ("Transport endpoint is not connected", "Software caused connection abort")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo. `minor` is a FUSE connection's number in the kernel."""

    mount_dir: str
    fstype: str
    source: str
    minor: int

    @property
    def is_fuse(self) -> bool:
        return self.fstype == "fuse" or self.fstype.startswith("fuse.")

    @property
    def is_guard(self) -> bool:
        return self.fstype == "tmpfs" and self.source == GUARD

    def holder(self) -> str:
        """Who serves this mount, for people: its name, and the process where the kernel tells it."""
        pids = list(_processes_of(self.minor))
        which = f" (process {', '.join(map(str, pids))})" if pids else ""
        return f"{self.source}{which}"


def find(mount_dir: Path) -> Mount | None:
    """The topmost mount on `mount_dir` itself, None if nothing is mounted there."""
    mounts = stack(mount_dir)
    return mounts[-1] if mounts else None


def stack(mount_dir: Path) -> list[Mount]:
    """Every mount on `mount_dir` itself, the topmost last."""
    wanted = str(real_path(mount_dir))
    return [mount for mount in every() if mount.mount_dir == wanted]


def every() -> list[Mount]:
    """All mounts that this process sees, in the order in which they were made."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return [_parse(line) for line in lines]


def _parse(line: str) -> Mount:
    fields, _, tail = line.partition(" - ")
    fstype, source, *_ = tail.split(" ")
    _, _, device, _, mount_dir, *_ = fields.split(" ")
    return Mount(_unescape(mount_dir), fstype, _unescape(source), int(device.partition(":")[2]))


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def answers(mount_dir: Path, timeout: float = 2.0) -> bool:
    """Whether someone serves the mount; one that is silent for `timeout` seconds counts as served."""
    probe = subprocess.Popen(
        ["stat", "--", str(mount_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        _, complaint = probe.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return True
    return not any(reason in complaint for reason in _DEAD)


def _processes_of(minor: int) -> Iterator[int]:
    """Processes that hold /dev/fuse for this connection, as far as this user may look (Linux 6.12 on)."""
    for fdinfo in Path("/proc").glob("[0-9]*/fdinfo"):
        pid = fdinfo.parent.name
        try:
            for fd in os.listdir(fdinfo):
                if os.readlink(f"/proc/{pid}/fd/{fd}") != "/dev/fuse":
                    continue
                match = re.search(r"^fuse_connection:\s*(\d+)$", (fdinfo / fd).read_text(), re.MULTILINE)
                if match and int(match[1]) == minor:
                    yield int(pid)
                    break
        except OSError:
            continue
