"""Recovery of what the database file holds and no LTX file does: it is captured, or kept aside.

    committed by a super-journal, written without a journal    captured: it counts
    free pages, after the rollback of a hot journal            captured: no reader sees them, replicas do
    newer pages, their LTX file gone                           kept aside as an LTX file, then overwritten

The rule: nothing is thrown away without a copy. A difference is accepted only if SQLite could have made it.
"""

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pylitefs.errors import RecoveryError, SqliteFormatError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import open_ltx
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header, format_filename
from pylitefs.sqlite.freelist import free_leaves
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.capture import all_pgnos, commit_whole_file, pages_in_file
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.files import file_size, sync_directory
from pylitefs.store.marker import Left
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import private
from pylitefs.store.recovery_replay import Replay
from pylitefs.store.state import DatabaseState
from pylitefs.store.status import now_ms

log = logging.getLogger("pylitefs")

_KEPT = 3
"""So many dropped transactions are kept, the newest."""


def database_header(path: Path) -> DatabaseHeader | None:
    """The header of a database file; None if it has none."""
    try:
        with open(path, "rb") as file:
            return DatabaseHeader.parse(file.read(DATABASE_HEADER_SIZE))
    except (FileNotFoundError, SqliteFormatError):
        return None


def capture_left(state: DatabaseState, path: Path) -> None:
    """Pages were committed, or written without a journal, and not captured: the file as it is counts."""
    header = database_header(path)
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


def may_be_free_pages(state: DatabaseState, replay: Replay) -> bool:
    """Whether what a replay leaves different can be pages that were free before a rolled-back transaction:
    leaves of the free list, of which no kept LTX file holds the bytes."""
    last, path = replay.last, state.path(FileKind.DATABASE)
    if file_size(path) < last.commit * last.page_size or replay.sums.page_count != last.commit:
        return False
    wrong = replay.wrong()
    with open(path, "rb") as file:

        def read_page(pgno: int) -> bytes:
            if pgno in wrong:
                return next(page for _, page in replay.pages({pgno}))
            return os.pread(file.fileno(), last.page_size, (pgno - 1) * last.page_size)

        try:
            header = DatabaseHeader.parse(read_page(1))
        except SqliteFormatError:
            return False
        leaves = free_leaves(read_page, last.commit)
    return header.page_size == last.page_size and any(pgno not in replay.newest for pgno in leaves)


def capture_free_pages(state: DatabaseState, last: Header) -> None:
    """After `write_replay`: the whole file becomes a transaction."""
    pos = commit_whole_file(state, last.page_size, last.commit)
    log.warning(
        "%s: after the rollback pages of its free list hold other bytes than before, as SQLite leaves them, "
        "and no LTX file that is kept holds the old ones: the database becomes transaction %s",
        state.name,
        pos,
    )


def keep_what_is_newer(state: DatabaseState, replay: Replay, last_pages: Iterable[int], left: Left) -> None:
    """Before a replay overwrites them: pages newer than the newest LTX file are kept as the LTX file that
    they would have been in. `last_pages` are the pages of the newest one.

    An ordinary crash leaves older pages, or a part of the newest transaction.
    """
    last, path, wrong = replay.last, state.path(FileKind.DATABASE), replay.wrong()
    header = database_header(path)
    if header is None or header.page_size != last.page_size:
        return
    ahead = 0
    if 1 in wrong:
        page = next(page for _, page in replay.pages({1}))
        ahead = (header.change_counter - DatabaseHeader.parse(page).change_counter) & 0xFFFFFFFF
    commit = header.pages(file_size(path))
    unexplained = not left and not wrong <= set(last_pages)
    if not (0 < ahead < 1 << 31 or (ahead == 0 and unexplained)) or file_size(path) < commit * last.page_size:
        return
    if ahead and _was_before(replay, path, commit):
        return
    kept = _write_aside(state, replay, sorted(wrong | set(range(last.commit + 1, commit + 1))), commit)
    log.warning(
        "%s: %s holds newer pages than its newest LTX file, %s: TXID %d, whose LTX file is gone, is dropped. "
        "Its pages are kept as %s. To have it back, stop this node, move that file to %s and start again",
        state.name,
        path,
        last.filename,
        last.max_txid + 1,
        kept,
        state.ltx.directory / format_filename(last.max_txid + 1, last.max_txid + 1),
    )
    if state.node.tracer.active:
        state.node.tracer.emit("recovery.ltx", state.name, last.max_txid + 1, dropped=str(kept))


def _was_before(replay: Replay, path: Path, commit: int) -> bool:
    """Whether the file holds what was there before the newest transaction: an import's change counter may be
    lower than the one before it, so it does not tell which is newer."""
    last = replay.last
    whole, changes = PageChecksums(), Changes()
    with open(path, "rb") as file:
        for pgno, page in pages_in_file(file.fileno(), all_pgnos(commit, last.page_size), last.page_size):
            changes.add(pgno, page_checksum(pgno, page))
    first = next((checksum for pgno, checksum in changes.items() if pgno == 1), 0)
    whole.update(changes, commit)
    if whole.value == last.pre_apply_checksum:
        return True
    # In WAL mode the file may be older still.
    for older in replay.files[:-1]:
        with open_ltx(older) as decoder:
            pgno, page = next(iter(decoder.pages()), (0, b""))
            if pgno == 1 and page_checksum(1, page) == first:
                return True
    return False


def _write_aside(state: DatabaseState, replay: Replay, pgnos: list[int], commit: int) -> Path:
    last, txid = replay.last, replay.last.max_txid + 1
    header = Header(
        flags=FLAG_LZ4 if state.node.compress else 0,
        page_size=last.page_size,
        commit=commit,
        min_txid=txid,
        max_txid=txid,
        timestamp_ms=now_ms(),
        pre_apply_checksum=state.pos.checksum,
        node_id=state.node.node_id,
    )
    usable = set(all_pgnos(commit, last.page_size))
    changes: dict[int, int] = {}
    temporary = state.directory / "dropped.tmp"
    with open(state.path(FileKind.DATABASE), "rb") as source, open(temporary, "wb", opener=private) as target:
        encoder = Encoder(target.write, header)
        wanted = [pgno for pgno in pgnos if pgno in usable]
        for pgno, page in pages_in_file(source.fileno(), wanted, last.page_size):
            changes[pgno] = page_checksum(pgno, page)
            encoder.encode_page(pgno, page)
        sums: PageChecksums = replay.sums
        checksum = sums.preview(changes, commit)
        encoder.finish(checksum)
        target.flush()
        os.fsync(target.fileno())
    path = state.directory / f"dropped-{txid:016x}-{checksum:016x}.ltx"
    os.replace(temporary, path)
    sync_directory(state.directory)
    for old in sorted(state.directory.glob("dropped-*.ltx"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
        with suppress(FileNotFoundError):
            old.unlink()
    return path
