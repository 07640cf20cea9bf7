"""What is written while a node comes back never goes to the bare directory beneath the mount."""

import contextlib
import errno
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pylitefs.cluster.cluster import Cluster, ClusterError
from pylitefs.errors import MountError
from pylitefs.mount import mountinfo
from pylitefs.mount.bare_directory import hidden_names
from pylitefs.mount.session import prepare_mount_dir
from tests import forked
from tests.forked import Program
from tests.mount.conftest import Mounted, MountFactory, until
from tests.mount.nobody import NOBODY, nobody_s_home

pytestmark = pytest.mark.fuse

WRITER = Path(__file__).with_name("beside_writer.py")
ROUNDS = 8


@contextlib.contextmanager
def retrying(database: Path, acknowledged: Path, python: Sequence[str] = ()) -> Iterator[None]:
    """An application that inserts and tries again, until the end of the block."""
    process: subprocess.Popen[bytes] | Program
    if python:
        process = subprocess.Popen([*python, WRITER, database, acknowledged])
    else:
        process = forked.python(WRITER, database, acknowledged)
    # What it calls into the mount cannot be interrupted while the mount's process lives.
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def numbers(acknowledged: Path) -> set[int]:
    return set(map(int, acknowledged.read_text().split())) if acknowledged.exists() else set()


def rows(database: Path) -> set[int]:
    with contextlib.closing(sqlite3.connect(database, timeout=5)) as db:
        return {number for (number,) in db.execute("SELECT number FROM t")}


def test_an_application_that_retries_never_writes_beside_the_mount(
    mount_factory: MountFactory, tmp_path: Path
) -> None:
    """The node is killed with -9 and started again: every acknowledged row is in the node's database."""
    acknowledged = tmp_path / "acknowledged"
    mounted = mount_factory()
    with retrying(mounted.dir / "app.db", acknowledged):
        for _ in range(ROUNDS):
            before = len(numbers(acknowledged))
            until(lambda before=before: len(numbers(acknowledged)) > before + 2)  # type: ignore[misc]
            mounted.kill()
            mounted = mount_factory()  # refused on a directory that is not empty
        before = len(numbers(acknowledged))
        until(lambda: len(numbers(acknowledged)) > before)
    assert numbers(acknowledged) <= rows(mounted.dir / "app.db")
    mounted.ask("stop")
    assert os.listdir(mounted.dir) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user the tests with root's mount are this one")
def test_an_ordinary_user_s_application_never_writes_beside_the_mount() -> None:
    """Without a guard: the closed directory is replaced by the new mount, and it opens at a clean end."""
    with nobody_s_home() as (home, python):
        mount, acknowledged = home / "mnt", home / "acknowledged"
        processes = [Mounted(home / "data", mount, command=python)]
        try:
            processes[-1].ask("start")
            with retrying(mount / "app.db", acknowledged, python):
                for _ in range(ROUNDS):
                    before = len(numbers(acknowledged))
                    until(lambda before=before: len(numbers(acknowledged)) > before + 2)  # type: ignore[misc]
                    processes[-1].kill()
                    processes.append(Mounted(home / "data", mount, command=python))
                    processes[-1].ask("start")
                before = len(numbers(acknowledged))
                until(lambda: len(numbers(acknowledged)) > before)
            code = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT number FROM t'))"
            done = subprocess.run(
                [*python, "-c", code, mount / "app.db"], capture_output=True, text=True, check=True
            )
            assert numbers(acknowledged) <= set(map(int, re.findall(r"\d+", done.stdout)))
            processes[-1].ask("stop")
            assert os.listdir(mount) == []
            assert mount.stat().st_mode & 0o777 == 0o755
            assert sorted(path.name for path in home.iterdir()) == ["acknowledged", "box", "data", "mnt"]
        finally:
            for process in processes:
                process.kill()


