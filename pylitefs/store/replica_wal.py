"""A replica's WAL: its clients may read it, and it is there as soon as one of them looks.

SQLite learns on opening a WAL whether it may write. If it may not, it opens the WAL to read only, reads as
ever, and says "attempt to write a readonly database" to who writes. If it may, a write that is refused later
is "disk I/O error" to it. And a client that may not write the WAL cannot make it either: so the first look at
its name makes an empty one.

The rule: this holds for a node that never becomes primary while it is mounted. A connection that has opened
its WAL to read only keeps it so; after a promotion it would have to be opened again (`fuse.replica-wal`).
"""

import errno
import os

from pylitefs.portable import BINARY
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, READ_VERSION_OFFSET
from pylitefs.store.names import FileKind
from pylitefs.store.open_files import OpenFiles
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.state import DatabaseState

WAL_VERSION = 2


def check_opening(state: DatabaseState, flags: int) -> None:
    """Raise OSError (EACCES) where a client opens a replica's WAL to write it."""
    if flags & os.O_ACCMODE != os.O_RDONLY and state.node.status.wal_is_shut and not state.is_halted:
        raise OSError(errno.EACCES, "this node is a replica: write on the primary")


def tell_of_readers(state: DatabaseState, files: OpenFiles) -> bool:
    """This node has the HALT lock: whether connections are open that cannot write all the same, and were told
    of. SQLite refuses their writes without a word to this node."""
    if not state.node.status.wal_is_shut or not (count := len(files.wal_readers)):
        return False
    why = f"{count} connection(s) opened its WAL before this node had the HALT lock, so to read alone"
    remedy = "open them again while it is held, or set fuse.replica-wal: writable"
    state.node.refuse(state.name, "writes of open connections", why, remedy)
    return True


def stat(state: DatabaseState) -> os.stat_result:
    """What the WAL's `stat` says. FileNotFoundError if there is none, and none is to be made."""
    path = state.path(FileKind.WAL)
    try:
        return os.stat(path)
    except FileNotFoundError:
        if not state.node.status.wal_is_shut or not _is_in_wal_mode(state):
            raise
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | BINARY, FILE_MODE))
    return os.stat(path)


def _is_in_wal_mode(state: DatabaseState) -> bool:
    try:
        with open(state.path(FileKind.DATABASE), "rb", buffering=0) as file:
            header = file.read(DATABASE_HEADER_SIZE)
    except FileNotFoundError:
        return False
    return len(header) == DATABASE_HEADER_SIZE and header[READ_VERSION_OFFSET] == WAL_VERSION
