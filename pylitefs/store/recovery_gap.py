"""Recovery after a power failure: a gap among the newest LTX files.

    replica    it stores several files, syncs them one after the other, and applies none before all are synced
               (`together.receive_together`). So the database has no page of them. But it may have lost pages
               of older ones, which are in no database file for certain until retention syncs it.
    primary    in a burst of WAL mode files are synced in groups behind the commits (group_sync.py). So the
               database file is as before the group or older, and its newest frames in the WAL may be lost.
               Older it is where nothing had synced it: it was applied on a replica that leads now, or with a
               HALT lock, or SQLite copied it there with synchronous=OFF.

Of a group any file may be whole, torn or missing. The rule: the newest position that can be reached counts,
and what comes after it goes. The primary has what a replica drops. What a primary drops it has told nobody,
and SQLite with synchronous=NORMAL has not promised it. Any other gap is an error, as everywhere.

A killed node leaves files that are whole and not synced, and names that a rename gave them or took away. They
count. So they are synced before the database file gets a page of them and anybody hears of them: the power
may fail later.
"""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LtxError, TornLtxError
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import TRAILER_SIZE, Header, Trailer
from pylitefs.portable import BINARY
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.files import is_from_before_boot, sync_directory, sync_names_left
from pylitefs.store.group_sync import MOST_LATE
from pylitefs.store.recovery_replay import replayed, write_replay
from pylitefs.store.recovery_sides import wal_pages
from pylitefs.store.state import DatabaseState
from pylitefs.store.together import MOST_TOGETHER

log = logging.getLogger("pylitefs")

Sums = Callable[[Header], PageChecksums]
"""The page checksums of the database file, as a header sees it."""

_BLOCK = 512
"""What a disk writes as a whole, at least."""
_CHUNK = 1 << 20
_SHORT = 2 << 20
"""Longer files are synced before anything goes on, so that they are never torn here."""

Span = tuple[int, int]


@dataclass
class _File:
    """A verified LTX file."""

    span: Span
    header: Header
    trailer: Trailer
    newer: list[Span]
    """The files after it, whole or not."""
    is_before_gap: bool
    """Whether one of those after it was not written, or is missing."""


def is_unwritten(path: Path, error: LtxError) -> bool:
    """Whether a power failure before the sync was done explains this error."""
    return isinstance(error, TornLtxError) or _has_lost_blocks(path)


def _has_lost_blocks(path: Path) -> bool:
    """Whether a block of the file, or its trailer, is all zeros, as after a power failure that came before
    the sync was done: the length survived and some data did not. (Compressed pages have no such block.)
    """
    chunk = b""
    with open(path, "rb") as file:
        while more := file.read(_CHUNK):
            chunk = more
            blocks = [chunk[at : at + _BLOCK] for at in range(0, len(chunk), _BLOCK)]
            if any(not any(block) for block in blocks):
                return True
    return not any(chunk[-TRAILER_SIZE:])


def cut_back(state: DatabaseState, sums: Sums) -> bool:
    """Drop the newest LTX files past a gap if the database file and the files before the gap lead to it;
    whether they were dropped. For a replica."""
    sums = _read_once(sums)
    for file in _ends_before_gaps(state):
        replay = replayed(state, file.header, sums(file.header))
        if replay is not None and replay.sums.value == file.trailer.post_apply_checksum:
            _drop(state, file, "the primary is asked for them again")
            return True
    return False


def cut_burst(state: DatabaseState, sums: Sums) -> bool:
    """Drop the LTX files past the newest position to which the database file, the WAL over it and the files
    over that lead; whether any were dropped. For a primary whose newest position may be out of reach."""
    sums = _read_once(sums)
    for file in _whole_files(state, MOST_LATE):
        found = sums(file.header)
        found.update(wal_pages(state, file.header), file.header.commit)
        replay = replayed(state, file.header, found)
        if replay is not None and replay.sums.value == file.trailer.post_apply_checksum:
            return bool(file.newer) and _drop_burst(state, file)
    return False


def lay_beneath(state: DatabaseState, last: Header, checksum: int, sums: Sums) -> None:
    """Before the WAL, which holds all up to the newest LTX file, is copied into the database file: bring that
    to where the WAL begins, if the files over it cannot, for there is a gap among them. What the WAL brings
    it to could never be told from damage afterwards. For a primary; `checksum` is its newest position's."""
    if not is_from_before_boot(state.ltx.path(last.min_txid, last.max_txid)):
        return
    ends = list(_ends_before_gaps(state))
    if not ends:
        return
    sums, over = _read_once(sums), wal_pages(state, last)
    if sums(last).preview(over, last.commit) == checksum:
        return
    for end in ends:
        replay = replayed(state, end.header, sums(end.header))
        if replay is not None and replay.sums.preview(over, last.commit) == checksum:
            write_replay(state, replay)
            return


