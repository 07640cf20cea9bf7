"""Open flags, unlinked files and failures, as the kernel and libfuse hand them on."""

import errno
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.conftest import Client, Mounted, refusal, until

pytestmark = pytest.mark.fuse


@pytest.fixture
def path(bare: Mounted) -> Path:
    (bare.dir / "a.db").write_bytes(b"0123456789")
    return bare.dir / "a.db"


def test_append_writes_at_the_end_and_elsewhere_nothing_else_does(path: Path) -> None:
    with open(path, "ab", buffering=0) as file:
        file.write(b"AB")
        file.write(b"CD")
    assert path.read_bytes() == b"0123456789ABCD"
    with open(path, "r+b", buffering=0) as file:
        file.write(b"xy")
    assert path.read_bytes() == b"xy23456789ABCD"


def test_exclusive_creation_fails_on_a_name_that_exists(path: Path) -> None:
    with refusal(errno.EEXIST):
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.close(os.open(path.with_name("b.db"), os.O_RDWR | os.O_CREAT | os.O_EXCL))


def test_opening_with_truncation_empties_the_file(bare: Mounted, path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        assert os.fstat(file.fileno()).st_size == 0
        file.write(b"new")
    assert path.read_bytes() == b"new"
    os.truncate(path, 1)
    assert path.read_bytes() == b"n"
    assert bare.counts()["truncate"] == 2


def test_a_large_write_arrives_in_few_pieces(bare: Mounted, path: Path) -> None:
    before = bare.counts()["write"]
    with open(path, "r+b", buffering=0) as file:
        assert file.write(os.urandom(1 << 20)) == 1 << 20
    assert bare.counts()["write"] - before == 8


def test_an_unlinked_journal_goes_on_for_who_has_it_open(bare: Mounted) -> None:
    (bare.dir / "a.db").touch()
    journal = bare.dir / "a.db-journal"
    with open(journal, "x+b", buffering=0) as file:
        file.write(b"first")
        journal.unlink()
        assert not journal.exists()
        assert "a.db-journal" not in os.listdir(bare.dir)
        assert not [name for name in os.listdir(bare.dir) if name.startswith(".fuse_hidden")]
        file.write(b"second")
        os.fsync(file.fileno())
        file.truncate(8)
        file.seek(0)
        assert file.read() == b"firstsec"
        journal.write_bytes(b"another")
        file.seek(0)
        assert file.read() == b"firstsec"
    assert journal.read_bytes() == b"another"


MAPPED = """
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 32768)
memory = mmap.mmap(fd, 32768)
print("mapped")
for line in sys.stdin:
    if line.startswith("write"):
        memory[100:105] = line.split()[1].encode()
        print("written")
    elif line.startswith("read"):
        print(memory[100:105].decode())
    else:
        memory.close()
        os.close(fd)
        print("closed")
"""


def test_a_mapped_wal_index_is_the_same_memory_for_every_process(
    bare: Mounted, client: Callable[..., Client]
) -> None:
    (bare.dir / "a.db").touch()
    one, other = (client(MAPPED, bare.dir / "a.db-shm") for _ in range(2))
    assert [one.line(), other.line()] == ["mapped", "mapped"]
    one.tell("write hello")
    assert one.line() == "written"
    other.tell("read")
    assert other.line() == "hello"


def test_a_mapped_file_that_is_unlinked_closes_without_an_error(
    bare: Mounted, client: Callable[..., Client]
) -> None:
    (bare.dir / "a.db").touch()
    one = client(MAPPED, bare.dir / "a.db-shm")
    assert one.line() == "mapped"
    one.tell("write dirty")
    assert one.line() == "written"
    (bare.dir / "a.db-shm").unlink()
    one.tell("close")
    assert one.line() == "closed"


def test_pages_once_read_come_from_the_kernel(bare: Mounted, path: Path) -> None:
    path.write_bytes(os.urandom(1 << 20))
    first = path.read_bytes()
    asked = bare.counts().get("read", 0)
    for _ in range(3):
        assert path.read_bytes() == first
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
        assert memory[:] == first
    assert bare.counts().get("read", 0) == asked
    with open(path, "r+b") as changed:
        changed.write(b"changed")
    assert path.read_bytes() == b"changed" + first[7:]


def test_a_bug_is_eio_and_one_log_line(bare: Mounted, path: Path) -> None:
    bare.ask("breaks", operation="create")
    with refusal(errno.EIO):
        os.open(path.with_name("b.db"), os.O_RDWR | os.O_CREAT)
    bare.ask("breaks", operation="")
    path.with_name("b.db").touch()
    until(lambda: bool(bare.log))
    assert len(bare.log) == 1
    assert "create failed unexpectedly with RuntimeError: broken by the test" in bare.log[0]


def test_a_handle_remembers_that_the_applier_opened_it(mount: Mounted) -> None:
    """FUSE names the calling thread; its process is the applier for good, whatever the node's role."""
    (mount.dir / "a.db").touch()
    mount.ask("role", primary=False)
    with open(mount.dir / "a.db", "r+b", buffering=0) as database:
        with refusal(errno.EIO):
            database.write(b"refused")
        mount.ask("applier", tids=[os.getpid()])
        with refusal(errno.EIO):
            database.write(b"refused")
        with open(mount.dir / "a.db", "r+b", buffering=0) as marked:
            mount.ask("applier", tids=[])
            marked.write(b"applied")
            assert (mount.dir / "a.db").read_bytes() == b"applied"


def test_events_carry_the_process_that_writes(mount: Mounted, client: Callable[..., Client]) -> None:
    mount.ask("trace")
    writer = client(
        "import sqlite3, sys, threading\n"
        "def write():\n"
        "    db = sqlite3.connect(sys.argv[1])\n"
        "    db.execute('CREATE TABLE t (x)')\n"
        "    db.close()\n"
        "thread = threading.Thread(target=write); thread.start(); thread.join(); print('done')\n"
        "sys.stdin.read()",
        mount.dir / "a.db",
    )
    assert writer.line() == "done"
    events = mount.ask("traced")["events"]
    assert isinstance(events, list)
    written = [(name, pid) for name, _, pid in events if name in ("page.write", "journal.open", "ltx.commit")]
    assert {name for name, _ in written} == {"page.write", "journal.open", "ltx.commit"}
    assert {pid for _, pid in written} == {writer.process.pid}
