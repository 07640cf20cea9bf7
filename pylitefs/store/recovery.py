"""Before a database is opened: bring its files, whatever a crash left of them, to one position.

    LTX files    the last one may be torn: it was never acknowledged, and goes
    journal      hot: rolled back as SQLite would (unless its super-journal is gone: then it was committed)
    WAL          cut back to the last LTX file and checkpointed; one with other salts is set aside
    database     its checksum must be the last LTX file's, and so must that file's pages; if not, the LTX
                 files that are kept are replayed in memory first, and over the file only if that makes it
                 right. What was committed and not captured (by a super-journal, or without a journal) is
                 captured as it is instead

The rule: what was acknowledged is kept; what would be thrown away is named in the log before it goes; and
where files contradict each other, nothing is touched and RecoveryError says which, and the way out.
No mount exists yet, so the data files are read and written directly.

The database's checksum alone is not believed. It is a XOR of CRCs, which are linear: pages that differ from
what they should be in the same way, say two empty ones that were never written, cancel each other out.
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LtxError, RecoveryError, SqliteFormatError, TornLtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.ltx.header import TRAILER_SIZE, Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.capture import all_pgnos, commit_whole_file, pages_in_file
from pylitefs.store.checksums import PageChecksums
from pylitefs.store.files import file_size, pwrite_all, sync_directory
from pylitefs.store.names import FileKind
from pylitefs.store.recovery_sides import checkpoint_wal, roll_back_journal
from pylitefs.store.rollback import MARKER
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")


@dataclass
class _Last:
    """The newest LTX file, verified."""

    header: Header
    trailer: Trailer
    pages: dict[int, int]
    """The checksum of each of its pages."""


_BLOCK = 512
"""What a disk writes as a whole, at least."""
_CHUNK = 1 << 20


def recover(state: DatabaseState, mount_dir: Path | None = None) -> None:
    """Make one database whole and set its state. `mount_dir` is where clients saw it, for super-journals.

    Raises RecoveryError if its files contradict each other.
    """
    tracer = state.node.tracer
    if tracer.active:
        tracer.emit("recovery.begin", state.name)
    _drop_temporaries(state)
    last = _last_ltx(state)
    committed = roll_back_journal(state, mount_dir)
    checkpoint_wal(state, last.header if last else None)
    state.path(FileKind.SHM).unlink(missing_ok=True)
    marker = state.directory / MARKER
    if last is None:
        _adopt(state)
    else:
        _match(state, last, uncaptured=committed or _written_after(marker, last.header))
    marker.unlink(missing_ok=True)
    if tracer.active:
        tracer.emit("recovery.end", state.name, state.pos.txid, checksum=state.pos.checksum)


def _written_after(marker: Path, last: Header) -> bool:
    """Whether pages were written without a journal after the last LTX file, which does not hold them then."""
    try:
        return int(marker.read_text(), 16) >= last.max_txid
    except (FileNotFoundError, ValueError):
        return False  # An empty marker: the crash came before the first page.


def _drop_temporaries(state: DatabaseState) -> None:
    if state.ltx.directory.is_dir():
        for path in state.ltx.directory.glob("*.tmp"):
            path.unlink()


def _last_ltx(state: DatabaseState) -> _Last | None:
    """The newest whole LTX file; a torn one after it is dropped."""
    state.ltx.load()
    while ranges := state.ltx.ranges():
        span = max(ranges, key=lambda span: (span[1], -span[0]))
        path = state.ltx.path(*span)
        pages: dict[int, int] = {}

        def note(pgno: int, page: bytes, pages: dict[int, int] = pages) -> None:
            pages[pgno] = page_checksum(pgno, page)

        try:
            header, trailer = verify_file(path, note)
            if (header.min_txid, header.max_txid) != span:
                raise LtxError(f"{path} holds TXIDs {header.min_txid} to {header.max_txid}, not its name's")
            return _Last(header, trailer, pages)
        except LtxError as error:
            if not (isinstance(error, TornLtxError) or _has_lost_blocks(path)):
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


def _adopt(state: DatabaseState) -> None:
    """There is no LTX file: a database that is there all the same becomes the first transaction."""
    path = state.path(FileKind.DATABASE)
    size = file_size(path)
    if size == 0:
        path.unlink(missing_ok=True)
        return
    header = _database_header(path)
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
    state.ltx.directory.mkdir(parents=True, exist_ok=True)
    pos = commit_whole_file(state, header.page_size, header.pages(size))
    log.warning("%s had no LTX file: its %d bytes become transaction %s", state.name, size, pos)


def _match(state: DatabaseState, last: _Last, *, uncaptured: bool) -> None:
    """Check the database file against the last LTX file; replay, capture or refuse."""
    header = last.header
    pos = Pos(header.max_txid, last.trailer.post_apply_checksum)
    state.pos, state.page_size, state.timestamp_ms = pos, header.page_size, header.timestamp_ms
    path = state.path(FileKind.DATABASE)
    uncaptured = uncaptured and state.node.status.is_primary and file_size(path) > 0
    if header.commit == 0 and not uncaptured:
        _drop(state, path)
        return
    sums = _sums(path, header)
    size = header.commit * header.page_size
    whole = sums.value == pos.checksum and file_size(path) >= size and sums.holds(last.pages)
    if uncaptured and not whole:
        _capture_left(state, path)
        return
    if not whole or _is_from_before_boot(state.ltx.path(header.min_txid, header.max_txid)):
        replay = _replayed(state, header, sums)
        if replay is not None and replay.sums.value == pos.checksum:
            _write_replay(state, header, sums, replay)
            sums = replay.sums
        elif not whole:
            raise RecoveryError(_contradiction(state, header, path, sums.value, pos.checksum))
    if file_size(path) != size:
        # VACUUM shrinks the file after its commit; a crash in between leaves it too long.
        os.truncate(path, size)
    state.sums = sums


def _is_from_before_boot(path: Path) -> bool:
    """Whether the machine was started after a file was written: then what was never synced may be lost, in
    any part of the database."""
    return os.stat(path).st_mtime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


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


def _database_header(path: Path) -> DatabaseHeader | None:
    try:
        with open(path, "rb") as file:
            return DatabaseHeader.parse(file.read(DATABASE_HEADER_SIZE))
    except (FileNotFoundError, SqliteFormatError):
        return None


def _sums(path: Path, header: Header) -> PageChecksums:
    """The page checksums of the database file, as `header` sees it: `commit` pages of its size."""
    sums = PageChecksums()
    if path.exists():
        with open(path, "rb") as file:
            pgnos = all_pgnos(header.commit, header.page_size)
            pages = pages_in_file(file.fileno(), pgnos, header.page_size)
            sums.update({pgno: page_checksum(pgno, page) for pgno, page in pages}, header.commit)
    return sums


def _chain(state: DatabaseState) -> list[Path]:
    """The LTX files that lead without a gap to the newest one, oldest first."""
    by_end: dict[int, tuple[int, int]] = {}
    for low, high in state.ltx.ranges():
        if high not in by_end or low < by_end[high][0]:
            by_end[high] = (low, high)
    chain = []
    at = state.pos.txid
    while at in by_end:
        chain.append(by_end[at])
        at = by_end[at][0] - 1
    return [state.ltx.path(*span) for span in reversed(chain)]


@dataclass
class _Replay:
    """What the LTX files that are kept make of the database file: nothing is written yet."""

    files: list[Path]
    sums: PageChecksums
    newest: dict[int, int]
    """For each page that is in a file: the last one, as an index into `files`."""


def _replayed(state: DatabaseState, last: Header, sums: PageChecksums) -> _Replay | None:
    """The kept LTX files over a database with these checksums; None if one is damaged."""
    replay = _Replay(_chain(state), sums.copy(), {})
    page_size = last.page_size
    for index, path in enumerate(replay.files):
        try:
            with open_ltx(path) as decoder:
                changes = {pgno: page_checksum(pgno, page) for pgno, page in decoder.pages()}
                header = decoder.header
        except LtxError as error:
            log.warning("%s: an older LTX file cannot be replayed: %s", state.name, error)
            return None
        if header.is_snapshot or header.commit == 0 or header.page_size != page_size:
            replay.sums, replay.newest, page_size = PageChecksums(), {}, header.page_size
        elif header.commit < replay.sums.page_count:
            replay.newest = {pgno: at for pgno, at in replay.newest.items() if pgno <= header.commit}
        replay.sums.update(changes, header.commit)
        replay.newest.update(dict.fromkeys(changes, index))
    return replay


def _write_replay(state: DatabaseState, last: Header, sums: PageChecksums, replay: _Replay) -> None:
    """Write each page from the last file that has it, where the database holds another."""
    wrong = {pgno for pgno in replay.newest if replay.sums.page(pgno) != sums.page(pgno)}
    if not wrong and file_size(state.path(FileKind.DATABASE)) >= last.commit * last.page_size:
        return
    fd = os.open(state.path(FileKind.DATABASE), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        for index, path in enumerate(replay.files):
            with open_ltx(path) as decoder:
                for pgno, page in decoder.pages():
                    if pgno in wrong and replay.newest[pgno] == index:
                        pwrite_all(fd, page, (pgno - 1) * last.page_size)
        os.ftruncate(fd, last.commit * last.page_size)
        os.fsync(fd)
    finally:
        os.close(fd)
    sync_directory(state.directory)
    log.warning(
        "%s: the database file was not at TXID %d; %d LTX files were replayed, %d pages written",
        state.name,
        last.max_txid,
        len(replay.files),
        len(wrong),
    )
    if state.node.tracer.active:
        state.node.tracer.emit(
            "recovery.ltx", state.name, last.max_txid, files=len(replay.files), pages=len(wrong)
        )


def _capture_left(state: DatabaseState, path: Path) -> None:
    """Pages were committed, or written without a journal, and not captured: the file as it is counts."""
    header = _database_header(path)
    if header is None:
        raise RecoveryError(
            f"{state.name}: a client was killed while it wrote without a journal (journal_mode MEMORY or "
            f"OFF), and {path} is no database any more, as SQLite documents. Restore it from a replica: "
            f"`pylitefs export` there, remove {state.directory} here, start, and `pylitefs import`"
        )
    pos = commit_whole_file(state, header.page_size, header.pages(file_size(path)))
    log.warning(
        "%s was left with pages that no LTX file holds (journal_mode MEMORY or OFF, or a transaction over "
        "several databases): they become transaction %s. Check it with PRAGMA integrity_check",
        state.name,
        pos,
    )
