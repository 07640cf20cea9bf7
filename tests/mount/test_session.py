"""A mount's life: made, ended under load, taken over when dead, never taken from the living."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pylitefs.errors import MountError
from pylitefs.mount import mountinfo
from pylitefs.mount.session import prepare_mount_dir
from tests.mount.conftest import Client, Mounted, MountFactory, refusal, until
from tests.slack import slack

pytestmark = pytest.mark.fuse

BUSY = """
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
page = bytes(4096)
print("busy")
try:
    for turn in range(10**9):
        os.pwrite(fd, page, turn % 256 * 4096)
        os.path.exists(f"{sys.argv[1]}-journal{turn}")
except OSError as error:
    print("ended", error.errno)
sys.stdin.read()
"""


def test_the_directory_is_made_and_left_behind_empty(mount_factory: MountFactory, tmp_path: Path) -> None:
    mounted = mount_factory(mount_dir=tmp_path / "a" / "b")
    assert mountinfo.find(mounted.dir) is not None
    mounted.ask("stop")
    assert mountinfo.find(mounted.dir) is None
    assert os.listdir(tmp_path / "a" / "b") == []


def test_stop_ends_within_a_second_under_load_with_files_open(
    bare: Mounted, client: Callable[..., Client]
) -> None:
    clients = [client(BUSY, bare.dir / f"{number}.db") for number in range(4)]
    assert [one.line() for one in clients] == ["busy"] * 4
    stopped = bare.ask("stop")
    assert isinstance(stopped["seconds"], float)
    assert stopped["seconds"] < slack()
    assert stopped["handles"] == 0, "descriptors in the data directory are closed"
    assert mountinfo.find(bare.dir) is None
    for one in clients:
        said = one.line()
        assert said in (f"ended {errno.ENOTCONN}", f"ended {errno.ECONNABORTED}")


def test_a_broken_pipe_kills_no_process_whose_mount_has_ended(bare: Mounted) -> None:
    """Python ignores SIGPIPE from its start on; libfuse's end would not."""
    bare.ask("stop")
    text = Path(f"/proc/{bare.process.pid}/status").read_text()
    status = dict(line.split(":\t", 1) for line in text.splitlines())
    assert int(status["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1


def test_stopping_twice_is_stopping_once(bare: Mounted) -> None:
    bare.ask("stop")
    bare.ask("stop")


def test_a_held_callback_makes_stop_say_so_and_detach(bare: Mounted, client: Callable[..., Client]) -> None:
    bare.ask("hold", held=True)
    client(BUSY, bare.dir / "a.db")
    until(lambda: bare.counts().get("create", 0) == 1)
    bare.send("stop", timeout=0.3)
    answer = bare.answer()
    assert answer["ok"] is False
    assert "a client's call is still being served" in str(answer["error"])
    assert mountinfo.find(bare.dir) is None
    bare.ask("hold", held=False)


def test_a_dead_mount_is_taken_over_with_one_log_line(
    mount_factory: MountFactory, client: Callable[..., Client]
) -> None:
    first = mount_factory("--passthrough")
    holder = client(BUSY, first.dir / "a.db")
    assert holder.line() == "busy"
    first.kill()
    with refusal(errno.ENOTCONN):
        os.stat(first.dir)
    second = mount_factory("--passthrough", mount_dir=first.dir)
    assert (second.dir / ".lag").read_bytes() == b"+000000000\n"
    assert len([line for line in second.log if "taking over the dead mount" in line]) == 1


def test_a_second_node_on_a_living_mount_is_refused_by_name(mount_factory: MountFactory) -> None:
    first = mount_factory()
    second = mount_factory(name="second", mount_dir=first.dir, started=False)
    second.send("start")
    answer = second.answer()
    assert answer["ok"] is False
    holder = f"pylitefs (process {first.process.pid})"
    assert str(answer["error"]).startswith(f"{first.dir} is mounted already, by {holder}")
    assert (first.dir / ".lag").exists()


def test_a_stopped_node_still_counts_as_living(mount_factory: MountFactory) -> None:
    """A node that lies in SIGSTOP answers nothing, and asking must not hang either."""
    first = mount_factory()
    os.kill(first.process.pid, signal.SIGSTOP)
    try:
        assert mountinfo.answers(first.dir, timeout=0.3)
    finally:
        os.kill(first.process.pid, signal.SIGCONT)


def test_unmounting_from_outside_ends_the_session_and_says_so(bare: Mounted) -> None:
    subprocess.run(["fusermount", "-u", str(bare.dir)], check=True)
    assert bare.answer() == {"unmounted": True}
    bare.ask("stop")


def test_a_stop_is_no_unmounting_from_outside(bare: Mounted) -> None:
    assert "unmounted" not in bare.ask("stop")
    assert not bare.log


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MountError, match="File exists"):
        prepare_mount_dir(tmp_path / "file")


def test_odd_names_are_found_in_mountinfo(mount_factory: MountFactory, tmp_path: Path) -> None:
    mounted = mount_factory(mount_dir=tmp_path / "a b\tc\\d")
    found = mountinfo.find(mounted.dir)
    assert found is not None
    assert (found.source, found.fstype) == ("pylitefs", "fuse.pylitefs")


def test_a_mount_is_found_through_a_symbolic_link(mount_factory: MountFactory, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    mounted = mount_factory(mount_dir=tmp_path / "link")
    assert mountinfo.find(tmp_path / "real") == mountinfo.find(tmp_path / "link") is not None
    mounted.kill()
    assert mountinfo.find(tmp_path / "link") is not None


def test_the_node_has_no_file_on_its_own_mount_and_dev_fuse_is_not_inherited(mount: Mounted) -> None:
    fds = Path(f"/proc/{mount.process.pid}/fd")
    targets = {fd.name: os.readlink(fd) for fd in fds.iterdir()}
    assert not [target for target in targets.values() if target.startswith(str(mount.dir))]
    (device,) = (fd for fd, target in targets.items() if target == "/dev/fuse")
    flags = int((fds.parent / "fdinfo" / device).read_text().split("flags:")[1].split()[0], 8)
    assert flags & os.O_CLOEXEC
