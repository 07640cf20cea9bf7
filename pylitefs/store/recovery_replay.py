"""Recovery's replay: what the LTX files that are kept make of the database file.

The rule: it is worked out in checksums first, and nothing is written before it is known what comes of it.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import open_ltx, verify_file
from pylitefs.ltx.header import Header
from pylitefs.portable import BINARY
from pylitefs.store.capture import all_pgnos, pages_in_file
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.files import file_size, pwrite_all, sync_directory
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import FILE_MODE
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

Span = tuple[int, int]


@dataclass
class Replay:
    """What the kept LTX files make of the database file: nothing is written yet."""

    files: list[Path]
    last: Header
    """The newest one's."""
    before: PageChecksums
    """The file's as it is, in `last.commit` pages."""
    sums: PageChecksums
    newest: dict[int, int]
    """For each page that is in a file: the last one, as an index into `files`."""

    def wrong(self) -> set[int]:
        """The pages of which the database file holds another state."""
        return {pgno for pgno in self.newest if self.sums.page(pgno) != self.before.page(pgno)}

    def pages(self, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
        """These pages, each from the last file that has it."""
        for index in sorted({self.newest[pgno] for pgno in wanted}):
            with open_ltx(self.files[index]) as decoder:
                for pgno, page in decoder.pages():
                    if pgno in wanted and self.newest[pgno] == index:
                        yield pgno, page


def file_sums(path: Path, header: Header) -> PageChecksums:
    """The page checksums of the database file, as `header` sees it: `commit` pages of its size."""
    sums = PageChecksums()
    if path.exists():
        with open(path, "rb") as file:
            pgnos = all_pgnos(header.commit, header.page_size)
            pages = pages_in_file(file.fileno(), pgnos, header.page_size)
            changes = Changes()
            for pgno, page in pages:
                changes.add(pgno, page_checksum(pgno, page))
            sums.update(changes, header.commit)
    return sums


def replayed(state: DatabaseState, last: Header, sums: PageChecksums) -> Replay | None:
    """The kept LTX files over a database with these checksums; None if one is damaged."""
    replay = Replay(_chain(state, last.max_txid), last, sums, sums.copy(), {})
    page_size = last.page_size
    for index, path in enumerate(replay.files):
        try:
            with open_ltx(path) as decoder:
                changes = Changes()
                for pgno, page in decoder.pages():
                    changes.add(pgno, page_checksum(pgno, page))
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


def _chain(state: DatabaseState, txid: int) -> list[Path]:
    """The LTX files that lead without a gap to a TXID, oldest first."""
    by_end: dict[int, list[tuple[int, int]]] = {}
    for span in state.ltx.ranges():
        by_end.setdefault(span[1], []).append(span)
    chain: list[tuple[int, int]] = []
    at = txid
    while at in by_end:
        chain.append(_best(state, by_end[at], chain[-1] if chain else None))
        at = chain[-1][0] - 1
    return [state.ltx.path(*span) for span in reversed(chain)]


def _best(state: DatabaseState, spans: list[Span], then: Span | None) -> Span:
    """Of files that end with the same TXID the one that reaches back furthest and leads to the file after
    it. (A snapshot that was not stored to its end when the power failed does not hide what lay there before
    it; nor does one of another history, for which this one was about to be given up.)"""
    after = state.ltx.header(*then) if then and len(spans) > 1 else None
    for span in sorted(spans)[:-1]:
        try:
            _, trailer = verify_file(state.ltx.path(*span))
        except LtxError:
            continue
        if after is None or trailer.post_apply_checksum == after.pre_apply_checksum:
            return span
    return max(spans)


def write_replay(state: DatabaseState, replay: Replay) -> None:
    """Write each page from the last file that has it, where the database holds another."""
    last, wrong = replay.last, replay.wrong()
    if not wrong and file_size(state.path(FileKind.DATABASE)) >= last.commit * last.page_size:
        return
    fd = os.open(state.path(FileKind.DATABASE), os.O_RDWR | os.O_CREAT | BINARY, FILE_MODE)
    try:
        for pgno, page in replay.pages(wrong):
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
