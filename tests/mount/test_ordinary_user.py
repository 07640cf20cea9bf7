"""An ordinary user mounts through fusermount, without any right of root's."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Mounted
from tests.mount.nobody import NOBODY, nobody_s_home

pytestmark = [
    pytest.mark.fuse,
    pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user every test here is this one"),
]


@pytest.fixture
def nobody() -> Iterator[tuple[Path, tuple[str, ...]]]:
    with nobody_s_home() as made:
        yield made


@pytest.fixture
def mounted(nobody: tuple[Path, tuple[str, ...]], locks: str) -> Iterator[Mounted]:
    home, python = nobody
    flags = ("--observed-locks",) if locks == "observed" else ()
    one = Mounted(home / "data", home / "mnt", *flags, command=python)
    yield one
    one.end()


def test_an_ordinary_user_mounts_writes_and_unmounts(
    mounted: Mounted, nobody: tuple[Path, tuple[str, ...]]
) -> None:
    _home, python = nobody
    mounted.ask("start")
    code = (
        "import os, sqlite3, sys; os.chdir(sys.argv[1]); db = sqlite3.connect('a.db');"
        "db.execute('PRAGMA journal_mode=wal'); db.execute('CREATE TABLE t (x)'); db.close();"
        "print(open('a.db-pos').read(), os.stat('a.db').st_uid)"
    )

    def inside(*arguments: str | Path) -> str:
        command = [*python, "-c", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    position, owner = inside(code, mounted.dir).split()
    assert position.startswith("0000000000000002/")
    assert int(owner) == NOBODY
    stopped = mounted.ask("stop")
    assert isinstance(stopped["seconds"], float)
    assert stopped["seconds"] < 1.0
    assert str(mounted.dir) not in inside("print(open('/proc/self/mountinfo').read())")


def test_allow_other_is_refused_with_the_command_that_permits_it(
    nobody: tuple[Path, tuple[str, ...]],
) -> None:
    if "\nuser_allow_other" in Path("/etc/fuse.conf").read_text():
        pytest.skip("this machine permits it")
    home, python = nobody
    mounted = Mounted(home / "data", home / "mnt", "--allow-other", command=python)
    try:
        mounted.send("start")
        answer = mounted.answer()
        assert answer["ok"] is False
        assert "echo user_allow_other | sudo tee -a /etc/fuse.conf" in str(answer["error"])
    finally:
        mounted.end()
