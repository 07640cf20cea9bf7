"""From changed pages to an LTX file: the one place where a transaction of this node is made.

The rule is the order: the file is complete, synced and under its final name; then SQLite's readers see what
it says; then it is listed, and the position moves. (In a burst of WAL mode the sync comes later, and nobody
hears of the position before: group_sync.py.) It is written under its final name at once: the sync of a
new file makes its name durable too, and recovery drops one that ends early, so neither a rename nor a sync of
the directory is needed.

A transaction that changes no byte is none: SQLite rolled back, or wrote what was there already.
"""

import errno
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from pylitefs.ltx.checksum import EMPTY_CHECKSUM, page_checksum
from pylitefs.ltx.encoder import Encoder
from pylitefs.ltx.header import FLAG_LZ4, Header
from pylitefs.ltx.position import Pos
from pylitefs.portable import BINARY
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.disk_state import refusal
from pylitefs.store.files import let_go, sync_directory, write_all
from pylitefs.store.group_sync import check, drop_newest, sync_all
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.state import Captured, DatabaseState
from pylitefs.store.status import now_ms
from pylitefs.store.write_events import pages_payload

_SPILL = 1 << 20
"""An LTX file is kept in memory up to this size and written in one go."""
_RUN = 256 << 10
"""Bytes of neighbours read together. Longer buffers are mapped and unmapped by the C library each time, which
costs as much as the encoding: `python -m pylitefs.compare.bench.alone snapshot`."""
_IMPORTING = "an import of this database is under way"


@dataclass(frozen=True, slots=True)
class WalPlace:
    """Where in the WAL a transaction lies: the WAL fields of its LTX header."""

    offset: int = 0
    size: int = 0
    salt1: int = 0
    salt2: int = 0


NOT_IN_WAL = WalPlace()

Finish = Callable[[Header, Path], Captured]
"""finish(header, path) makes an LTX file durable under its name."""
Pages = Iterable[tuple[int, Buffer]]
"""(page number, its bytes), ascending, without the lock page."""


@dataclass(frozen=True, slots=True)
class PageRuns:
    """Many pages: (page numbers, their bytes one after the other), for what goes through a whole database."""

    runs: Iterable[tuple[list[int], memoryview]]


