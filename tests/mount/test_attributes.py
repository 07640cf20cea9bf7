"""What `stat` says in the mount: the data file's size and time, the node's user, and modes by its role."""

import os
import stat
from pathlib import Path

import pytest

from pylitefs.mount.attributes import MountAttributes
from pylitefs.mount.handles import Attributes, DatabaseHandle, SpecialHandle, SuperJournalHandle
from pylitefs.mount.special_files import SpecialFile, SpecialKind, SpecialName
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.trace import Tracer
from tests.mount.passthrough import PassthroughDatabase, PassthroughStore


@pytest.fixture
def store(tmp_path: Path) -> PassthroughStore:
    return PassthroughStore(tmp_path / "data", Status(is_primary=True), Tracer())


@pytest.fixture
def attributes(store: PassthroughStore) -> MountAttributes:
    return MountAttributes(store)  # type: ignore[arg-type]


@pytest.fixture
def found(tmp_path: Path) -> os.stat_result:
    """A data file that belongs to somebody else and has an odd mode."""
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    path.chmod(0o600)
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    return path.stat()


def mode(one: Attributes) -> str:
    return stat.filemode(one.mode)


def test_size_and_time_are_the_file_s_and_owner_and_mode_the_mount_s(
    attributes: MountAttributes, found: os.stat_result
) -> None:
    one = attributes.of_file(found, FileKind.DATABASE)
    assert (one.size, one.mtime_ns, one.nlink) == (5, 1_700_000_000_123_456_789, 1)
    assert (one.uid, one.gid, mode(one)) == (os.getuid(), os.getgid(), "-rw-rw-rw-")


def test_on_a_replica_a_database_is_there_to_read_and_nothing_new_may_come(
    attributes: MountAttributes, store: PassthroughStore, found: os.stat_result
) -> None:
    assert mode(attributes.of_directory()) == "drwxrwxrwx"
    store.status.is_primary = False
    assert mode(attributes.of_file(found, FileKind.DATABASE)) == "-r--r--r--"
    assert mode(attributes.of_file(found, FileKind.SHM)) == "-rw-rw-rw-", "readers need it"
    assert mode(attributes.of_directory()) == "dr-xr-xr-x"


def test_an_open_file_has_them_also_when_its_name_is_gone(
    attributes: MountAttributes, store: PassthroughStore, tmp_path: Path
) -> None:
    database = PassthroughDatabase("a.db", tmp_path)
    fd = database.create_file(FileKind.DATABASE, os.O_RDWR)
    os.pwrite(fd, b"123", 0)
    database.remove(FileKind.DATABASE)
    handle = DatabaseHandle(database, FileKind.DATABASE, fd, False)  # type: ignore[arg-type]
    store.status.is_primary = False
    one = attributes.of_handle(handle)
    assert (one.size, one.nlink, mode(one)) == (3, 0, "-r--r--r--")
    assert mode(attributes.of_handle(SuperJournalHandle(fd))) == "-rw-rw-rw-"
    os.close(fd)


def test_a_file_that_the_mount_makes_up_has_the_length_of_what_is_read(attributes: MountAttributes) -> None:
    file = SpecialFile(SpecialName(SpecialKind.LAG, ""), Status(is_primary=True), None)
    for one in (attributes.of_handle(SpecialHandle(file)), attributes.of_special(file)):
        assert (one.size, mode(one), one.nlink, one.uid) == (11, "-r--r--r--", 1, os.getuid())
