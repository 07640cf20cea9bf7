"""Super-journals: `DB-mjXXXXXXXXX` on the mount, `dbs/DB/mjXXXXXXXXX` in the data directory.

The rule: the unlink of a super-journal is the commit point of a transaction over several databases, so it is
durable before SQLite goes on; and what it commits is durable before it: SQLite has synced the files, and
their names may come from a rename. (A journal needs no such care: if it comes back after a power failure,
recovery rolls it back and replays the LTX file that was durable before it went; and one without its
super-journal is not believed once the LTX files hold its transaction.)
Format: https://www.sqlite.org/atomiccommit.html#_multi_file_commit
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pylitefs.errors import InvalidNameError
from pylitefs.store.files import sync_directory
from pylitefs.store.names import FileKind, database_dir, is_super_journal

if TYPE_CHECKING:
    from pylitefs.store.database import Database


def path_of(data_dir: Path, name: str) -> Path:
    """Where the super-journal lies; InvalidNameError for another name."""
    found = is_super_journal(name)
    if found is None:
        raise InvalidNameError(f"{name!r} is not a super-journal's name")
    database, tail = found
    return database_dir(data_dir, database) / f"mj{tail}"


def names_of(data_dir: Path, database: str) -> list[str]:
    """The super-journals that are there and begin with the database's name, as the mount shows them."""
    names = (f"{database}-{path.name}" for path in database_dir(data_dir, database).glob("mj*"))
    return sorted(name for name in names if is_super_journal(name))


def remove(data_dir: Path, name: str, databases: "Iterable[Database]" = ()) -> None:
    """Unlink it, durably. Those of the databases that have a live journal may take part."""
    path = path_of(data_dir, name)
    for database in databases:
        if database.rollback_watch.journal_live:
            sync_directory(database.dir)
    path.unlink()
    sync_directory(path.parent)


def remove_all(data_dir: Path, names: Iterable[str], set_aside: Iterable[str]) -> None:
    """After recovery they have done their work, unless the journal of a database set aside hangs on one."""
    if any((data_dir / "dbs" / name / FileKind.JOURNAL.value).exists() for name in set_aside):
        return
    for name in names:
        for there in names_of(data_dir, name):
            path_of(data_dir, there).unlink()
