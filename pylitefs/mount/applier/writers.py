"""A writer's lock on a database, held so that nobody else is in the middle of a write transaction.

The rule: it is the lock that SQLite's own writer takes first, and no other. So whoever writes is waited for,
who comes to write waits as for any other writer, and readers notice nothing.
"""

from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.locks import RESERVED, WRITE


def try_writer_lock(files: DatabaseFiles) -> bool:
    """RESERVED in a rollback mode, WRITE in WAL mode; False if somebody is in the way."""
    if files.uses_wal():
        return files.join_wal() and files.shm.try_lock(WRITE, exclusive=True)
    return files.db.try_lock(RESERVED, exclusive=True)
