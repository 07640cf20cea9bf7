"""Import: another database's bytes become this database's next transaction.

The rule: the source is checked to be a whole database, which SQLite can read, before anything is locked;
then, under all of SQLite's write locks, the LTX file comes first and the pages after it, so that a crash in
between is finished by recovery. The position moves last, when the pages are there. What clients committed
before it keeps an LTX file of its own. An import that cannot write its first page has not happened; one that
was stopped in the middle is tried again until it is done, and nobody gets at the database meanwhile.

Bytes 24-27 and 40-43 of page 1 (change counter and schema cookie) are zeroed, as LiteFS does, so that open
connections read everything anew. But zero may be what they know: after an earlier import, or after as many
changes of the schema as there were before it, a connection would take the old schema for the new one and
read a "malformed" database. So where someone has the database open, or it has zeros already, these numbers
go on from its own, as they do when SQLite's backup writes into a live database.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pylitefs.errors import ApplierError, BusyError, PylitefsError, SqliteFormatError, UntouchedError
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store import content
from pylitefs.store.applying import Applier
from pylitefs.store.capture import PageRuns, all_pgnos, capture, publish, runs_in_file
from pylitefs.store.copies import RELEASE_S
from pylitefs.store.database import Database
from pylitefs.store.files import check_room, file_size
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import make_directory, private
from pylitefs.store.state import Captured
from pylitefs.store.turns import Patience

Runs = Iterator[tuple[list[int], memoryview]]
Progress = Callable[[int], None]
"""progress(bytes so far)"""
Stopping = Callable[[float], bool]
"""stopping(seconds) waits so long, and tells whether the node is to end."""


class Source(Protocol):
    """Where the database's bytes come from: a file, or a request."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, about so many; b"" at the end."""


LOCKED_S = 20.0
"""An import waits so long for a database's users, and for an export, together. Not for ever: it would happen
at any time later, when whoever asked for it has gone, and snapshots of the database wait for it meanwhile."""
_LATER = "try again when its transaction has ended"
AGAIN_S = 1.0
_CHUNK = 1 << 20
_CHANGE_COUNTER = slice(24, 28)
_SCHEMA_COOKIE = slice(40, 44)


def _never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def spool(source: Source, out: Path, size: int | None = None, progress: Progress | None = None) -> None:
    """Copy a stream to a file in constant memory; SqliteFormatError if it is not `size` bytes long."""
    done = 0
    with open(out, "wb", opener=private) as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done)
    if size is not None and done != size:
        raise SqliteFormatError(f"only {done} of {size} bytes arrived: nothing was imported, send it again")


def check_whole(path: Path, name: str) -> tuple[int, int]:
    """(page size, page count) of a database file; SqliteFormatError if it is not a whole one."""
    with open(path, "rb") as file:
        head = file.read(DATABASE_HEADER_SIZE)
        size = os.fstat(file.fileno()).st_size
    try:
        header = DatabaseHeader.parse(head)
    except SqliteFormatError as error:
        raise SqliteFormatError(f"cannot import {name}: {error}") from None
    count = header.pages(size)
    if count == 0 or size < count * header.page_size:
        raise SqliteFormatError(
            f"cannot import {name}: its header says {count} pages of {header.page_size} bytes, "
            f"but there are only {size} bytes: make a whole copy with `sqlite3 DB '.backup FILE'`"
        )
    return header.page_size, count


def import_file(database: Database, applier: Applier, path: Path, stopping: Stopping = _never) -> Pos:
    """Replace the database by the one in `path`, as one transaction on the primary.

    Raises BusyError, with nothing changed, if someone keeps the database locked, and UntouchedError if its
    first page cannot be written. With some of them written it waits for room and goes on.
    """
    page_size, count = check_whole(path, database.name)
    content.check(path, database.name, stopping)
    state = database.state
    make_directory(state.ltx.directory)
    size = page_size * count
    # Once for the LTX file, and what the database grows by.
    check_room(state.directory, size + _growth(database, size), f"importing {database.name}")
    done = False
    patience = Patience("an import", LOCKED_S)
    try:
        with open(path, "rb") as file, state.apply_lock.held_for(patience):
            _import_locked(
                database, applier, file.fileno(), (page_size, count), patience=patience, stopping=stopping
            )
        done = True
    finally:
        if not done and state.pos.txid == 0 and file_size(state.path(FileKind.DATABASE)) == 0:
            _remove_made(database, applier)
    return state.pos


