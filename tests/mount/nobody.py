"""An ordinary user for tests that root runs: a folder, and a mount namespace in which FUSE is open to all."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.mount.conftest import ROOT

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

#: In a mount namespace of its own: a /dev/fuse for everyone, and Python and the package where nobody may
#: go (their folders may lie in /root). It lasts until its standard input ends.
IN_NAMESPACE = """
set -e
box=$1
mount -t tmpfs -o mode=755 box "$box"
mknod "$box/fuse" c 10 229; chmod 666 "$box/fuse"
mount --bind "$box/fuse" /dev/fuse
number=0
for needed in {needed}; do
    number=$((number + 1)); mkdir "$box/$number"; mount --rbind "$needed" "$box/$number"
done
for closed in {closed}; do mount -t tmpfs -o mode=755 closed "$closed"; done
number=0
for needed in {needed}; do
    number=$((number + 1)); mkdir -p "$needed"; mount --rbind "$box/$number" "$needed"
done
echo up
exec cat
"""


@contextmanager
def nobody_s_home() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """A folder of nobody's (pytest's own are root's alone), and the command for Python as nobody.

    It always runs in the same namespace. Root keeps that one: a container's root may enter none of nobody's.
    """
    home = Path(tempfile.mkdtemp(prefix="pylitefs-nobody-"))
    os.chown(home, NOBODY, NOBODY)
    home.chmod(0o755)
    (home / "box").mkdir()
    command = ["unshare", "-m", "sh", "-c", _script(), "sh", str(home / "box")]
    keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "up\n"
        yield home, ("nsenter", "-t", str(keeper.pid), "-m", "--", *AS_NOBODY, sys.executable)
    finally:
        keeper.kill()
        keeper.communicate()
        shutil.rmtree(home)


def _script() -> str:
    needed = {str(Path(path).resolve()) for path in (sys.base_prefix, sys.prefix, ROOT)}
    closed = {f"/{Path(path).parts[1]}" for path in needed}
    closed = {path for path in closed if not os.stat(path).st_mode & 0o001}
    inside = [shlex.quote(path) for path in sorted(needed) if f"/{Path(path).parts[1]}" in closed]
    return IN_NAMESPACE.format(needed=" ".join(inside), closed=" ".join(sorted(closed)))
