"""The replica's side of a transaction: an LTX file comes in, is doubted, kept, and applied.

The rule is the order (invariants 1, 3, 5): the whole file is verified, and its checksum compared with
what this database would become, before any page is touched; then it is durable; then the applier writes
the pages under SQLite's locks; then the position moves. A file that does not fit changes nothing.
"""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from pylitefs.errors import LtxChecksumError, PositionMismatchError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import Decoder
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.store.applying import Applier
from pylitefs.store.checksums import PageChecksums
from pylitefs.store.database import Database
from pylitefs.store.files import sync_directory
from pylitefs.store.state import DatabaseState

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


@contextmanager
def _spool(state: DatabaseState, chunks: Iterable[bytes]) -> Iterator[tuple[BinaryIO, int, str | None]]:
    """The whole file, in memory while small, else in `ltx/*.tmp`: (file, size, temporary path)."""
    parts: list[bytes] = []
    size = 0
    feed = iter(chunks)
    for chunk in feed:
        parts.append(chunk)
        size += len(chunk)
        if size > _IN_MEMORY:
            break
    else:
        yield io.BytesIO(b"".join(parts)), size, None
        return
    state.ltx.directory.mkdir(parents=True, exist_ok=True)
    temporary = str(state.ltx.directory / "receiving.tmp")
    with open(temporary, "w+b") as file:
        try:
            file.writelines(parts)
            for chunk in feed:
                file.write(chunk)
                size += len(chunk)
            file.flush()
            yield file, size, temporary
        finally:
            if os.path.exists(temporary):
                os.unlink(temporary)


def receive(database: Database, applier: Applier, chunks: Iterable[bytes]) -> Received:
    """Take in one LTX file for a replica's database; blocks while readers hold the apply up.

    Raises LtxError for a file that is not whole, PositionMismatchError for one that does not continue
    this database's position, LtxChecksumError for one whose result would not be what it promises.
    """
    state = database.state
    with _spool(state, chunks) as (file, size, temporary):
        file.seek(0)
        decoder = Decoder(file.read)
        header = decoder.header
        changes = {pgno: page_checksum(pgno, page) for pgno, page in decoder.pages()}
        trailer = decoder.trailer
        tracer = state.node.tracer
        if tracer.active:
            tracer.emit("ltx.verify", state.name, header.max_txid, size=size, pages=len(changes))
        if header.node_id == state.node.node_id and header.max_txid <= state.pos.txid:
            return Received(header, trailer, size, "skipped", state.pos)
        sums = _check(state, header, trailer, changes)
        _store(state, header, file, temporary)
    if header.is_snapshot:
        _remove_all_but(state, header)
    pos = Pos(header.max_txid, trailer.post_apply_checksum)
    with state.apply_lock:
        # SQLite's readers may make this wait, so the state's lock is not held.
        applier.apply(state.name, state.ltx.path(header.min_txid, header.max_txid), verified=True)
        with state.lock:
            sums.update(changes, header.commit)
            state.sums = sums
            database.wal.tracker.reset(header.commit)
            database.rollback.forget()
            state.count("commit")
            state.advance(header, pos)
    return Received(header, trailer, size, "snapshot" if header.is_snapshot else "applied", pos)


def _check(
    state: DatabaseState, header: Header, trailer: Trailer, changes: dict[int, int]
) -> PageChecksums:
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


def _store(state: DatabaseState, header: Header, file: BinaryIO, temporary: str | None) -> None:
    """Make the LTX file durable under its final name."""
    state.ltx.directory.mkdir(parents=True, exist_ok=True)
    path = state.ltx.path(header.min_txid, header.max_txid)
    content = None
    if temporary is None:
        file.seek(0)
        content = file.read()
        # As in capture.py: the sync of a new file makes its name durable as well.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        with open(fd, "wb", buffering=0) as target:
            target.write(content)
            os.fdatasync(fd)
    else:
        os.fsync(file.fileno())
        os.rename(temporary, path)
        sync_directory(path.parent)
    state.ltx.add(header.min_txid, header.max_txid, content)
    tracer = state.node.tracer
    if tracer.active:
        tracer.emit("ltx.store", state.name, header.max_txid, path=str(path))


def _remove_all_but(state: DatabaseState, header: Header) -> None:
    """A snapshot replaces everything, and recovery can rebuild the database from it alone."""
    for span in state.ltx.ranges():
        if span != (header.min_txid, header.max_txid):
            state.ltx.remove(*span)