def test_the_bare_directory_is_shut_at_every_moment_after_a_crash(
    mount_factory: MountFactory,
) -> None:
    """A loop that makes files with names no node allows as a database never succeeds in making one."""
    mounted = mount_factory()
    mounted.kill()
    made: list[str] = []
    ended = threading.Event()

    def make_folders() -> None:
        while not ended.is_set():  # the mount refuses every mkdir, a bare directory none
            with contextlib.suppress(OSError):
                os.mkdir(mounted.dir / "folder")
                made.append("folder")

    maker = threading.Thread(target=make_folders)
    maker.start()
    try:
        for _ in range(3):
            mounted = mount_factory()
            mounted.kill()
    finally:
        ended.set()
        maker.join(10)
    assert made == []


def test_a_clean_end_opens_the_directory_again(mount_factory: MountFactory) -> None:
    """Also when a crash came before: nothing stays mounted, and the mode is what it was."""
    mounted = mount_factory()
    mode = 0o755
    mounted.kill()
    mounted = mount_factory()
    mounted.ask("stop")
    assert mountinfo.stack(mounted.dir) == []
    assert mounted.dir.stat().st_mode & 0o777 == mode
    (mounted.dir / "file").touch()
    shutil.rmtree(mounted.dir)


def test_a_dead_mount_without_a_guard_is_taken_over(mount_factory: MountFactory) -> None:
    """A node of an older version left it: the guard goes over it, and both are gone after a clean end."""
    mounted = mount_factory()
    mounted.kill()
    while (mount := mountinfo.find(mounted.dir)) is not None:
        subprocess.run(["umount", "-l", mounted.dir], check=True)
    options = "fd={},rootmode=40000,user_id=0,group_id=0"
    with open("/dev/fuse", "r+b", buffering=0) as device:
        subprocess.run(
            ["mount", "-i", "-t", "fuse", "-o", options.format(device.fileno()), "pylitefs", mounted.dir],
            check=True,
            pass_fds=[device.fileno()],
        )
    mount = mountinfo.find(mounted.dir)
    assert mount is not None
    assert not mountinfo.answers(mounted.dir)
    again = mount_factory()
    assert [mount.is_guard for mount in mountinfo.stack(mounted.dir)] == [False, True, False]
    again.ask("stop")
    assert mountinfo.stack(mounted.dir) == []


def test_what_is_detached_from_outside_leaves_a_closed_directory(mount_factory: MountFactory) -> None:
    """A dead mount stays removable by hand, and then the name is closed until the guard goes too."""
    mounted = mount_factory()
    mounted.kill()
    subprocess.run(["fusermount", "-u", mounted.dir], check=True)
    with pytest.raises(OSError, match="Read-only"):
        (mounted.dir / "app.db").touch()
    subprocess.run(["umount", mounted.dir], check=True)
    (mounted.dir / "app.db").touch()


def test_a_failed_start_after_a_crash_leaves_it_closed(tmp_path: Path) -> None:
    """The API's port is taken: the mount goes again, the guard stays, and the next start goes on from it."""
    with Cluster(tmp_path, replicas=0) as cluster:
        (node,) = cluster
        node.kill9()
        port = int(node.url.rpartition(":")[2])
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
            with pytest.raises(ClusterError, match="ended with exit code"):
                node.start()
                node.wait_ready(10)
            until(lambda: node.process is None or node.process.poll() is not None)
            mount = mountinfo.find(node.mount)
            assert mount is not None
            assert mount.is_guard
            with pytest.raises(OSError, match="Read-only"):
                (node.mount / "app.db").touch()
    assert mountinfo.stack(node.mount) == []


