"""Before a database is opened: bring its files, whatever a crash left of them, to one position.

    LTX files    the last one may be torn: it was never acknowledged, and goes; so do those past a gap in a
                 burst (recovery_gap.py)
    journal      hot: rolled back as SQLite would (unless its super-journal is gone: then it was committed)
    WAL          cut back to the last LTX file and checkpointed; one with other salts is set aside
    database     its checksum must be the last LTX file's, and so must that file's pages; if not, the LTX
                 files that are kept are replayed in memory first, and over the file only if that makes it
                 right, newer pages kept aside. What was committed and not captured (by a super-journal, or
                 without a journal) is captured as it is instead, and so are free pages after a rollback

The rule: what was acknowledged is kept; what would be thrown away is named in the log before it goes; and
where files contradict each other, nothing is touched and RecoveryError says which, and the way out.
No mount exists yet, so the data files are read and written directly.

The database's checksum alone is not believed. It is a XOR of CRCs, which are linear: pages that differ from
what they should be in the same way, say two empty ones that were never written, cancel each other out.
"""

import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pylitefs.errors import LtxError, RecoveryError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.store.capture import commit_whole_file
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.files import file_size, is_from_before_boot
from pylitefs.store.marker import MARKER, Left, read_marker
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import make_directory
from pylitefs.store.recovery_gap import (
    cut_back,
    cut_burst,
    drop_torn,
    is_unwritten,
    lay_beneath,
    sync_newest,
)
from pylitefs.store.recovery_given_up import drop_given_up
from pylitefs.store.recovery_left import (
    capture_free_pages,
    capture_left,
    database_header,
    keep_what_is_newer,
    may_be_free_pages,
)
from pylitefs.store.recovery_replay import file_sums, replayed, write_replay
from pylitefs.store.recovery_sides import checkpoint_wal, roll_back_journal, wal_reaches
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")


@dataclass
class _Last:
    """The newest LTX file, verified."""

    header: Header
    trailer: Trailer
    pages: Changes
    """The checksum of each of its pages."""


def recover(state: DatabaseState, mount_dir: Path | None = None) -> None:
    """Make one database whole and set its state. `mount_dir` is where clients saw it, for super-journals.

    Raises RecoveryError if its files contradict each other.
    """
    tracer = state.node.tracer
    if tracer.active:
        tracer.emit("recovery.begin", state.name)
    _drop_temporaries(state)
    last = _last_ltx(state)
    # Before the WAL is checkpointed as far as it goes: that may be past where the LTX files lead.
    reaches = wal_reaches(state, last.header) if last and state.node.status.is_primary else None
    sums = partial(file_sums, state.path(FileKind.DATABASE))
    if reaches is False and cut_burst(state, sums):
        last = _last_ltx(state)
    sync_newest(state)
    txid = last.header.max_txid if last else 0
    left = max(roll_back_journal(state, mount_dir, txid), read_marker(state.directory, txid))
    if last and reaches:
        lay_beneath(state, last.header, last.trailer.post_apply_checksum, sums)
    checkpoint_wal(state, last.header if last else None)
    state.path(FileKind.SHM).unlink(missing_ok=True)
    if last is None:
        _adopt(state)
    else:
        _match(state, last, left)
    drop_torn(state)
    drop_given_up(state)
    (state.directory / MARKER).unlink(missing_ok=True)
    if tracer.active:
        tracer.emit("recovery.end", state.name, state.pos.txid, checksum=state.pos.checksum)


def _drop_temporaries(state: DatabaseState) -> None:
    for path in [*state.directory.glob("*.tmp"), *state.ltx.directory.glob("*.tmp")]:
        path.unlink()


def _last_ltx(state: DatabaseState) -> _Last | None:
    """The newest whole LTX file; a torn one after it is dropped."""
    state.ltx.load()
    while ranges := state.ltx.ranges():
        span = max(ranges, key=lambda span: (span[1], -span[0]))
        path = state.ltx.path(*span)
        pages = Changes()

        def note(pgno: int, page: bytes, pages: Changes = pages) -> None:
            pages.add(pgno, page_checksum(pgno, page))

        try:
            header, trailer = verify_file(path, note)
            if (header.min_txid, header.max_txid) != span:
                raise LtxError(f"{path} holds TXIDs {header.min_txid} to {header.max_txid}, not its name's")
            return _Last(header, trailer, pages)
        except LtxError as error:
            if not is_unwritten(path, error):
                raise RecoveryError(
                    f"{state.name}: {error}. It is the newest LTX file, TXID {span[1]}, so the position is "
                    f"unknown: on a replica remove {state.directory} to take a snapshot; on the primary move "
                    f"{path} away and start again, which goes on from the transaction before it"
                ) from None
            log.warning(
                "%s: %s was not written to its end: its transaction was never acknowledged, the file is "
                "dropped (%s)",
                state.name,
                path,
                error,
            )
            state.ltx.remove(*span)
            if state.node.tracer.active:
                state.node.tracer.emit("recovery.ltx", state.name, span[1], dropped=str(path))
    return None


