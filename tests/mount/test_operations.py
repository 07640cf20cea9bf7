"""The mount's callbacks, called as libfuse calls them: which database and file is meant, and who asks.

What a client sees of them is in test_mount_table.py, on a real mount.
"""

import errno
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from pylitefs.errors import SetAsideError
from pylitefs.ltx.position import Pos
from pylitefs.mount.operations import MountOperations
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.trace import Tracer
from tests.mount.passthrough import PassthroughStore
from tests.store.support import refused

APPLIER, CLIENT = 7, 8


@pytest.fixture
def store(tmp_path: Path) -> PassthroughStore:
    return PassthroughStore(tmp_path / "data", Status(is_primary=True), Tracer())


@pytest.fixture
def operations(store: PassthroughStore) -> MountOperations:
    made = MountOperations(store, lambda tid: tid == APPLIER)  # type: ignore[arg-type]
    made.caller_tid = lambda: CLIENT
    return made


def opened(do: Callable[..., None], path: str, flags: int = os.O_RDWR) -> SimpleNamespace:
    """libfuse's struct after a callback that opens."""
    fi = SimpleNamespace(flags=flags, fh=0, direct_io=0, keep_cache=0, lock_owner=0)
    do(path, 0o644, fi) if do.__name__ == "create" else do(path, fi)
    return fi


def made(operations: MountOperations, name: str = "/a.db", content: bytes = b"content") -> SimpleNamespace:
    fi = opened(operations.create, name)
    operations.write(fi.fh, memoryview(content), 0)
    return fi


def test_a_new_name_is_a_database_and_its_bytes_lie_in_the_data_directory(
    operations: MountOperations, store: PassthroughStore
) -> None:
    fi = made(operations)
    assert (store.data_dir / "dbs" / "a.db" / "database").read_bytes() == b"content"
    assert fi.keep_cache and not fi.direct_io, "pages once read stay in the kernel's cache"
    buffer = memoryview(bytearray(5))
    assert operations.read(fi.fh, buffer, 2) == 5 and bytes(buffer) == b"ntent"
    operations.truncate(None, 3, fi)
    operations.fsync(None, 1, fi)
    assert operations.getattr("/a.db") == operations.getattr_handle(fi.fh)
    assert operations.getattr("/a.db").size == 3
    operations.release(None, fi)
    with pytest.raises(KeyError):
        operations.read(fi.fh, buffer, 0)


def test_every_open_has_a_handle_of_its_own(operations: MountOperations) -> None:
    first = made(operations)
    second = opened(operations.open, "/a.db")
    operations.release(None, first)
    assert operations.read(second.fh, memoryview(bytearray(9)), 0) == 7
    operations.close_handles()
    assert len(operations._handles) == 0


def test_side_files_need_their_database(operations: MountOperations, store: PassthroughStore) -> None:
    refused(errno.ENOENT, lambda: opened(operations.create, "/b.db-wal"))
    refused(errno.ENOENT, lambda: opened(operations.open, "/b.db"))
    made(operations)
    made(operations, "/a.db-wal", b"wal")
    assert (store.data_dir / "dbs" / "a.db" / "wal").read_bytes() == b"wal"
    assert list(operations.readdir("/", 0)) == [".", "..", "a.db", "a.db-wal", ".lag", "a.db-pos"]
    operations.unlink("/a.db-wal")
    refused(errno.ENOENT, lambda: operations.getattr("/a.db-wal"))


def test_the_applier_may_make_what_a_client_of_a_replica_may_not(
    operations: MountOperations, store: PassthroughStore
) -> None:
    store.status.is_primary = False
    refused(errno.EACCES, lambda: opened(operations.create, "/a.db"))
    assert store.refusals == [("a.db", "create", "this node is a replica", "write on the primary")]
    operations.caller_tid = lambda: APPLIER
    fi = opened(operations.create, "/a.db")
    assert operations._handles[fi.fh].applier  # type: ignore[attr-defined]
    operations.caller_tid = lambda: CLIENT
    fi = opened(operations.open, "/a.db")
    assert not operations._handles[fi.fh].applier  # type: ignore[attr-defined]


