"""The programs that a test may start: those of a bare Debian, and those that demo/setup.sh installs.

The client libraries' own tests, which run with --full alone, start what their languages need.

The rule: a test that starts another one fails on every machine, also on one that has it. So the tests pass
where nobody has installed anything by hand.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

#: Every Debian has them: bash, coreutils, mount, util-linux.
BARE = {
    "bash",
    "cat",
    "cp",
    "false",
    "mount",
    "mv",
    "nice",
    "nsenter",
    "prlimit",
    "rm",
    "setpriv",
    "sh",
    "stat",
    "tar",
    "touch",
    "umount",
    "unshare",
}
#: What demo/setup.sh installs, and the variable that leaves it out.
INSTALLED = {
    "sqlite3": None,
    "fusermount": "PYLITEFS_NO_FUSE",
    "nginx": "PYLITEFS_NO_NGINX",
    "chromium": "PYLITEFS_NO_BROWSER",
}
#: What `tests/run --docker` needs, and says how to get.
DOCKER = {"chroot", "debootstrap", "docker", "dockerd", "node", "npm"}
#: What the rows of docs/clients.md need with --full; a row whose language is missing fails, and names it.
CLIENTS = {"apt-get", "cargo", "go", "java", "mvn", "node", "npm", "perl", "php", "ruby"}
#: Hosts need it and the right to make network namespaces; tests/cluster/test_hosts.py says what is missing.
HOSTS = {"ip"}

_ROOT = Path(__file__).resolve().parent.parent
_OURS = tuple(f"{_ROOT / folder}{os.sep}" for folder in ("demo", "pylitefs", "tests"))
_SYSTEM = ("", "/bin", "/sbin", "/usr/bin", "/usr/sbin")
_PYTHON = re.compile(r"python[\d.]*")


def refuse_others(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook. What Python's own modules and other packages start is theirs to find.

    A path of our own, such as demo/up, is no program of the system's.
    """
    if event != "subprocess.Popen":
        return
    folder, name = os.path.split(os.fsdecode(arguments[0]))  # type: ignore[arg-type]
    known = BARE | INSTALLED.keys() | DOCKER | CLIENTS | HOSTS
    if folder not in _SYSTEM or _PYTHON.fullmatch(name) or name in known:
        return
    caller = sys._getframe(1)
    while caller.f_back and caller.f_code.co_filename == subprocess.__file__:
        caller = caller.f_back
    if caller.f_code.co_filename.startswith(_OURS):
        raise RuntimeError(
            f"a bare machine lacks {name}: use Python, or name it in demo/setup.sh and tests/programs.py"
        )
