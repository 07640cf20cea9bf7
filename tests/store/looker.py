"""An applier's eyes for tests without a mount: what the publisher sees of a WAL index."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pylitefs.errors import ApplierError
from pylitefs.sqlite.wal_index import read_header
from pylitefs.store.applying import DirectApplier, WriteLock
from pylitefs.store.store import Store


class Looker(DirectApplier):
    """Looks at the index in the data directory, which SQLite has mapped here; `answer` may lie."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.looks = 0
        self.answer: Callable[[bool | None], bool | None] = lambda truth: truth

    def shows(self, database: str, generation: int, salts: tuple[int, int], frame: int) -> bool | None:
        self.looks += 1
        head = read_header((self.data_dir / "dbs" / database / "shm").read_bytes()[:96])
        if head is not None and (head.salt1, head.salt2) != salts:
            return self.answer(None)
        shown = self.answer(head is not None and head.max_frame >= frame)
        if head is None and not shown:
            raise ApplierError("the index is being made anew")
        return shown

    @contextmanager
    def write_lock(self, database: str, timeout: float = 0.0) -> Iterator[WriteLock]:
        """As the real one does in WAL mode: the index's headers are zeros meanwhile, to keep readers out."""
        shm = self.data_dir / "dbs" / database / "shm"
        with super().write_lock(database, timeout) as lock:
            if not shm.exists():
                yield lock
                return
            fd = os.open(shm, os.O_RDWR)
            head = lock.index = os.pread(fd, 136, 0)
            os.pwrite(fd, bytes(96), 0)
            yield lock
            os.pwrite(fd, head[:96], 0)
            os.close(fd)


def looked_at(store: Store) -> Looker:
    """Have the store's publisher look through such eyes from now on."""
    looker = Looker(store.data_dir)
    store.applier = looker
    store.start_publisher()
    return looker
