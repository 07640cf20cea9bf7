"""The applier's part in a HALT lock on the primary: only its holder's transactions come in.

    halt_lock     the lock that SQLite's writer takes first, and no other: readers notice nothing
    apply_halted  all the others for as long as a transaction is written, and back to that one lock

The rule: from the first of these calls to the channel's end the writer's lock is never given up, in whatever
mode a transaction leaves the database. So nothing is committed here between two of the holder's. (A database
that has no file, or is dropped, has nothing to lock.)
"""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pylitefs.errors import BusyError
from pylitefs.mount.applier.exclusive import Exclusive
from pylitefs.mount.applier.files import DatabaseFiles
from pylitefs.mount.applier.locks import RESERVED, WRITE
from pylitefs.mount.applier.messages import Channel, Message, seconds_of, text_of
from pylitefs.mount.applier.write import Transaction, drop
from pylitefs.mount.applier.writers import try_writer_lock

_POLL_S = 0.001
_READ_S = 0.1


class Calls(Protocol):
    """What a call needs of the process: see calls.py."""

    def files_of(self, message: Message) -> DatabaseFiles: ...
    def holders(self, files: DatabaseFiles) -> str: ...
    def keep(self, channel: Channel, files: DatabaseFiles, purpose: str) -> None: ...
    def kept(self, channel: Channel) -> DatabaseFiles: ...
    def have_sqlite_read(self, name: str, timeout: float) -> None: ...
    def wait_exclusive(self, channel: Channel, locks: Exclusive, timeout: float | None) -> None: ...
    def write(
        self, channel: Channel, locks: Exclusive, tx: Transaction, message: Message, waited: float
    ) -> Message: ...


def halt_lock(calls: Calls, channel: Channel, message: Message) -> Message:
    """Keep SQLite's writers out. BusyError if that is not to be had within the timeout."""
    files = calls.files_of(message)
    try:
        channel.begin_wait(seconds_of(message, "timeout"), lambda: calls.holders(files))
        while files.open():
            if not _lock(calls, files):
                channel.pause(_POLL_S)  # Not closed: who is the first again makes the index invalid again.
            elif files.is_named():
                break
            else:
                files.close()
    except BaseException:
        files.close()
        raise
    calls.keep(channel, files, "a replica's HALT lock")
    return {}


def _lock(calls: Calls, files: DatabaseFiles) -> bool:
    """The writer's lock, on a database that needs nothing done before it is read."""
    if not try_writer_lock(files):
        return False
    if files.joined:
        if files.index_is_valid():
            return True
        files.shm.unlock(WRITE)  # A reader cannot make the index anew while this is locked.
    else:
        # With RESERVED locked nobody would take a killed writer's journal for what it is.
        if not files.has_hot_journal() and not files.uses_wal():
            return True
        files.db.unlock(RESERVED)
    with suppress(BusyError):
        calls.have_sqlite_read(files.name, _READ_S)
    return False


def apply_halted(calls: Calls, channel: Channel, message: Message) -> Message:
    """Write one LTX file; BusyError, with nothing changed, if readers do not leave within the timeout."""
    tx = Transaction.load(Path(text_of(message, "path")), verified=bool(message.get("verified")))
    files = calls.kept(channel)
    if tx.header.commit == 0:
        drop(files)
        return tx.facts(0.0)
    files.open(create=True)
    with Exclusive(files, replica=False, keeps_writer=True) as locks:
        calls.wait_exclusive(channel, locks, seconds_of(message, "timeout"))
        return calls.write(channel, locks, tx, message, 0.0)
