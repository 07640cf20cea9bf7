"""Restore: a snapshot from a backup takes the place of a database, on the primary, under its clients.

The rules: what is replaced is kept aside first, as an LTX file of the whole database, for nobody may see the
need for it before it is gone. The order is an import's: the snapshot is doubted to its end, then, under all
of SQLite's write locks, it is durable under its final name before a page is written, so that recovery
finishes what a crash cuts short. The caller says at which position the database was when the restore was
decided; if a client has committed since, nothing happens.
"""

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import ApplierError, BusyError, PylitefsError, UntouchedError
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.applying import Applier
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.copies import RELEASE_S
from pylitefs.store.database import Database
from pylitefs.store.files import check_room, file_size, sync_directory
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import make_directory
from pylitefs.store.retention import sync_database
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience

log = logging.getLogger("pylitefs")

LOCKED_S = 20.0
"""A restore waits so long for a database's users; it is tried again later."""
AGAIN_S = 1.0
_HIDDEN = ".replaced"
"""Behind the name of an LTX file that a restore takes away, until the snapshot's pages are written."""
_VERSION = slice(24, 40)
"""In page 1: by these bytes a client in a rollback mode sees that its cached pages are old."""


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """A snapshot LTX file that was read to its end."""

    path: Path
    header: Header
    pos: Pos
    changes: Changes
    version: bytes


