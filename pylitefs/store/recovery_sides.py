"""Recovery of what SQLite keeps beside a database: the rollback journal and the WAL.

The rule: a journal is believed exactly as SQLite believes it, but for records that a power failure tore
(recovery_torn_journal.py). A WAL is believed up to the last LTX file: what lies past that was never told.
What only the journal tells is noted durably before the journal goes.

One thing SQLite cannot know: a journal whose super-journal is gone may be an old one, whose removal a power
failure undid. Its transaction has its LTX file then, and others may have come after it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from pylitefs.errors import LtxError, SqliteFormatError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.header import Header
from pylitefs.portable import BINARY
from pylitefs.sqlite import ReadAt
from pylitefs.sqlite.journal import Journal, read_journal
from pylitefs.sqlite.wal import (
    FRAME_HEADER_SIZE,
    WAL_HEADER_SIZE,
    CommittedWal,
    WalHeader,
    committed,
    frame_at,
    frame_offset,
    scan,
)
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.files import file_size, pwrite_all, sync_directory
from pylitefs.store.marker import Left, note
from pylitefs.store.names import FileKind, is_super_journal
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.recovery_replay import replayed
from pylitefs.store.recovery_torn_journal import believed
from pylitefs.store.state import DatabaseState
from pylitefs.store.write_events import pages_payload

log = logging.getLogger("pylitefs")


def roll_back_journal(state: DatabaseState, mount_dir: Path | None, txid: int) -> Left:
    """Roll a hot journal back and remove it, or only remove it if its super-journal committed it; what is
    left in the database file. `txid` is the newest LTX file's, 0 if there is none."""
    path = state.path(FileKind.JOURNAL)
    size = file_size(path)
    if not path.exists():
        return Left.NOTHING
    left = Left.NOTHING
    fd = os.open(path, os.O_RDONLY | BINARY)
    try:
        journal = read_journal(lambda offset, length: os.pread(fd, length, offset), size)
        if journal.super_journal and not _super_journal_exists(state, journal.super_journal, mount_dir):
            left = Left.NOTHING if _is_captured(state, journal, txid) else Left.COMMITTED
            log.info(
                "%s: the super-journal of its journal is gone, so that transaction was committed%s",
                state.name,
                "" if left else ", and its LTX file is there",
            )
        else:
            _play_back(state, journal, believed(state, journal, txid))
            left = Left.FREE_PAGES
    except SqliteFormatError:
        pass  # No header: the journal was not synced yet, so no page of the database was written.
    finally:
        os.close(fd)
    if left and txid:
        note(state.directory, txid, left)
    path.unlink()
    # If it came back after a power failure, it would be played back over later transactions, or, its
    # super-journal gone, be taken for a committed one.
    sync_directory(state.directory)
    return left


def _is_captured(state: DatabaseState, journal: Journal, txid: int) -> bool:
    """Whether the LTX files hold this journal's transaction. Else its pages are what was there at `txid`."""
    span = next((span for span in state.ltx.ranges() if span[1] == txid), None)
    last = state.ltx.header(*span) if span else None
    if last is None:
        return False
    if last.commit == 0:
        return journal.initial_pages > 0  # It was dropped after that.
    if journal.page_size != last.page_size:
        return True
    replay = replayed(state, last, PageChecksums())
    return replay is not None and any(
        pgno in replay.newest and page_checksum(pgno, page) != replay.sums.page(pgno)
        for pgno, page in journal.records
    )


def _super_journal_exists(state: DatabaseState, name: str, mount_dir: Path | None) -> bool:
    """SQLite's test for a journal that took part in a transaction over several databases.

    Its name is the path at which the client saw it. This node may be mounted elsewhere by now, so it is
    looked up by its last part, in the data directory. Only one that belongs to no database here is outside.
    """
    path = Path(name)
    if found := is_super_journal(path.name):
        database, tail = found
        directory = state.directory.parent / database
        if (directory / f"mj{tail}").exists():
            return True
        if mount_dir is None or _is_same_directory(path.parent, mount_dir):
            return False
        if directory.is_dir():
            # Or a database outside has a name that is one of ours as well: then its file is there.
            return os.path.exists(path)
    log.warning(
        "%s: its journal names a super-journal outside the mount, %s, which decides whether the transaction "
        "counts; it %s",
        state.name,
        name,
        "is there: rolled back" if os.path.exists(path) else "is gone: committed",
    )
    return os.path.exists(path)


def _is_same_directory(one: Path, other: Path) -> bool:
    """SQLite names a super-journal by its real path, whatever links the client went through."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def _play_back(state: DatabaseState, journal: Journal, most: int | None) -> None:
    """Write so many of its pages back; None: all."""
    pgnos: list[int] = []
    fd = os.open(state.path(FileKind.DATABASE), os.O_RDWR | os.O_CREAT | BINARY, FILE_MODE)
    try:
        for pgno, page in islice(journal.records, most):
            pwrite_all(fd, page, (pgno - 1) * journal.page_size)
            pgnos.append(pgno)
        os.ftruncate(fd, journal.initial_pages * journal.page_size)
        os.fsync(fd)
    finally:
        os.close(fd)
    log.info("%s: a hot journal was rolled back, %d pages", state.name, len(pgnos))
    if state.node.tracer.active:
        state.node.tracer.emit("recovery.journal", state.name, 0, **pages_payload(pgnos))


def checkpoint_wal(state: DatabaseState, last: Header | None) -> None:
    """Bring the WAL's transactions up to the last LTX file into the database; then there is no WAL."""
    path = state.path(FileKind.WAL)
    size = file_size(path)
    if size == 0:
        path.unlink(missing_ok=True)
        return
    fd = os.open(path, os.O_RDONLY | BINARY)

    def read_at(offset: int, length: int) -> bytes:
        return os.pread(fd, length, offset)

    try:
        header = WalHeader.parse(read_at(0, WAL_HEADER_SIZE))
        limit = size if last is None else _end_in(header, last)
        done = _checkpoint(state, read_at, header, min(limit, size))
        known = done if limit else frame_at(_end_of_older(state, header) - 1, header.page_size)
        ahead = _commits_past(read_at, size, header, known)
        if limit == 0 and ahead:
            _set_aside(state, path)
        elif ahead > 0:
            _keep_aside(state, path, ahead, last)
        if state.node.tracer.active:
            state.node.tracer.emit("recovery.wal", state.name, frames=done, ahead=ahead)
    except SqliteFormatError:
        pass  # No valid header, so no frame that counts.
    finally:
        os.close(fd)
    path.unlink(missing_ok=True)