def test_a_database_in_the_bare_directory_is_told_with_the_remedy(tmp_path: Path) -> None:
    """From before: its name, its size, when it was written, what belongs to it, and how to bring it back."""
    db = sqlite3.connect(tmp_path / "app.db")
    db.execute("PRAGMA journal_mode = wal")
    db.execute("CREATE TABLE t (x)")
    db.commit()
    (tmp_path / "a.txt").touch()
    with pytest.raises(MountError) as caught:
        prepare_mount_dir(tmp_path)
    message = str(caught.value)
    assert re.search(
        r"is not empty: in the bare directory lies app\.db \(a SQLite database of \d pages, "
        r"written at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, with app\.db-wal, app\.db-shm\)",
        message,
    )
    assert "pylitefs import -name app.db FILE" in message
    assert "\n" not in message
    db.close()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("app.db", b"SQLite format 3\0 and no more", "a damaged SQLite database of 28 bytes"),
        ("anything", b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(20), "a SQLite journal of 28 bytes"),
        ("anything", b"\x37\x7f\x06\x82" + bytes(28), "a SQLite WAL of 32 bytes"),
        ("app.db-journal", bytes(512), "512 bytes under the name of a journal or a WAL"),
    ],
)
def test_what_is_left_of_a_database_is_refused_too(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    """A journal, a WAL, a database that ends early: each may be what somebody still needs."""
    (tmp_path / "app.db").touch()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        MountError, match=re.escape(f"in the bare directory lies {name} ({told}, written at ")
    ):
        prepare_mount_dir(tmp_path)


def test_of_what_belongs_together_the_database_is_told(tmp_path: Path) -> None:
    """Once: its journal is named with it."""
    (tmp_path / "app.db").write_bytes(b"SQLite format 3\0")
    (tmp_path / "app.db-journal").write_bytes(bytes(512))
    with pytest.raises(MountError) as caught:
        hidden_names(tmp_path)
    assert "; app.db-journal" not in str(caught.value) and "with app.db-journal)" in str(caught.value)


def test_what_is_no_database_is_only_hidden(tmp_path: Path) -> None:
    """An empty file, a folder, a link to nowhere; and a named pipe does not hold the start up."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".gitkeep").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    assert hidden_names(tmp_path) == [".gitkeep", "folder", "link", "pipe"]


def test_a_file_that_cannot_be_read_could_be_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So its start is refused, by its name."""
    (tmp_path / "secret").write_text("x")

    def refuse(*arguments: object, **more: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MountError, match="secret cannot be told from a database: Permission denied"):
        hidden_names(tmp_path)


def test_files_in_the_directory_are_hidden_with_one_line(mount_factory: MountFactory, tmp_path: Path) -> None:
    """The node mounts over them and names them; a crash changes nothing; after a clean end they are there."""
    mount = tmp_path / "mnt"
    mount.mkdir()
    for name in (".gitkeep", "README", "a", "b", "c", "d"):
        (mount / name).write_text(name)
    mounted = mount_factory(mount_dir=mount)
    assert set(os.listdir(mount)) == {".lag"}
    line = f"WARNING {mount} is not empty: .gitkeep, README, a, b, c and 1 more: hidden while the node is"
    until(lambda: any(one.startswith(line) for one in mounted.log))
    assert len(mounted.log) == 1
    mounted.kill()
    mounted = mount_factory(mount_dir=mount)
    mounted.ask("stop")
    assert (mount / "README").read_text() == "README"
    assert len(os.listdir(mount)) == 6


@pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user the tests with root's mount are this one")
def test_an_ordinary_user_s_files_are_hidden_too() -> None:
    """libfuse has to be told so, also after a crash; the closed directory gives its place to no other."""
    with nobody_s_home() as (home, python):
        mount = home / "mnt"
        mount.mkdir()
        (mount / ".gitkeep").touch()
        shutil.chown(mount, NOBODY, NOBODY)
        processes: list[Mounted] = []
        try:
            for _ in range(2):
                processes.append(Mounted(home / "data", mount, command=python))
                processes[-1].ask("start")
                processes[-1].kill()
            processes.append(Mounted(home / "data", mount, command=python))
            processes[-1].ask("start")
            processes[-1].ask("stop")
            assert os.listdir(mount) == [".gitkeep"]
            assert mount.stat().st_mode & 0o777 == 0o755
            assert any(".gitkeep: hidden while" in line for line in processes[-1].log)
        finally:
            for process in processes:
                process.kill()