def keep_aside(store: Store, name: str) -> Path | None:
    """Keep the database as it is now as one LTX file, durable; None if there is none."""
    database = store.get(name)
    if database is None or database.current_pos().txid == 0 or not (database.exists and database.page_count):
        return None
    directory = store.data_dir / "kept" / name
    make_directory(directory)
    temporary = store.temp_path(".kept")
    try:
        info = store.snapshot(name, temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        path = directory / f"{info.pos.txid:016x}-{info.pos.checksum:016x}.ltx"
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(directory)
    return path


def drop_hidden(store: Store) -> None:
    """What a crash has left of a restore: recovery has finished it, or it did not begin."""
    for database in store.databases():
        for path in database.ltx_dir.glob(f"*{_HIDDEN}"):
            path.unlink(missing_ok=True)


def restore(
    store: Store,
    name: str,
    path: Path,
    expected: Pos,
    stopping: Callable[[float], bool] = lambda seconds: True,
) -> Pos:
    """Put the snapshot LTX file at `path`, on the data directory's disk, in the database's place.

    BusyError, with nothing changed, if its users cannot be kept out now, or if it is not at `expected` any
    more. The file is moved. `stopping(seconds)` waits so long, and tells whether the node is to end.
    """
    snapshot = _doubted(path)
    if snapshot.header.commit == 0:
        return _restore_drop(store, name, snapshot, expected)
    database = store.create(name)
    state = database.state
    make_directory(state.ltx.directory)
    size = snapshot.header.commit * snapshot.header.page_size
    check_room(
        state.directory, max(0, size - file_size(database.path(FileKind.DATABASE))), f"restoring {name}"
    )
    patience = Patience("a restore", LOCKED_S)
    try:
        with state.apply_lock.held_for(patience):
            _restore_locked(database, store.applier, snapshot, expected, patience=patience, stopping=stopping)
    finally:
        if state.pos.txid == 0 and file_size(database.path(FileKind.DATABASE)) == 0:
            # The write lock made a database of a new name, and nothing came of it.
            with suppress(PylitefsError, OSError):
                store.applier.unlink(name)
    return state.pos


def _doubted(path: Path) -> _Snapshot:
    """Read the file to its end: LtxError if anything in it is not as it should be."""
    changes, version = Changes(), b""
    with open_ltx(path) as decoder:
        for batch in decoder.batches():
            if batch.pgnos[0] == 1:
                version = bytes(next(iter(batch))[1][_VERSION])
            changes.extend(batch.pgnos, batch.checksums())
        pos = Pos(decoder.header.max_txid, decoder.trailer.post_apply_checksum)
        return _Snapshot(path, decoder.header, pos, changes, version)


def _restore_drop(store: Store, name: str, snapshot: _Snapshot, expected: Pos) -> Pos:
    """The backup's last word is that the database was dropped: a name without a file takes that over."""
    database = store.get(name)
    if database is not None and (database.exists or database.pos != expected):
        raise BusyError(f"the backup says that {name} was dropped, and it is here: drop it, or rename it")
    with open(snapshot.path, "rb") as file:
        return store.receive_ltx(name, iter(lambda: file.read(1 << 16), b"")).pos


def _restore_locked(
    database: Database,
    applier: Applier,
    snapshot: _Snapshot,
    expected: Pos,
    *,
    patience: Patience,
    stopping: Callable[[float], bool],
) -> None:
    state, name = database.state, database.name
    path = state.ltx.path(snapshot.header.min_txid, snapshot.header.max_txid)
    begun = False
    hidden: list[tuple[int, int]] = []
    try:
        with applier.write_lock(name, patience.left) as lock:
            if not database.applier_side.wait_for_writers(RELEASE_S):
                raise BusyError(f"cannot restore {name}: a client has its journal open")
            database.copies.settle()
            with state.lock:
                database.wal_watch.end_pending_by(lock.index)
                if state.unsynced:
                    raise BusyError(f"cannot restore {name}: its newest transactions are being synced")
                if state.pos != expected:
                    raise BusyError(f"cannot restore {name}: it went on from {expected} to {state.pos}")
                _check_caches(database, snapshot)
                hidden = _put_in_place(state, snapshot, path)
                begun = True
                state.applying = snapshot.pos.txid
            lock.apply(path, verified=True)
            _publish(database, snapshot)
    except UntouchedError:
        _take_back(state, snapshot, hidden)
        raise
    except (ApplierError, OSError):
        if not begun:
            raise
        if state.pos != snapshot.pos:
            # The applier died with the locks, and the snapshot is durable: its successor finishes it.
            _finish(database, applier, snapshot, path, stopping)
    finally:
        state.applying = 0
    for span in hidden:
        _hidden(state, span).unlink(missing_ok=True)


def _check_caches(database: Database, snapshot: _Snapshot) -> None:
    """A client keeps the pages that it has read for as long as these bytes of page 1 stay the same. (In WAL
    mode it goes by the WAL index, which is made anew.)"""
    if not database.has_clients or database.page_count == 0:
        return
    page = os.pread(database.state.fd(FileKind.DATABASE), DATABASE_HEADER_SIZE, 0)
    if page[_VERSION] == snapshot.version and not DatabaseHeader.parse(page).is_wal:
        raise BusyError(
            f"cannot restore {database.name} while clients have it open: what is restored looks to them like "
            "what they know; close their connections, or stop the application"
        )


def _put_in_place(state: DatabaseState, snapshot: _Snapshot, path: Path) -> list[tuple[int, int]]:
    """Make the snapshot the only LTX file there is, durably; those that were there are hidden beside it.

    The newest goes last: as long as it is there, it says what the database is, also after a crash. After a
    power failure there may be none but that one: so the database is durable before the others go.
    """
    hidden = state.ltx.ranges()
    with open(snapshot.path, "rb") as file:
        os.fsync(file.fileno())
    try:
        _hide_all_but(state, snapshot, path, hidden)
    except OSError:
        _take_back(state, snapshot, hidden)
        raise
    return hidden


def _hide_all_but(
    state: DatabaseState, snapshot: _Snapshot, path: Path, there: list[tuple[int, int]]
) -> None:
    own = (snapshot.header.min_txid, snapshot.header.max_txid)
    others = [span for span in there if span != own]
    if own in there:
        _keep_hidden(state, own)
    os.rename(snapshot.path, path)
    sync_directory(path.parent)
    state.ltx.add(*own)
    if others:
        sync_database(state)
        for some in (others[:-1], others[-1:]):
            for span in some:
                _hide(state, span)
            sync_directory(path.parent)


def _keep_hidden(state: DatabaseState, span: tuple[int, int]) -> None:
    """Of a file whose name the snapshot gets: at no moment is there neither."""
    hidden = _hidden(state, span)
    try:
        os.link(state.ltx.path(*span), hidden)
    except OSError:
        try:
            shutil.copyfile(state.ltx.path(*span), hidden)
        except OSError:
            hidden.unlink(missing_ok=True)  # Half a copy would come back as the whole file.
            raise


def _hide(state: DatabaseState, span: tuple[int, int]) -> None:
    os.rename(state.ltx.path(*span), _hidden(state, span))
    state.ltx.remove(*span)


def _hidden(state: DatabaseState, span: tuple[int, int]) -> Path:
    path = state.ltx.path(*span)
    return path.with_name(path.name + _HIDDEN)


def _take_back(state: DatabaseState, snapshot: _Snapshot, hidden: list[tuple[int, int]]) -> None:
    """Not a byte of the snapshot is written: the database is what it was, and its LTX files come back.

    Where the disk refuses that, the next start decides, by what it finds. Until then nothing may be added.
    """
    own = (snapshot.header.min_txid, snapshot.header.max_txid)
    try:
        for span in reversed(hidden):
            with suppress(FileNotFoundError):  # It had not been hidden yet.
                os.rename(_hidden(state, span), state.ltx.path(*span))
            _hidden(state, span).unlink(missing_ok=True)  # Where both were one file, it stays.
            state.ltx.add(*span)
        sync_directory(state.ltx.directory)
        if own not in hidden:
            state.ltx.remove(*own)
            sync_directory(state.ltx.directory)
    except OSError as error:
        state.sync_failure = error
        log.error(
            "%s: a restore failed, and what it began cannot be taken back: %s. No more is written to this "
            "database: stop this node, look at the disk, start it again",
            state.name,
            error,
        )


def _finish(
    database: Database,
    applier: Applier,
    snapshot: _Snapshot,
    path: Path,
    stopping: Callable[[float], bool],
) -> None:
    """Write the pages until that is done. If the node ends before, its next start does it."""
    while True:
        try:
            applier.apply(database.name, path, verified=True)
            break
        except (ApplierError, OSError):
            if stopping(AGAIN_S):
                raise
    _publish(database, snapshot)
    applier.release(database.name)


def _publish(database: Database, snapshot: _Snapshot) -> None:
    """The pages are there: everyone is told. The locks end after that, and a client may commit at once."""
    state = database.state
    with state.lock:
        database.rollback_watch.forget()
        database.wal_watch.tracker.reset(snapshot.header.commit)
        sums = PageChecksums()
        sums.update(snapshot.changes, snapshot.header.commit)
        state.sums = sums
        state.advance(snapshot.header, snapshot.pos)
        state.applying = 0
