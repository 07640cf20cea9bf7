"""The removal of a database's files, one by one, and together where it is dropped.

The rule: a drop is a transaction, durable before a file goes, so it cannot be taken back when the disk
refuses to remove one. Such a file is emptied: an empty file is a database without a page, as the position
says, and an empty journal or WAL says nothing. Where not even that works, the database takes no transaction
any more, and the node's next start removes what is left (recovery.py). The same goes for a WAL that ends:
what it holds is in the database file, and nobody looks at it any more.
"""

import logging
import os

from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")


def remove(state: DatabaseState, files: OpenFiles, kind: FileKind) -> None:
    """Unlink a file. Whoever has it open keeps it."""
    state.forget_fd(kind)  # First: Windows removes no file that is open.
    os.unlink(state.path(kind))
    files.unlinked(kind)


def remove_wal(state: DatabaseState, files: OpenFiles, kind: FileKind) -> None:
    """A WAL's end. SQLite goes on whether or not it can be removed, and would write behind the old frames."""
    try:
        remove(state, files, kind)
    except FileNotFoundError:
        raise
    except OSError as error:
        _empty(state, kind, error)
        raise


def remove_dropped(state: DatabaseState, files: OpenFiles, kind: FileKind) -> None:
    """The same for a database that is dropped. OSError if the database file's name is still there."""
    try:
        remove(state, files, kind)
    except OSError as error:
        files.unlinked(kind)
        if kind is not FileKind.SHM:  # SQLite's first client makes that anew.
            _empty(state, kind, error)
        if kind is FileKind.DATABASE:
            raise


def _empty(state: DatabaseState, kind: FileKind, why: OSError) -> None:
    path = state.path(kind)
    try:
        os.truncate(path, 0)
    except OSError as error:
        state.sync_failure = error
        log.error(
            "%s: %s can neither be removed (%s) nor emptied (%s). No more is written to this "
            "database: stop this node, look at the disk, start it again",
            state.name,
            path,
            why,
            error,
        )
    else:
        log.warning("%s: %s cannot be removed (%s), and is empty now", state.name, path, why)
