"""A whole new file for a database: an import's, which gets the name while every lock is held.

The rule: only where nobody has the database open. A client's descriptor would stay on the file before it.
The applier's, through which it holds its locks, go over to the new file: it reads and writes that one then.
"""

import os
from pathlib import Path

from pylitefs.store.database import Database
from pylitefs.store.files import file_size
from pylitefs.store.names import FileKind


def may_replace(database: Database) -> bool:
    """Whether nobody has a file of it open, SQLite has left nothing beside it, and no lecture looks on."""
    return not (
        database.files.any_open
        or database.rollback_watch.journal_live
        or file_size(database.path(FileKind.WAL))
        or database.state.node.tracer.active
    )


def replace(database: Database, path: Path) -> bool:
    """Give the database's name to the file at `path`; False, with nothing changed, if a client has come."""
    state, files = database.state, database.files
    with state.lock, files.lock:
        if not may_replace(database):
            return False
        with open(path, "r+b", buffering=0) as file:
            os.rename(path, state.path(FileKind.DATABASE))
            for fd in files.appliers_database:
                os.dup2(file.fileno(), fd, inheritable=False)
        state.forget_fd(FileKind.DATABASE)
        database.stale.add(FileKind.DATABASE)
    return True