def runs_in_file(fd: int, pgnos: Sequence[int], page_size: int) -> Iterator[tuple[list[int], memoryview]]:
    """Pages of a database file, neighbours read together; past its end they are zero."""
    start = 0
    longest = max(1, _RUN // page_size)
    for stop in _ends_of_rows(pgnos):
        while start < stop:
            run = list(pgnos[start : min(stop, start + longest)])
            want = len(run) * page_size
            data = os.pread(fd, want, (run[0] - 1) * page_size)
            yield run, memoryview(data if len(data) == want else data.ljust(want, b"\0"))
            start += len(run)


def _ends_of_rows(pgnos: Sequence[int]) -> list[int]:
    """Where the page before is no neighbour any more, and the end."""
    if not pgnos or pgnos[-1] - pgnos[0] == len(pgnos) - 1:
        return [len(pgnos)]
    if len(pgnos) < 64:
        rows = [at for at in range(1, len(pgnos)) if pgnos[at] != pgnos[at - 1] + 1]
    else:
        from pylitefs.numeric import np

        rows = (np.flatnonzero(np.diff(np.asarray(pgnos, dtype=np.int64)) != 1) + 1).tolist()
    return [*rows, len(pgnos)]


def pages_in_file(fd: int, pgnos: Sequence[int], page_size: int) -> Pages:
    """The same, page by page."""
    for run, data in runs_in_file(fd, pgnos, page_size):
        for index, pgno in enumerate(run):
            yield pgno, data[index * page_size : (index + 1) * page_size]


def all_pgnos(commit: int, page_size: int) -> Sequence[int]:
    """Every page of a database of `commit` pages, without the lock page."""
    skip = lock_pgno(page_size)
    if commit < skip:
        return range(1, commit + 1)
    return array("I", chain(range(1, skip), range(skip + 1, commit + 1)))


class _LtxFile:
    """The file being written: in memory while small, under its final name from `_SPILL` on."""

    def __init__(self, state: DatabaseState, txid: int) -> None:
        self.final_path = state.ltx.path_text(txid, txid)
        self._directory = state.ltx.directory
        # What the primary has not taken yet is nothing that recovery is to find.
        self.path = self.final_path if state.halt is None else f"{self.final_path}.tmp"
        self._parts: list[bytes] = []
        self._size = 0
        self._fd = -1
        self._begun = False

    def write(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size >= _SPILL:
            self._flush()

    def _flush(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
            self._begun = True
        write_all(self._fd, b"".join(self._parts))
        self._parts.clear()
        self._size = 0

    @property
    def is_long(self) -> bool:
        """Whether it left memory before its end."""
        return self._fd >= 0

    def commit(self, late: bool) -> tuple[bytes | None, int]:
        """Make it durable; its content if it is short. Or it is to be synced `late`: then its descriptor is
        given, else -1."""
        content = None if self.is_long else b"".join(self._parts)
        self._flush()
        if late:
            return content, self._fd
        os.fdatasync(self._fd)
        fd, self._fd = self._fd, -1
        let_go(fd)
        return content, -1

    def settle(self) -> None:
        """It counts: give it its final name, for good."""
        if self.path != self.final_path:
            os.rename(self.path, self.final_path)
            self.path = self.final_path
            sync_directory(self._directory)

    def discard(self) -> None:
        if self._fd >= 0:
            let_go(self._fd)
        if self._begun:
            with suppress(FileNotFoundError):
                os.unlink(self.path)


def commit_transaction(
    state: DatabaseState,
    page_size: int,
    commit: int,
    pages: Pages | PageRuns,
    wal: WalPlace = NOT_IN_WAL,
    *,
    replace: bool = False,
    even_if_unchanged: bool = False,
) -> Pos | None:
    """Capture one transaction: the pages as they are now, `commit` pages in all afterwards.

    `replace` says that `pages` are all there are (another page size, an import). Gives the new position,
    or None if nothing changed. OSError (ENOSPC and the like) leaves everything as it was.
    """
    captured = capture(
        state, page_size, commit, pages, wal, replace=replace, even_if_unchanged=even_if_unchanged
    )
    if captured is not None:
        publish(state, captured)
    return captured.pos if captured is not None else None


def _next_header(state: DatabaseState, page_size: int, commit: int, wal: WalPlace) -> Header:
    txid = state.pos.txid + 1
    return Header(
        flags=FLAG_LZ4 if state.node.compress else 0,
        page_size=page_size,
        commit=commit,
        min_txid=txid,
        max_txid=txid,
        timestamp_ms=now_ms(),
        pre_apply_checksum=state.pos.checksum,
        wal_offset=wal.offset,
        wal_size=wal.size,
        wal_salt1=wal.salt1,
        wal_salt2=wal.salt2,
        node_id=state.node.node_id,
    )


def _encode_pages(encoder: Encoder, pages: Pages | PageRuns) -> Changes | dict[int, int]:
    """Encode them all; their checksums."""
    if isinstance(pages, PageRuns):
        runs = Changes()
        for pgnos, run in pages.runs:
            runs.extend(pgnos, encoder.encode_run(pgnos, run))
        return runs
    few: dict[int, int] = {}  # Quicker than arrays, for a few pages.
    for pgno, data in pages:
        few[pgno] = page_checksum(pgno, data)
        encoder.encode_page(pgno, data)
    return few


def capture(
    state: DatabaseState,
    page_size: int,
    commit: int,
    pages: Pages | PageRuns,
    wal: WalPlace = NOT_IN_WAL,
    *,
    replace: bool = False,
    even_if_unchanged: bool = False,
    late: bool = False,
) -> Captured | None:
    """The first half of `commit_transaction`: the LTX file. What it says has to be in the database, for
    SQLite's readers, before `publish`. `late`: it may be synced behind the commit, if it is short."""
    _begin(state, late)
    header = _next_header(state, page_size, commit, wal)
    txid = header.max_txid
    sums = PageChecksums() if replace else state.sums
    file = _LtxFile(state, txid)
    try:
        encoder = Encoder(file.write, header)
        changes = _encode_pages(encoder, pages)
        if not replace and not even_if_unchanged and sums.changes_nothing(changes, commit):
            file.discard()
            return None
        pos = Pos(txid, sums.preview(changes, commit))
        trailer = encoder.finish(pos.checksum)
        tracer = state.node.tracer
        if tracer.active:
            tracer.emit(
                "ltx.encode",
                state.name,
                txid,
                commit=commit,
                size=encoder.bytes_written,
                pre_apply_checksum=header.pre_apply_checksum,
                post_apply_checksum=pos.checksum,
                **pages_payload(changes),
            )
        if late and file.is_long:
            late = False
            sync_all(state)
        content, fd = file.commit(late)
        _let_pass(state, header, file)
    except BaseException:
        file.discard()
        raise
    if tracer.active:
        tracer.emit(
            "ltx.commit",
            state.name,
            txid,
            path=file.path,
            size=encoder.bytes_written,
            **pages_payload(changes),
            checksum=trailer.file_checksum,
        )
    state.node.pace.committed(state, txid)
    return Captured(header, pos, sums, changes, content, fd)


def _let_pass(state: DatabaseState, header: Header, file: _LtxFile) -> None:
    """The last look; and with a HALT lock, on a replica, the primary has the transaction first."""
    state.check_commit()
    halt = state.halt
    if halt is None:
        return
    halt.forward(header, Path(file.path))
    try:
        file.settle()
    except OSError as error:
        halt.fail(f"the primary has a transaction that cannot be kept here: {error}")
        raise


def capture_arrived(state: DatabaseState, page_size: int, commit: int, finish: Finish) -> Captured:
    """The same for pages that were encoded while they arrived (arriving.py): all that there are."""
    _begin(state)
    state.check_commit()
    header = _next_header(state, page_size, commit, NOT_IN_WAL)
    return finish(header, state.ltx.path(header.min_txid, header.max_txid))


def _begin(state: DatabaseState, late: bool = False) -> None:
    """All transactions before this one are told, and durable unless this one may be late."""
    _check_applies_none(state)
    tell_pending(state)
    (check if late else sync_all)(state)


def _check_applies_none(state: DatabaseState) -> None:
    if state.applying:
        state.node.refuse(state.name, "a transaction", _IMPORTING, "wait for its end")
        raise refusal(errno.EBUSY, _IMPORTING)


def publish(state: DatabaseState, captured: Captured) -> None:
    """The second half: the LTX file is listed, and the position moves."""
    state.ltx.add(captured.pos.txid, captured.pos.txid, captured.content)
    captured.sums.update(captured.changes, captured.header.commit)
    state.sums = captured.sums
    state.advance(captured.header, captured.pos)


def tell_pending(state: DatabaseState) -> None:
    """SQLite's readers see the newest transaction of the WAL, or its successor is here: it is told."""
    pending = state.pending
    if pending is not None:
        publish(state, pending)
        # Last: who finds nothing pending, without the lock, finds the new position.
        state.pending = None


def drop_pending(state: DatabaseState) -> None:
    """SQLite has lost the newest transaction of the WAL, of which nobody was told: there was none."""
    pending = state.pending
    if pending is not None:
        drop_newest(state, pending.pos.txid)
        state.ltx.remove(pending.pos.txid, pending.pos.txid)
        state.pending = None
        tracer = state.node.tracer
        if tracer.active:
            tracer.emit("tx.rollback", state.name, state.pos.txid, lost=pending.pos.txid)


def commit_drop(state: DatabaseState) -> Pos:
    """The database was unlinked: a transaction with no page at all, after which it is empty."""
    pos = commit_transaction(state, state.page_size, 0, (), replace=True)
    assert pos is not None and pos.checksum == EMPTY_CHECKSUM
    return pos


def commit_whole_file(state: DatabaseState, page_size: int, commit: int) -> Pos | None:
    """Capture the database file as it lies, every page of it."""
    runs = runs_in_file(state.fd(FileKind.DATABASE), all_pgnos(commit, page_size), page_size)
    return commit_transaction(state, page_size, commit, PageRuns(runs), replace=True)
