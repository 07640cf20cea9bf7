"""The replica's side of a transaction: an LTX file comes in, is doubted, kept, and applied.

The rule is the order. First the whole file is verified, and its checksum compared with what this database
would become. Then the file is synced. Then the applier writes the pages, under SQLite's locks. Then the
position moves. A file that does not fit changes nothing.

Short ones that are whole in memory go another way: together.py.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pylitefs.errors import BusyError, LtxChecksumError, PositionMismatchError, PylitefsError
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.ltx.short import ShortTransaction
from pylitefs.portable import BINARY, MOVES_OPEN_FILES
from pylitefs.store import lost
from pylitefs.store.applying import Applier
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.database import Database
from pylitefs.store.files import WRITTEN_TOGETHER, check_room, start_writing, sync_directory, write_all
from pylitefs.store.fresh import FreshFile, begin_fresh
from pylitefs.store.privacy import FILE_MODE, make_directory, private
from pylitefs.store.retention import sync_database
from pylitefs.store.state import DatabaseState
from pylitefs.store.turns import Patience
from pylitefs.store.write_events import pages_payload

TURN_S = 600.0
"""An apply waits so long for an export or a snapshot of the same database that is being copied."""
_IN_MEMORY = 1 << 20

Outcome = Literal["applied", "skipped", "snapshot"]


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a received LTX file. `size` is in bytes, as it came over the wire."""

    header: Header
    trailer: Trailer
    size: int
    outcome: Outcome
    pos: Pos


