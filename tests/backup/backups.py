"""What the tests of the backup share: databases with rows, backups of them, and how the two compare."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pylitefs.backup.folder import BackupFolder
from pylitefs.backup.sync import Sync
from pylitefs.ltx.position import Pos
from pylitefs.store.backup_state import BackupState
from pylitefs.store.store import Store
from tests.golden.recordings import DATA
from tests.store.serving import Served

GOLDEN = DATA / "file-backup"
"""What real LiteFS wrote: x.db in three files, up to TXID 5."""
GOLDEN_POS = Pos.parse("0000000000000005/b3018e788001e773")


def golden_copy(place: Path) -> Path:
    shutil.copytree(GOLDEN, place, dirs_exist_ok=True)
    return place


def insert(served: Served, count: int = 1, name: str = "a.db", *pragmas: str) -> None:
    """So many transactions, after the one that makes the table if it is not there."""
    db = served.connect(name, *pragmas)
    db.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x)")
    for _ in range(count):
        db.execute("INSERT INTO t (x) VALUES (randomblob(100))")
    db.close()


@contextmanager
def syncing(
    store: Store, place: Path, *, may_write: Callable[[], bool] = lambda: True
) -> Iterator[tuple[Sync, BackupFolder, BackupState]]:
    """A backup without its thread."""
    folder = BackupFolder(place)
    state = BackupState(folder.url)
    folder.take()
    try:
        yield (
            Sync(store, folder, state, compress=True, may_write=may_write, stopping=lambda seconds: True),
            folder,
            state,
        )
    finally:
        folder.leave()


def back_up(store: Store, place: Path, name: str = "a.db") -> Pos:
    """Bring one database level; the backup's position then."""
    with syncing(store, place) as (sync, folder, _):
        sync.bring_level(name)
        return folder.position(name)


def names(place: Path, name: str = "a.db") -> list[str]:
    """The files of a database, each as `MIN-MAX` without zeros in front."""
    found = []
    for path in sorted((place / name).iterdir()):
        assert path.suffix == ".ltx", f"{path} has no business there"
        low, high = path.stem.split("-")
        found.append(f"{int(low, 16)}-{int(high, 16)}")
    return found
