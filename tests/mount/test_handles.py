"""Open files of the mount: a handle knows all that a call without a path needs, also who opened it."""

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pylitefs.ltx.position import Pos
from pylitefs.mount.handles import DatabaseHandle, SpecialHandle, SuperJournalHandle, refused
from pylitefs.mount.special_files import SpecialFile, SpecialKind, SpecialName
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from tests.mount.passthrough import PassthroughDatabase
from tests.store.support import refused as fails


class Told:
    """A database that notes what it is asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> int:
            self.calls.append((name, arguments))
            return 1

        return call


@pytest.mark.parametrize("applier", [False, True])
def test_a_database_s_calls_say_which_file_it_is_and_who_opened_it(applier: bool) -> None:
    database = Told()
    handle = DatabaseHandle(database, FileKind.WAL, 7, applier)  # type: ignore[arg-type]
    data = memoryview(b"abc")
    assert handle.write(data, 10) == 1
    handle.truncate(5)
    handle.sync(True)
    handle.release()
    assert database.calls == [
        ("write", (FileKind.WAL, 7, data, 10, applier)),
        ("truncate", (FileKind.WAL, 5, applier, 7)),
        ("sync", (FileKind.WAL, 7, True, applier)),
        ("release", (FileKind.WAL, 7, applier)),
    ]


@pytest.mark.parametrize("datasync", [False, True])
def test_a_super_journal_is_a_plain_file(tmp_path: Path, datasync: bool) -> None:
    path = tmp_path / "mj"
    handle = SuperJournalHandle(os.open(path, os.O_RDWR | os.O_CREAT))
    assert handle.write(memoryview(b"a.db-journal"), 0) == 12
    handle.truncate(4)
    handle.sync(datasync)
    buffer = memoryview(bytearray(10))
    path.unlink()
    assert handle.read(buffer, 1) == 3 and bytes(buffer[:3]) == b".db", "also once its name is gone"
    fd = handle.fd
    handle.release()
    fails(errno.EBADF, lambda: os.fstat(fd))


def special(kind: SpecialKind, database: PassthroughDatabase | None = None) -> SpecialHandle:
    name = SpecialName(kind, database.name if database else "")
    return SpecialHandle(SpecialFile(name, Status(is_primary=True), database))


def test_a_special_file_is_read_anew_each_time(tmp_path: Path) -> None:
    database = PassthroughDatabase("a.db", tmp_path)
    handle = special(SpecialKind.POS, database)
    buffer = memoryview(bytearray(34))
    for txid in (1, 2):
        database.pos = Pos(txid, 0x8000000000000ABC)
        assert handle.read(buffer, 0) == 34 and bytes(buffer) == f"{database.pos}\n".encode()
    assert handle.read(buffer, 30) == 4 and handle.read(buffer, 34) == 0
    assert handle.fd == -1


def test_a_special_file_takes_no_bytes_and_only_the_lock_file_is_truncated(tmp_path: Path) -> None:
    """As a shell's `> DB-lock` does, which changes nothing."""
    position = special(SpecialKind.POS, PassthroughDatabase("a.db", tmp_path))
    lock = special(SpecialKind.LOCK, PassthroughDatabase("a.db", tmp_path))
    for handle in (position, lock):
        fails(errno.EIO, partial(handle.write, memoryview(b"x"), 0))
        handle.sync(False)
        handle.release()
    fails(errno.EACCES, lambda: position.truncate(0))
    lock.truncate(0)


def test_a_refusal_has_the_system_s_own_words() -> None:
    assert (refused(errno.EPERM).errno, refused(errno.EPERM).strerror) == (
        errno.EPERM,
        os.strerror(errno.EPERM),
    )
