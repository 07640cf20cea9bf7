"""An ordinary user mounts through fusermount, without any right of root's."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import ROOT, Mounted

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user every test here is this one"),
]

NOBODY = 65534
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]

#: In a mount namespace of its own: a /dev/fuse for everyone, and Python and the package where nobody may
#: go (their folders may lie in /root), then the command as nobody.
IN_NAMESPACE = """
set -e
box=$1; shift
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
exec "$@"
"""


def namespace_command(box: Path) -> tuple[str, ...]:
    """The command that runs what follows it as nobody, in a namespace where that can work."""
    needed = {str(Path(path).resolve()) for path in (sys.base_prefix, sys.prefix, ROOT)}
    closed = {f"/{Path(path).parts[1]}" for path in needed}
    closed = {path for path in closed if not os.stat(path).st_mode & 0o001}
    inside = [shlex.quote(path) for path in sorted(needed) if f"/{Path(path).parts[1]}" in closed]
    script = IN_NAMESPACE.format(needed=" ".join(inside), closed=" ".join(sorted(closed)))
    return "unshare", "-m", "sh", "-c", script, "sh", str(box), *AS_NOBODY, sys.executable


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that belongs to nobody (pytest's own are root's alone)."""
    path = Path(tempfile.mkdtemp(prefix="pylitefs-nobody-"))
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o755)
    (path / "box").mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def mounted(home: Path, locks: str) -> Iterator[Mounted]:
    flags = ("--observed-locks",) if locks == "observed" else ()
    one = Mounted(home / "data", home / "mnt", *flags, command=namespace_command(home / "box"))
    yield one
    one.end()


def test_an_ordinary_user_mounts_writes_and_unmounts(mounted: Mounted) -> None:
    mounted.ask("start")
    code = (
        "import os, sqlite3, sys; os.chdir(sys.argv[1]); db = sqlite3.connect('a.db');"
        "db.execute('PRAGMA journal_mode=wal'); db.execute('CREATE TABLE t (x)'); db.close();"
        "print(open('a.db-pos').read(), os.stat('a.db').st_uid)"
    )
    inside = ["nsenter", "-t", str(mounted.process.pid), "-m", "--", *AS_NOBODY]
    done = subprocess.run(
        [*inside, sys.executable, "-c", code, mounted.dir], capture_output=True, text=True, check=True
    )
    position, owner = done.stdout.split()
    assert position.startswith("0000000000000002/")
    assert int(owner) == NOBODY
    stopped = mounted.ask("stop")
    assert isinstance(stopped["seconds"], float)
    assert stopped["seconds"] < 1.0
    mounts = [*inside, "cat", "/proc/self/mountinfo"]
    assert str(mounted.dir) not in subprocess.run(mounts, capture_output=True, text=True, check=True).stdout


def test_allow_other_is_refused_with_the_command_that_permits_it(home: Path) -> None:
    if "\nuser_allow_other" in Path("/etc/fuse.conf").read_text():
        pytest.skip("this machine permits it")
    mounted = Mounted(home / "data", home / "mnt", "--allow-other", command=namespace_command(home / "box"))
    try:
        mounted.send("start")
        answer = mounted.answer()
        assert answer["ok"] is False
        assert "echo user_allow_other | sudo tee -a /etc/fuse.conf" in str(answer["error"])
    finally:
        mounted.end()