def sync_newest(state: DatabaseState) -> None:
    """Sync the newest LTX files, as many as a killed node may have left unsynced, and their names."""
    for span in state.ltx.ranges()[-max(MOST_LATE, MOST_TOGETHER) - 2 :]:
        path = state.ltx.path(*span)
        if is_from_before_boot(path):
            continue  # It was read from the disk.
        fd = os.open(path, os.O_RDONLY | BINARY)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
    sync_names_left(state.ltx.directory)


def drop_torn(state: DatabaseState) -> None:
    """Of a burst the newest file may be whole, and one before it torn, and the WAL may hold them all: then
    the position is right without it. But no replica could ever be sent what is left of it, so it goes, and
    whoever lacks it gets a snapshot."""
    torn = False
    newest = sorted(state.ltx.ranges(), key=lambda span: span[1])[-max(MOST_LATE, MOST_TOGETHER) - 2 :]
    for span in newest:
        path = state.ltx.path(*span)
        if not is_from_before_boot(path) or os.stat(path).st_size > _SHORT:
            continue
        try:
            verify_file(path)
        except LtxError as error:
            if not is_unwritten(path, error):
                continue  # Damage of another kind stays, and is named to who needs the file.
            log.warning("%s: %s was not written when the power failed, and goes: %s", state.name, path, error)
            state.ltx.remove(*span)
            torn = True
    if torn:
        sync_directory(state.ltx.directory)


def _read_once(sums: Sums) -> Sums:
    """The same, which reads the database file once: what a header sees is a part of what one with more pages
    sees."""
    kept: dict[int, PageChecksums] = {}

    def part(header: Header) -> PageChecksums:
        known = kept.get(header.page_size)
        if known is None or known.page_count < header.commit:
            known = kept[header.page_size] = sums(header)
        found = known.copy()
        found.update(Changes(), header.commit)
        return found

    return part


def _ends_before_gaps(state: DatabaseState) -> Iterator[_File]:
    """The last whole file before each gap, the newest first; none whose own past is torn, for what was never
    written cannot be replayed."""
    end: _File | None = None
    above: _File | None = None
    for file in _whole_files(state, MOST_TOGETHER):
        if above is not None and file.newer[-1] != above.span:
            end = None
        elif above is not None and end is not None and file.span[1] + 1 < above.span[0]:
            yield end
            end = None
        if end is None and file.is_before_gap:
            end = file
        above = file
    if end is not None:
        yield end


def _whole_files(state: DatabaseState, most: int) -> Iterator[_File]:
    """The newest LTX files but those that are torn, the newest first."""
    newer: list[Span] = []
    gap = False
    for span in sorted(state.ltx.ranges(), key=lambda one: one[1], reverse=True)[: most + 2]:
        gap = gap or bool(newer and span[1] + 1 < min(newer)[0])
        path = state.ltx.path(*span)
        try:
            header, trailer = verify_file(path)
        except LtxError as error:
            gap = gap or is_unwritten(path, error)
        else:
            yield _File(span, header, trailer, list(newer), gap)
        newer.append(span)


def _drop_burst(state: DatabaseState, file: _File) -> bool:
    """Only what is of a burst may go: short transactions of WAL mode."""
    for span in file.newer:
        try:
            header = state.ltx.header(*span)
        except LtxError:
            continue
        if header is not None and not header.wal_offset:
            return False
    _drop(state, file, "nobody was told of them, and synchronous=NORMAL promises nothing of them")
    return True


def _drop(state: DatabaseState, file: _File, why: str) -> None:
    log.warning(
        "%s: of the LTX files past TXID %d some were not written when the power failed: %d are dropped; %s",
        state.name,
        file.header.max_txid,
        len(file.newer),
        why,
    )
    for span in file.newer:
        state.ltx.remove(*span)
    sync_directory(state.ltx.directory)  # None may come back once others have its TXID.
    if state.node.tracer.active:
        state.node.tracer.emit("recovery.ltx", state.name, file.header.max_txid, dropped=len(file.newer))
