"""A store that keeps files and does nothing else: the mount alone, for its own tests and measurements."""

import logging
import os
from pathlib import Path
from types import SimpleNamespace

from pylitefs.ltx.position import Pos
from pylitefs.store import super_journals
from pylitefs.store.names import FileKind
from pylitefs.store.status import Status
from pylitefs.trace import Tracer

log = logging.getLogger("pylitefs")


class PassthroughDatabase:
    """The mount-facing half of `Database`, straight to the files."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.dir = directory
        self.pos = Pos()
        self.timestamp_ms = 0
        self.stale: set[FileKind] = set()
        self.state = SimpleNamespace(is_halted=False)
        self._paths = {kind: directory / kind.value for kind in FileKind}

    def current_pos(self) -> Pos:
        return self.pos

    @property
    def exists(self) -> bool:
        return self.path(FileKind.DATABASE).exists()

    def path(self, kind: FileKind) -> Path:
        return self._paths[kind]

    def stat(self, kind: FileKind) -> os.stat_result:
        return os.stat(self.path(kind))

    def create_file(self, kind: FileKind, flags: int, applier: bool = False) -> int:
        self.dir.mkdir(parents=True, exist_ok=True)
        return os.open(self.path(kind), os.O_RDWR | os.O_CREAT | (flags & os.O_EXCL), 0o666)

    def open_file(self, kind: FileKind, flags: int, applier: bool = False) -> int:
        return os.open(self.path(kind), os.O_RDWR)

    def write(
        self, kind: FileKind, fd: int, data: "bytes | memoryview", offset: int, applier: bool = False
    ) -> int:
        return os.pwrite(fd, data, offset)

    def truncate(self, kind: FileKind, size: int, applier: bool = False, fd: int | None = None) -> None:
        os.truncate(self.path(kind) if fd is None else fd, size)

    def sync(self, kind: FileKind, fd: int, datasync: bool = False, applier: bool = False) -> None:
        (os.fdatasync if datasync else os.fsync)(fd)

    def remove(self, kind: FileKind, applier: bool = False) -> None:
        self.path(kind).unlink()

    def settle(self) -> None:
        pass

    def release(self, kind: FileKind, fd: int, applier: bool = False) -> None:
        os.close(fd)


class PassthroughStore:
    """The mount-facing half of `Store`."""

    def __init__(self, data_dir: Path, status: Status, tracer: Tracer) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self.status = status
        self.tracer = tracer
        self.databases: dict[str, PassthroughDatabase] = {}
        self.refusals: list[tuple[str, str, str, str]] = []

    def names(self) -> list[str]:
        return sorted(name for name, database in self.databases.items() if database.exists)

    def get(self, name: str) -> PassthroughDatabase | None:
        return self.databases.get(name)

    def check_served(self, name: str) -> None:
        pass

    def create(self, name: str) -> PassthroughDatabase:
        return self.databases.setdefault(name, PassthroughDatabase(name, self.data_dir / "dbs" / name))

    def super_journal_path(self, name: str) -> Path:
        return super_journals.path_of(self.data_dir, name)

    def remove_super_journal(self, name: str) -> None:
        self.super_journal_path(name).unlink()

    def log_refusal(self, database: str, what: str, why: str, remedy: str) -> None:
        self.refusals.append((database, what, why, remedy))

    def sync_directories(self) -> None:
        pass