def _import_locked(
    database: Database,
    applier: Applier,
    source: int,
    size: tuple[int, int],
    *,
    patience: Patience,
    stopping: Stopping,
) -> None:
    state = database.state
    page_size, count = size
    captured: Captured | None = None
    try:
        with applier.write_lock(database.name, patience.left) as lock:
            if not database.applier_side.wait_for_writers(RELEASE_S):
                raise BusyError(f"cannot import {database.name}: a client has its journal open: {_LATER}")
            database.copies.settle()
            with state.lock:
                database.wal_watch.end_pending_by(lock.index)
                counters = _next_counters(database)
                runs = runs_in_file(source, all_pgnos(count, page_size), page_size)
                captured = capture(state, page_size, count, PageRuns(_anew(runs, *counters)), replace=True)
                assert captured is not None
                state.applying = captured.pos.txid
            lock.apply(state.ltx.path(state.applying, state.applying), verified=True)
            _publish(database, captured)
    except UntouchedError:
        assert captured is not None
        state.ltx.remove(captured.pos.txid, captured.pos.txid)
        raise
    except (ApplierError, OSError):
        if captured is None:
            raise
        if state.pos != captured.pos:
            # The applier died with the locks, and the transaction is durable: its successor finishes it.
            _finish(database, applier, captured, stopping)
    finally:
        state.applying = 0


def _finish(database: Database, applier: Applier, captured: Captured, stopping: Stopping) -> None:
    """Write the pages until that is done. If the node ends before, its next start does it."""
    name, txid = database.name, captured.pos.txid
    while True:
        try:
            applier.apply(name, database.state.ltx.path(txid, txid), verified=True)
            break
        except (ApplierError, OSError):
            if stopping(AGAIN_S):
                raise
    _publish(database, captured)
    applier.release(name)


def _publish(database: Database, captured: Captured) -> None:
    """The pages are there: everyone is told. The locks end after that, and a client may commit at once."""
    with database.state.lock:
        database.rollback_watch.forget()
        database.wal_watch.tracker.reset(captured.header.commit)
        publish(database.state, captured)
        database.state.applying = 0


def _growth(database: Database, size: int) -> int:
    return max(0, size - file_size(database.path(FileKind.DATABASE)))


def _remove_made(database: Database, applier: Applier) -> None:
    """The write lock made a database of a new name, and nothing came of it."""
    with suppress(PylitefsError, OSError):
        applier.unlink(database.name)


def _next_counters(database: Database) -> tuple[int, int]:
    """The change counter and the schema cookie that the imported page 1 gets."""
    if database.page_count == 0:
        return 0, 0
    page = database.wal_watch.page(1) or os.pread(
        database.state.fd(FileKind.DATABASE), DATABASE_HEADER_SIZE, 0
    )
    live = int.from_bytes(page[_CHANGE_COUNTER], "big"), int.from_bytes(page[_SCHEMA_COOKIE], "big")
    if all(live) and not database.has_clients:
        return 0, 0
    return (live[0] + 1) & 0xFFFFFFFF, (live[1] + 1) & 0xFFFFFFFF


def _anew(runs: Runs, change_counter: int, schema_cookie: int) -> Runs:
    """The pages with these numbers in page 1, which is in the first run."""
    for pgnos, data in runs:
        if pgnos[0] != 1:
            yield pgnos, data
            continue
        changed = bytearray(data)
        changed[_CHANGE_COUNTER] = change_counter.to_bytes(4, "big")
        changed[_SCHEMA_COOKIE] = schema_cookie.to_bytes(4, "big")
        yield pgnos, memoryview(changed)