def test_the_flags_that_reach_a_data_file_are_few(
    operations: MountOperations, store: PassthroughStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O_APPEND would have `pwrite` ignore its offset; a truncation comes as a call of its own."""
    made(operations)
    database = store.get("a.db")
    assert database is not None
    seen: list[int] = []

    def open_file(kind: FileKind, flags: int, applier: bool) -> int:
        seen.append(flags)
        return -1

    monkeypatch.setattr(database, "open_file", open_file)
    opened(operations.open, "/a.db", os.O_WRONLY | os.O_APPEND | os.O_TRUNC | os.O_SYNC)
    assert seen == [os.O_WRONLY | os.O_SYNC]


def test_a_file_that_changed_behind_the_kernel_is_read_anew_once(
    operations: MountOperations, store: PassthroughStore
) -> None:
    made(operations)
    database = store.get("a.db")
    assert database is not None
    database.stale.add(FileKind.DATABASE)
    assert not opened(operations.open, "/a.db").keep_cache
    assert opened(operations.open, "/a.db").keep_cache


def test_special_files_are_read_past_the_cache_and_keep_their_names(
    operations: MountOperations, store: PassthroughStore
) -> None:
    made(operations)
    store.databases["a.db"].pos = Pos(1, 0x8000000000000ABC)
    fi = opened(operations.open, "/a.db-pos", os.O_RDONLY)
    assert fi.direct_io and operations.read(fi.fh, memoryview(bytearray(99)), 0) == 34
    refused(errno.EACCES, lambda: opened(operations.open, "/a.db-pos"))
    refused(errno.EPERM, lambda: opened(operations.create, "/.lag"))
    refused(errno.EPERM, lambda: operations.unlink("/.primary"))
    refused(errno.ENOENT, lambda: operations.getattr("/.primary"))
    opened(operations.open, "/a.db-lock")
    store.status.is_primary = False
    refused(errno.EIO, lambda: opened(operations.open, "/a.db-lock"))


def test_what_no_database_can_be_is_refused_with_one_line_each(
    operations: MountOperations, store: PassthroughStore
) -> None:
    for call in (
        lambda: operations.mkdir("/d", 0),
        lambda: operations.rmdir("/d"),
        lambda: operations.mknod("/d", 0, 0),
        lambda: operations.link("/d", "/a.db"),
        lambda: operations.symlink("/d", "/a.db"),
        lambda: operations.rename("/a.db", "/d"),
    ):
        refused(errno.EPERM, call)
    assert len(store.refusals) == 6 and store.refusals[-1][3].startswith("pylitefs import -name d FILE")
    operations.chmod("/a.db", 0)
    operations.chown("/a.db", 1, 1)
    operations.utimens("/a.db", None)
    refused(errno.ENAMETOOLONG, lambda: operations.getattr("/" + "x" * 300))


def test_a_database_that_is_set_aside_is_eio_under_each_of_its_names(
    operations: MountOperations, store: PassthroughStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_aside(name: str) -> None:
        raise SetAsideError("a person has to act")

    monkeypatch.setattr(store, "check_served", set_aside)
    for name in ("/a.db", "/a.db-wal", "/a.db-pos"):
        refused(errno.EIO, partial(operations.getattr, name))


def test_a_super_journal_lies_beside_its_database_is_listed_and_is_the_primary_s(
    operations: MountOperations, store: PassthroughStore
) -> None:
    """Who copies all files of a database must see it: a journal that names it is rolled back without it."""
    name = "a.db-mj0123456AB"
    made(operations)
    fi = made(operations, f"/{name}", b"journals")
    lies = store.data_dir / "dbs" / "a.db" / "mj0123456AB"
    assert lies.read_bytes() == b"journals"
    assert name in list(operations.readdir("/", 0))
    operations.truncate(f"/{name}", 3)
    assert stat.S_ISREG(operations.getattr(f"/{name}").mode) and operations.getattr(f"/{name}").size == 3
    operations.release(None, fi)
    operations.release(None, opened(operations.open, f"/{name}"))
    store.status.is_primary = False
    refused(errno.EACCES, lambda: operations.unlink(f"/{name}"))
    store.status.is_primary = True
    operations.unlink(f"/{name}")
    assert not lies.exists() and name not in list(operations.readdir("/", 0))


def test_between_sqlite_and_the_release_of_its_locks_there_is_no_callback() -> None:
    """docs/architecture.md, "Locks and threads"; and what the kernel answers by itself is not asked."""
    assert MountOperations.flush is None and MountOperations.lock is None
    assert MountOperations.getxattr is None and MountOperations.fsyncdir is None


def test_the_disk_s_figures_are_the_data_directory_s(
    operations: MountOperations, store: PassthroughStore
) -> None:
    figures = operations.statfs("/")
    assert figures["f_namemax"] == 255 and figures["f_blocks"] == os.statvfs(store.data_dir).f_blocks
    assert operations.getattr("/").mode & stat.S_IFDIR