def _adopt(state: DatabaseState) -> None:
    """There is no LTX file: a database that is there all the same becomes the first transaction."""
    path = state.path(FileKind.DATABASE)
    size = file_size(path)
    if size == 0:
        path.unlink(missing_ok=True)
        return
    header = database_header(path)
    if header is None or size < header.pages(size) * header.page_size:
        raise RecoveryError(
            f"{state.name}: {path} is not a whole SQLite database and there is no LTX file to rebuild it "
            f"from: move {state.directory} away and start again"
        )
    if not state.node.status.is_primary:
        log.warning(
            "%s has no LTX file: it will be replaced by the primary's, if the primary has one", state.name
        )
        return
    make_directory(state.ltx.directory)
    pos = commit_whole_file(state, header.page_size, header.pages(size))
    log.warning("%s had no LTX file: its %d bytes become transaction %s", state.name, size, pos)


def _match(state: DatabaseState, last: _Last, left: Left) -> None:
    """Check the database file against the last LTX file; replay, capture or refuse."""
    header = last.header
    pos = Pos(header.max_txid, last.trailer.post_apply_checksum)
    state.pos, state.page_size, state.timestamp_ms = pos, header.page_size, header.timestamp_ms
    path = state.path(FileKind.DATABASE)
    is_primary = state.node.status.is_primary
    uncaptured = left is Left.COMMITTED and is_primary and file_size(path) > 0
    if header.commit == 0 and not uncaptured:
        _drop(state, path)
        return
    sums = file_sums(path, header)
    size = header.commit * header.page_size
    whole = sums.value == pos.checksum and file_size(path) >= size and sums.holds(last.pages)
    if uncaptured and not whole:
        capture_left(state, path)
        return
    before_boot = is_from_before_boot(state.ltx.path(header.min_txid, header.max_txid))
    # Two free pages that were changed alike have the checksum of before: so each is looked at by itself.
    if not whole or before_boot or left is Left.FREE_PAGES:
        replay = replayed(state, header, sums)
        if replay is not None and replay.sums.value == pos.checksum:
            if not before_boot:
                keep_what_is_newer(state, replay, last.pages, left)
            write_replay(state, replay)
            sums = replay.sums
        elif not whole and replay and left and is_primary and may_be_free_pages(state, replay):
            write_replay(state, replay)
            capture_free_pages(state, header)
            return
        elif not whole and (cut_burst if is_primary else cut_back)(state, partial(file_sums, path)):
            again = _last_ltx(state)
            assert again is not None
            _match(state, again, left)
            return
        elif not whole:
            raise RecoveryError(_contradiction(state, header, path, sums.value, pos.checksum))
    if file_size(path) != size:
        # VACUUM shrinks the file after its commit; a crash in between leaves it too long.
        os.truncate(path, size)
    state.sums = sums


def _drop(state: DatabaseState, path: Path) -> None:
    """The last transaction unlinked the database; a crash may have come before the file was gone."""
    if size := file_size(path):
        log.warning(
            "%s: its last transaction, TXID %d, dropped it: the file that is left (%d bytes) is removed",
            state.name,
            state.pos.txid,
            size,
        )
    path.unlink(missing_ok=True)
    state.sums = PageChecksums()


def _contradiction(state: DatabaseState, header: Header, path: Path, found: int, wanted: int) -> str:
    return (
        f"{state.name}: {path} has checksum {found:016x}, but the newest LTX file, {header.filename} "
        f"(TXID {header.max_txid}), says {wanted:016x}, and the LTX files kept do not lead there: "
        "it was changed while no node was running. "
        f"On a replica remove {state.directory} to take a snapshot. "
        f"On the primary move {path} away, then either start with {state.directory} removed and bring the "
        f"file back with `pylitefs import -name {state.name} FILE`, or restore an export of a replica so"
    )
