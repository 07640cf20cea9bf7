"""Import: another database's bytes become this database's next transaction.

The rule: the source is checked to be a whole database, which SQLite can read, before anything is locked;
then, under all of SQLite's write locks, the LTX file comes first and the pages after it, so that a crash in
between is finished by recovery. The position moves last, when the pages are there. What clients committed
before it keeps an LTX file of its own. An import that cannot write its first page has not happened; one that
was stopped in the middle is tried again until it is done, and nobody gets at the database meanwhile.

It is encoded while it arrives (arriving.py). Where nobody has the database open, the file that arrived gets
its name, still under the locks, and no page goes through the mount (replacing.py). The numbers in page 1 are
counters.py's.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from pylitefs.errors import ApplierError, BusyError, PylitefsError, UntouchedError
from pylitefs.ltx.position import Pos
from pylitefs.store import content
from pylitefs.store.applying import Applier
from pylitefs.store.arriving import Arrival
from pylitefs.store.capture import PageRuns, all_pgnos, capture, capture_arrived, publish, runs_in_file
from pylitefs.store.copies import RELEASE_S
from pylitefs.store.counters import Counters, next_counters, with_counters
from pylitefs.store.database import Database
from pylitefs.store.files import check_room, file_size
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import make_directory
from pylitefs.store.replacing import may_replace
from pylitefs.store.state import Captured, DatabaseState
from pylitefs.store.turns import Patience

Runs = Iterator[tuple[list[int], memoryview]]
Stopping = Callable[[float], bool]
"""stopping(seconds) waits so long, and tells whether the node is to end."""


LOCKED_S = 20.0
"""An import waits so long for a database's users, and for an export, together. Not for ever: it would happen
at any time later, when whoever asked for it has gone, and snapshots of the database wait for it meanwhile."""
_LATER = "try again when its transaction has ended"
AGAIN_S = 1.0


def _never(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def import_arrived(
    database: Database, applier: Applier, arrival: Arrival, stopping: Stopping = _never
) -> Pos:
    """Replace the database by the one that has arrived, as one transaction on the primary.

    Raises SqliteFormatError if it is no whole database that SQLite can read; BusyError, with nothing changed,
    if someone keeps the database locked; and UntouchedError if its first page cannot be written. With some of
    them written it waits for room and goes on.
    """
    page_size, count = arrival.whole()
    content.check(arrival.path, database.name, stopping)
    state = database.state
    make_directory(state.ltx.directory)
    size = page_size * count
    # What the database grows by, where its pages are written; and once for the LTX file, unless it is there.
    needed = 0 if arrival.is_encoded() and may_replace(database) else _growth(database, size)
    needed += 0 if arrival.is_encoded() else size
    check_room(state.directory, needed, f"importing {database.name}")
    done = False
    patience = Patience("an import", LOCKED_S)
    try:
        with state.apply_lock.held_for(patience):
            _import_locked(
                database, applier, arrival, (page_size, count), patience=patience, stopping=stopping
            )
        done = True
    finally:
        if not done and state.pos.txid == 0 and file_size(state.path(FileKind.DATABASE)) == 0:
            _remove_made(database, applier)
    return state.pos


def _import_locked(
    database: Database,
    applier: Applier,
    arrival: Arrival,
    size: tuple[int, int],
    *,
    patience: Patience,
    stopping: Stopping,
) -> None:
    state = database.state
    captured: Captured | None = None
    try:
        with applier.write_lock(database.name, patience.left) as lock:
            if not database.applier_side.wait_for_writers(RELEASE_S):
                raise BusyError(f"cannot import {database.name}: a client has its journal open: {_LATER}")
            database.copies.settle()
            with state.lock:
                database.wal_watch.end_pending_by(lock.index)
                counters = next_counters(database)
                captured = _capture(state, arrival, size, counters)
                state.applying = captured.pos.txid
            path = state.ltx.path(state.applying, state.applying)
            on_the_way = arrival.is_encoded(counters) and lock.may_adopt and may_replace(database)
            if on_the_way and arrival.move_to(database, counters):
                lock.adopt(path)
            else:
                lock.apply(path, verified=True)
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


def _capture(state: DatabaseState, arrival: Arrival, size: tuple[int, int], counters: Counters) -> Captured:
    """The LTX file, durable: the one that was encoded on the way, if it is what is wanted by now."""
    page_size, count = size
    if arrival.is_encoded(counters):
        return capture_arrived(state, page_size, count, arrival.finish)
    with open(arrival.path, "rb") as file:
        runs = runs_in_file(file.fileno(), all_pgnos(count, page_size), page_size)
        captured = capture(state, page_size, count, PageRuns(_anew(runs, counters)), replace=True)
    assert captured is not None
    return captured


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


def _anew(runs: Runs, counters: Counters) -> Runs:
    """The pages with these numbers in page 1, which is in the first run."""
    for pgnos, data in runs:
        yield pgnos, memoryview(with_counters(data, counters)) if pgnos[0] == 1 else data