class _Spool:
    """Keeps every byte that is read through it: in memory while they are few, else in `ltx/receiving.tmp`.

    So a file is verified while it arrives, and is whole on disk when its last byte has been verified.
    """

    def __init__(self, state: DatabaseState, chunks: Iterable[bytes]) -> None:
        self.size = 0
        self._given = 0
        self._state = state
        self._feed = iter(chunks)
        self._rest = b""
        self._parts: list[bytes] = []
        self._temporary = state.ltx.directory / "receiving.tmp"
        self._fd = -1

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        while not self._rest:
            chunk = next(self._feed, None)
            if chunk is None:
                return b""
            self._keep(chunk)
            self._rest = chunk
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _keep(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._parts.append(chunk)
        if self._fd < 0 and self.size > _IN_MEMORY:
            make_directory(self._state.ltx.directory)
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
        if self._fd >= 0:
            write_all(self._fd, b"".join(self._parts))
            self._parts.clear()
            if self.size - self._given >= WRITTEN_TOGETHER:
                start_writing(self._fd, self._given, self.size - self._given)
                self._given = self.size

    def store(self, path: Path) -> bytes | None:
        """Make what was read durable under its final name; its bytes if they were few."""
        if self._fd < 0:
            content = b"".join(self._parts)
            make_directory(path.parent)
            if not path.exists():
                _write_new(path, content)
                return content
            # It came before, and may be half applied: not for a moment is it to be torn.
            self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
            write_all(self._fd, content)
        os.fsync(self._fd)
        if not MOVES_OPEN_FILES:
            os.close(self._fd)
            self._fd = -1
        os.replace(self._temporary, path)
        sync_directory(path.parent)
        return None

    def close(self) -> None:
        """What was not stored is not kept."""
        if self._fd >= 0:
            os.close(self._fd)
            self._temporary.unlink(missing_ok=True)


def _write_new(path: Path, content: bytes) -> None:
    """A new file, durable. As in capture.py: its sync makes its name durable as well."""
    with open(path, "xb", buffering=0, opener=private) as target:
        try:
            write_all(target.fileno(), content)
            os.fdatasync(target.fileno())
        except BaseException:
            path.unlink()
            raise


class HeldUpError(PylitefsError):
    """A transaction is stored, and someone keeps it from being applied; `finish()` waits until it can be."""

    def __init__(self, name: str, why: str, finish: Callable[[], Received]) -> None:
        super().__init__(f"{name} is held up: {why}")
        self.finish = finish


def receive(
    database: Database, applier: Applier, chunks: Iterable[bytes], patience: float | None = None
) -> Received:
    """Take in one LTX file for a replica's database; blocks while readers hold the apply up.

    Raises LtxError for a file that is not whole, PositionMismatchError for one that does not continue
    this database's position, LtxChecksumError for one whose result would not be what it promises. With
    `patience`: HeldUpError if it cannot be applied within so many seconds.
    """
    database.visitors.expect_apply()
    try:
        arrived = store_file(database, chunks)
        if isinstance(arrived, Received):
            return arrived
        return apply_or_wait(database, applier, arrived, patience)
    finally:
        database.visitors.end_apply()


def apply_or_wait(database: Database, applier: Applier, stored: "Stored", patience: float | None) -> Received:
    """Apply it; HeldUpError where that takes longer than `patience`, and nothing has changed."""
    try:
        return _apply(database, applier, stored, patience)
    except BusyError as error:
        if patience is None:
            raise
        stored.meanwhile = None
        raise HeldUpError(
            database.name,
            str(error),
            lambda: _apply(database, applier, stored, None),
        ) from error


@dataclass(slots=True)
class Stored:
    """A transaction that was doubted to its end and is durable; `sums` is what its pages go into."""

    header: Header
    trailer: Trailer
    size: int
    path: Path
    changes: Changes | dict[int, int]
    sums: PageChecksums
    fresh: FreshFile | None = None
    """Its pages, where they are a new database that only has to be shown."""
    before: "Sequence[Stored]" = ()
    """Those that it continues, where several are applied together. `changes` are of all, then."""
    at_hand: ShortTransaction | None = None
    """Its pages, or those of all, where they are few."""
    meanwhile: Callable[[], None] | None = None
    """Done beside the apply: see together.py."""
    settle: Callable[[], None] = lambda: None
    """Done after the apply, and before the position moves."""


def store_file(database: Database, chunks: Iterable[bytes], *, fresh: bool = True) -> Stored | Received:
    """Verify an LTX file while it arrives, and make it durable. `fresh`: a new database may be written on the
    way."""
    state = database.state
    spool = _Spool(state, chunks)
    with closing(spool), ExitStack() as undo:
        decoder = Decoder(spool.read)
        header = decoder.header
        if (halt := state.halt) is not None:
            halt.arrives(header)
        changes = Changes()
        file = begin_fresh(database, header) if fresh else None
        if file is not None:
            undo.callback(file.close)
        for batch in decoder.batches():
            changes.extend(batch.pgnos, batch.checksums())
            if file is not None:
                file.take(batch)
        trailer = decoder.trailer
        tracer = state.node.tracer
        if tracer.active:
            payload = {"commit": header.commit, **pages_payload(changes)}
            tracer.emit("ltx.verify", state.name, header.max_txid, size=spool.size, **payload)
        if _is_here(state, header, trailer):
            return Received(header, trailer, spool.size, "skipped", state.pos)
        sums = _check(state, header, trailer, changes)
        growth = header.commit * header.page_size - state.sums.page_count * state.page_size
        if growth > 0 and file is None:
            # What could not be applied is not stored: half a transaction would be left to the readers.
            check_room(state.directory.parent, growth, f"{header.filename} of {state.name}")
        if header.is_snapshot:
            lost.keep_aside(state, header, trailer)
        path = state.ltx.path(header.min_txid, header.max_txid)
        state.ltx.add(header.min_txid, header.max_txid, spool.store(path))
        if tracer.active:
            payload = {"path": str(path), "size": spool.size, **pages_payload(changes)}
            tracer.emit("ltx.store", state.name, header.max_txid, **payload)
        undo.pop_all()
    if header.is_snapshot:
        _remove_all_but(state, header)
    return Stored(header, trailer, spool.size, path, changes, sums, file)


def _is_here(state: DatabaseState, header: Header, trailer: Trailer) -> bool:
    """Whether it is a transaction of this node's own, made with the HALT lock, that comes round. If it is the
    newest, the position says so: it may be that this node's client was refused, and what its roll-back left
    became another one with the same TXID."""
    if header.node_id != state.node.node_id:
        return False
    newest = Pos(header.max_txid, trailer.post_apply_checksum)
    return header.max_txid < state.pos.txid or newest == state.pos


def _apply(database: Database, applier: Applier, stored: Stored, patience: float | None) -> Received:
    state, header = database.state, stored.header
    paths = [one.path for one in (*stored.before, stored)]
    with state.apply_lock.held_for(Patience("an apply", TURN_S if patience is None else patience)):
        # SQLite's readers may make this wait, so the state's lock is not held.
        if header.commit == 0:
            database.visitors.end_apply()  # libfuse unlinks no name while an open of it waits here.
        database.visitors.begin_apply()
        state.applying = header.max_txid
        try:
            if stored.fresh is None or not stored.fresh.show(applier):
                applier.apply(
                    state.name,
                    paths[0],
                    more=paths[1:],
                    verified=True,
                    timeout=patience,
                    at_hand=stored.at_hand,
                    meanwhile=stored.meanwhile,
                    known=database.wal_watch.known,
                )
        finally:
            state.applying = 0
        stored.settle()
        tell_applied(database, stored)
    outcome: Outcome = "snapshot" if header.is_snapshot else "applied"
    return Received(header, stored.trailer, stored.size, outcome, state.pos)


def tell_applied(database: Database, stored: Stored) -> None:
    """Its pages are in the database: the position moves."""
    state, commit = database.state, stored.header.commit
    pos = Pos(stored.header.max_txid, stored.trailer.post_apply_checksum)
    first = stored.before[0] if stored.before else stored
    state.covered.applied(first.header, stored.header, pos, stored.changes)
    with state.lock:
        stored.sums.update(stored.changes, commit)
        state.sums = stored.sums
        database.wal_watch.tracker.reset(commit)
        database.rollback_watch.forget()
        for one in (*stored.before, stored):
            state.advance(one.header, Pos(one.header.max_txid, one.trailer.post_apply_checksum))


def _check(state: DatabaseState, header: Header, trailer: Trailer, changes: Changes) -> PageChecksums:
    """The checksums that the file's pages go into, once it is sure that they may."""
    whole = header.is_snapshot or header.commit == 0 or header.page_size != state.page_size
    sums = PageChecksums() if whole else state.sums
    if not header.is_snapshot:
        expected = Pos(header.min_txid - 1, header.pre_apply_checksum)
        if state.pos != expected:
            raise PositionMismatchError(
                f"{header.filename} of {state.name} continues position {expected}, "
                f"but this node is at {state.pos}: it needs a snapshot"
            )
    promised = trailer.post_apply_checksum
    result = sums.preview(changes, header.commit)
    if result != promised:
        raise LtxChecksumError(
            f"{header.filename} of {state.name} promises checksum {promised:016x}, but its pages over this "
            f"database give {result:016x}: remove {state.directory} on this node to take a snapshot"
        )
    return sums


def _remove_all_but(state: DatabaseState, header: Header) -> None:
    """A snapshot replaces everything, and recovery can rebuild the database from it alone.

    None of the others may come back after a power failure: of a history that is given up, a newer one would
    be believed. Until all are gone, the database is still at the end of that history. So it is made durable
    there, and the file that says so goes last, alone.
    """
    others = [span for span in state.ltx.ranges() if span != (header.min_txid, header.max_txid)]
    last = [span for span in others if span[1] > header.max_txid and span[1] >= state.pos.txid]
    if last:
        sync_database(state)
        _remove(state, [span for span in others if span not in last])
    _remove(state, last or others)


def _remove(state: DatabaseState, spans: Iterable[tuple[int, int]]) -> None:
    for span in spans:
        state.ltx.remove(*span)
    sync_directory(state.ltx.directory)