def wal_reaches(state: DatabaseState, last: Header) -> bool | None:
    """Whether the WAL holds all of an LTX file's transaction; None where it was never in this WAL."""
    with _committed_up_to(state, last) as found:
        if found is None:
            return None
        header, whole, _ = found
        return frame_offset(whole.last_index + 1, header.page_size) >= _end_in(header, last)


def wal_pages(state: DatabaseState, last: Header) -> Changes:
    """The checksums of the pages that the WAL holds, of transactions up to an LTX file's; none where that was
    never in this WAL."""
    changes = Changes()
    with _committed_up_to(state, last) as found:
        if found is not None:
            header, whole, read_at = found
            for pgno, index in sorted(whole.frames.items()):
                if pgno <= last.commit:
                    changes.add(pgno, page_checksum(pgno, _page(read_at, index, header)))
    return changes


@contextmanager
def _committed_up_to(
    state: DatabaseState, last: Header
) -> Iterator[tuple[WalHeader, CommittedWal, ReadAt] | None]:
    """What the WAL holds of transactions up to an LTX file's; None where that was never in this WAL."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(state.path(FileKind.WAL), "rb", buffering=0))

            def read_at(offset: int, length: int) -> bytes:
                return os.pread(file.fileno(), length, offset)

            header = WalHeader.parse(read_at(0, WAL_HEADER_SIZE))
            end = _end_in(header, last)
        except (FileNotFoundError, SqliteFormatError):
            end = 0
        if end:
            yield header, committed(scan(read_at, end, header), header), read_at
        else:
            yield None


def _end_in(wal: WalHeader, ltx: Header) -> int:
    """Where an LTX file's transaction ends in this WAL, in bytes; 0 if it was never in it."""
    belongs = ltx.wal_offset and (ltx.wal_salt1, ltx.wal_salt2) == (wal.salt1, wal.salt2)
    return ltx.wal_offset + ltx.wal_size if belongs else 0


def _end_of_older(state: DatabaseState, wal: WalHeader) -> int:
    """Up to where the WAL holds what older LTX files hold as well: before a drop or an import, say."""
    for span in reversed(state.ltx.ranges()):
        try:
            header = state.ltx.header(*span)
        except LtxError:
            return 0
        if header is not None and header.wal_offset:
            return _end_in(wal, header)
    return 0


def _set_aside(state: DatabaseState, path: Path) -> None:
    removed = path.with_name("wal.removed")
    log.warning(
        "%s: the WAL does not belong to the last LTX file; set aside as %s, and not used", state.name, removed
    )
    os.replace(path, removed)


def _keep_aside(state: DatabaseState, path: Path, ahead: int, last: Header | None) -> None:
    """What is cut back is one commit that nobody was told of. Unless someone took an LTX file away: then it
    is a transaction, and its pages must be found."""
    removed = path.with_name("wal.removed")
    txid = last.max_txid + 1 if last else 1
    os.replace(path, removed)
    log.warning(
        "%s: the WAL is ahead of the last LTX file by %d commits that nobody was told of: cut back. (If an "
        "LTX file was removed by hand, this drops TXID %d; what was in it is in the WAL, kept as %s: copy it "
        "beside a copy of the database file, as COPY-wal, and SQLite shows it)",
        state.name,
        ahead,
        txid,
        removed,
    )


def _checkpoint(state: DatabaseState, read_at: ReadAt, header: WalHeader, limit: int) -> int:
    """Write the newest page of each frame up to `limit` bytes into the database; the last commit's frame."""
    whole = committed(scan(read_at, limit, header), header)
    if not whole.last_index:
        return 0
    fd = os.open(state.path(FileKind.DATABASE), os.O_RDWR | os.O_CREAT | BINARY, FILE_MODE)
    try:
        for pgno, index in sorted(whole.frames.items()):
            pwrite_all(fd, _page(read_at, index, header), (pgno - 1) * header.page_size)
        os.ftruncate(fd, whole.commit * header.page_size)
        os.fsync(fd)
    finally:
        os.close(fd)
    return whole.last_index


def _commits_past(read_at: ReadAt, size: int, header: WalHeader, last: int) -> int:
    """How many transactions follow frame `last`. A commit frame once more (`psow=0` fills up a sector with
    it) is none."""
    count, before = 0, (0, b"")
    for frame in scan(read_at, size, header):
        if frame.index < last:
            continue
        page = frame.pgno, _page(read_at, frame.index, header)
        if frame.commit and frame.index > last and page != before:
            count += 1
        before = page
    return count


def _page(read_at: ReadAt, frame: int, header: WalHeader) -> bytes:
    return read_at(frame_offset(frame, header.page_size) + FRAME_HEADER_SIZE, header.page_size)
