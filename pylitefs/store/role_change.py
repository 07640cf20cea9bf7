"""What a change of role means for a database: nothing is half ours and half another's.

    stop     no client's write is a transaction from now on; what SQLite had committed by then is one
    go on    this node is the primary: clients' writes are transactions

The rules: between the two, no transaction of this node's is made, whatever a thread was doing when the lease
ended. What is pending then is told: its LTX file is durable and its frames are whole in the WAL, so it is
true for every reader once the next transaction is applied. And what was written without a journal (modes
MEMORY and OFF) is captured as it is: a position always tells the bytes. Whether any of it is the cluster's
too, is found by checksum when this node follows the new primary (lost.py).
"""

import logging
import os
from functools import partial

from pylitefs.errors import PylitefsError, SqliteFormatError
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.apply_again import apply_again
from pylitefs.store.capture import commit_whole_file, tell_pending
from pylitefs.store.database import Database
from pylitefs.store.group_sync import sync_all
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import make_directory
from pylitefs.store.state import settling
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

READERS_S = 1.0
"""A node that is to be the primary waits so long for the readers of a transaction that is not applied yet."""
_CHUNK = 1 << 20


def stop_writes(database: Database) -> None:
    """From now on no client's write makes a transaction here."""
    database.settle()  # Most often the publisher has only to look.
    with database.state.lock:
        _stop(database)


def stop_between(database: Database) -> bool:
    """The same, but not in the middle of a transaction that is being written: False, with nothing done."""
    database.settle()
    with database.state.lock:
        between = database.wal_watch.tracker.is_between and not database.rollback_watch.journal_live
        if between and not database.rollback_watch.dirty:
            _stop(database)
        return database.state.follows


def _stop(database: Database) -> None:
    state = database.state
    with settling(state):
        try:
            tell_pending(state)
            if database.rollback_watch.unjournaled and not database.rollback_watch.journal_live:
                database.rollback_watch.capture()
            sync_all(state)
        except (PylitefsError, OSError) as error:
            log.error("%s: what was written last is not captured: %s", state.name, error)
        state.follows = True


def go_on(database: Database) -> None:
    """This node is the primary: from now on clients' writes make transactions."""
    state = database.state
    with state.lock, settling(state):
        state.follows = False
        if state.pos.txid == 0 and state.path(FileKind.DATABASE).exists():
            _adopt(database)


def _adopt(database: Database) -> None:
    """A database without an LTX file, as one that was put into the data directory: its first transaction."""
    state = database.state
    fd = state.fd(FileKind.DATABASE)
    try:
        header = DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0))
    except SqliteFormatError:
        return
    make_directory(state.ltx.directory)
    pos = commit_whole_file(state, header.page_size, header.pages(os.fstat(fd).st_size))
    log.warning("%s had no LTX file: what is there becomes transaction %s", state.name, pos)


def finish_stored(store: Store, database: Database) -> None:
    """Before this node may be the primary: apply the LTX files that lie here past the position. They came
    from a primary, which acknowledged them. And what only the index of an old WAL tells goes into the
    database: as long as this node follows, the applier holds that index.

    Raises PylitefsError (BusyError: a reader is in the way) or OSError where that cannot be.
    """
    while (span := _next_stored(database)) is not None:
        path = database.ltx_path(*span)
        with open(path, "rb") as file:
            store.receive_ltx(database.name, iter(partial(file.read, _CHUNK), b""), READERS_S)
    if database.wal_watch.tracker.unsummed:
        apply_again(store, database, "a change of role", READERS_S)


def _next_stored(database: Database) -> tuple[int, int] | None:
    pos = database.pos
    for span in database.ltx_files():
        header = database.ltx_header(*span) if span[1] > pos.txid else None
        if header is None:
            continue
        if header.is_snapshot or Pos(header.min_txid - 1, header.pre_apply_checksum) == pos:
            return span
    return None
