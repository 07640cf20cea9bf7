"""A demo's folder is one's own: nobody else's file is written, removed or believed."""

import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylitefs.cli.main import run
from pylitefs.cluster import own_folder
from pylitefs.cluster.own_folder import FolderError, check, claimed, demos, fresh

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
NOBODY = 65534


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory that everyone may write to, as /tmp is; no runtime directory."""
    path = Path(tempfile.mkdtemp(prefix="pylitefs-shared-"))
    path.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.chdir(path)
    yield path
    shutil.rmtree(path)


def as_nobody(program: str, *arguments: Path) -> None:
    """Run a program as another user."""
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "sh", "-c", program, "sh"]
    subprocess.run([*user, *map(str, arguments)], check=True, timeout=30)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_the_user_s_alone(shared: Path) -> None:
    """With a name that cannot be guessed, or the one that was given."""
    one, other, named = fresh(), fresh(), claimed(shared / "a" / "b")
    assert one != other and one.parent == shared
    assert [mode(path) for path in (one, other, named)] == [0o700] * 3


def test_the_runtime_directory_is_taken_if_it_is_the_user_s_own(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where others may enter it, nor a symlink to it."""
    runtime = shared / "run"
    runtime.mkdir(0o700)
    (shared / "link").symlink_to(runtime)
    for place, parent in ((runtime, runtime), (shared / "link", shared), (shared / "none", shared)):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
        assert fresh().parent == parent
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    runtime.chmod(0o755)
    assert fresh().parent == shared


@as_root
def test_another_user_s_symlink_is_refused_by_name(shared: Path) -> None:
    """What it leads to stays, and nothing is written through it."""
    theirs = shared / "thesis"
    (theirs / "n1").mkdir(parents=True)
    (theirs / "n1" / "litefs.yml").write_text("precious")
    trap = shared / "pylitefs-demo"
    as_nobody('ln -s "$1" "$2"', theirs, trap)
    with pytest.raises(FolderError, match=f"{trap} is a symlink"):
        claimed(trap)
    assert run(["demo", "--dir", str(trap)]) == 1
    assert [path.name for path in theirs.rglob("*")] == ["n1", "litefs.yml"]
    assert (theirs / "n1" / "litefs.yml").read_text() == "precious"


@as_root
def test_another_user_s_folder_is_refused_by_name(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trap = shared / "pylitefs-demo"
    as_nobody('mkdir "$1"', trap)
    for arguments in (["demo"], ["lecture", "ltx-file", "--headless"]):
        assert run([*arguments, "--dir", str(trap)]) == 1
        assert f"{trap} belongs to another user (uid {NOBODY})" in capsys.readouterr().err
    assert list(trap.iterdir()) == []


@pytest.mark.parametrize(
    "name", [".lock", "cluster.json", "n1", "n1/litefs.yml", "n1/log", "n1/data", "n1/mnt"]
)
def test_a_symlink_in_the_folder_is_refused_by_name(
    shared: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the days when others could write there."""
    base, target = shared / "base", shared / "target"
    (base / "n1").mkdir(parents=True)
    target.mkdir()
    if name == "n1":
        (base / "n1").rmdir()
    elif name != "n1/litefs.yml":
        (base / "n1" / "litefs.yml").write_text("")
    (base / name).symlink_to(target)
    assert run(["demo", "--dir", str(base)]) == 1
    assert f"{base / name} is a symlink" in capsys.readouterr().err
    assert list(target.iterdir()) == []


def test_a_folder_into_which_others_may_write_is_refused(shared: Path) -> None:
    (shared / "open").mkdir()
    (shared / "open").chmod(0o777)
    with pytest.raises(FolderError, match="chmod go-w"):
        claimed(shared / "open")


def demo_of(path: Path) -> None:
    """What a running demo leaves for `status`."""
    node = {"name": "n1", "url": "http://127.0.0.1:1", "mount": "", "data": ""}
    (path / "cluster.json").write_text(json.dumps({"pid": 1, "nodes": [node]}))
    (path / ".lock").touch()


@as_root
def test_status_finds_the_user_s_own_running_demos_alone(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not another user's, not a symlink to one, not one that has ended."""
    fake = shared / f"{own_folder.PREFIX}fake"
    fake.mkdir()
    demo_of(fake)
    for path in (fake, *fake.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    (shared / f"{own_folder.PREFIX}link").symlink_to(fake)
    mine = fresh()
    demo_of(mine)
    with (fake / ".lock").open() as theirs, (mine / ".lock").open() as lock:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        assert demos() == [], "nobody holds the lock of the user's own: it has ended"
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert demos() == [mine]
        assert run(["status"]) == 1
        assert "unreachable" in capsys.readouterr().out
    assert run(["status", "--dir", str(fake)]) == 1
    assert f"{fake} belongs to another user" in capsys.readouterr().err


def test_what_is_not_there_is_not_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check(tmp_path / "none")
