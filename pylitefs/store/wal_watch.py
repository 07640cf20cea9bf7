"""WAL mode: a transaction is captured in the write that completes its commit frame.

At that moment SQLite has not published the frame in the WAL index. So its LTX file is written, and nobody is
told of it yet: it is *pending* (`DatabaseState.pending`), until the publisher finds it in the index. SQLite
may lose it meanwhile: its writer is killed before it publishes, or its sync fails, while others have the WAL
open. The next writer then writes over its frames, or starts the WAL again if all of it is checkpointed. The
rule: then its LTX file goes, and there was no such transaction.

Only the newest commit can be lost: whoever wrote the one after it had seen it published. (Of a WAL with
frames that SQLite left without a checksum, wal_tracker.py, its recovery may lose any number. Of those that
were told, the pages as they are then form a transaction of their own.)
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from pylitefs.errors import SqliteFormatError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.sqlite.wal import FRAME_HEADER_SIZE, WAL_HEADER_SIZE
from pylitefs.sqlite.wal_index import read_header
from pylitefs.store import write_events
from pylitefs.store.applying import KnownWal
from pylitefs.store.capture import (
    Pages,
    WalPlace,
    capture,
    commit_transaction,
    drop_pending,
    pages_in_file,
    publish,
    tell_pending,
)
from pylitefs.store.files import pwrite_all
from pylitefs.store.group_sync import sync_all
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState, Late
from pylitefs.store.wal_tracker import WalCommit, WalTracker


class WalWatch:
    """Follows the WAL of one database; its state's lock is held in every call but two, which say so."""

    def __init__(self, state: DatabaseState) -> None:
        self.state = state
        self.tracker = WalTracker()
        self._header_to_sync = False
        self._newest_summed = 0
        self.told_unseen = False
        """The newest transaction was told because nobody was there to publish it, not because it was seen."""

    @property
    def live(self) -> bool:
        """Whether committed pages lie in the WAL: then a write to the database file is a checkpoint."""
        return self.tracker.captured > 0

    @property
    def page_size(self) -> int:
        """As the WAL's header says; 0 where there is none."""
        header = self.tracker.header
        return header.page_size if header is not None else 0

    @property
    def unsummed_from(self) -> int:
        """From this transaction on SQLite left frames in the WAL without checksums, where recovery ends: it
        has the LTX files alone. 0 if the WAL has none."""
        return self._newest_summed + 1 if self.tracker.unsummed else 0

    @property
    def known(self) -> KnownWal | None:
        """What was told of the WAL, for who copies it into the database; None where there is none."""
        header = self.tracker.header
        return None if header is None else KnownWal(header.salt1, header.salt2, self.told_frames)

    def begins_transaction(self, offset: int) -> bool:
        """Whether a write at `offset` is the WAL header or the first frame of a transaction."""
        tracker = self.tracker
        return offset == 0 or (
            tracker.header is not None and offset == tracker.frame_offset(tracker.captured + 1)
        )

    def before_write(self, offset: int, data: "bytes | memoryview") -> None:
        """These bytes are about to be written: give up the frames they overwrite with something else.

        (A frame may be captured at its 24-byte header: where the page after it, left by a transaction that
        was rolled back, is the very same. SQLite then writes that page over itself.)
        """
        tracker = self.tracker
        if offset < WAL_HEADER_SIZE:
            self.end_pending()
            if tracker.captured and self._told_may_be_lost:
                first, last = tracker.last_commit
                self.check_backfill(tracker.pages if tracker.unsummed else tracker.pgnos[first - 1 : last])
        elif tracker.captured and (room := tracker.frame_offset(tracker.captured + 1) - offset) > 0:
            there = os.pread(self.state.fd(FileKind.WAL), min(room, len(data)), offset)
            if there != data[: len(there)]:
                self._lose(tracker.frame_at(offset))

    def after_write(self, offset: int, data: "bytes | memoryview") -> None:
        """The bytes are in the file: capture the transaction that they complete, if they do."""
        tracker = self.tracker
        if offset < WAL_HEADER_SIZE:
            header = tracker.header_after(offset, data)
            tracker.restart(header, self.state.sums.page_count)
            if header is not None and self._header_to_sync:
                # Else this WAL's frames may be found behind the old header, among the old one's.
                os.fdatasync(self.state.fd(FileKind.WAL))
                self._header_to_sync = False
            if len(data) <= WAL_HEADER_SIZE - offset:
                return
        tracker.note(offset, data)
        for commit in tracker.commits(self.state.read_at(FileKind.WAL)):
            self._capture(commit)

    def spoil(self, fd: int, offset: int, data: "bytes | memoryview") -> None:
        """The transaction that this write completes cannot be kept, and SQLite is told that the write failed.

        So the frame must not stand in the WAL as a commit, for SQLite's recovery to find: its newest bytes
        are turned around. (They are also what the kernel caches no longer, after a write that failed.)
        """
        turned = bytes(byte ^ 0xFF for byte in data[:8])
        with suppress(OSError):
            pwrite_all(fd, turned, offset)
        if offset >= WAL_HEADER_SIZE:
            self.tracker.note(offset, turned)

    def gone(self) -> None:
        """The WAL is about to be truncated to 0 or unlinked: what is in the database file counts."""
        self.end_pending()
        if self.live and self._told_may_be_lost:
            self.check_backfill(self.tracker.pages)
        self.tracker.reset(self.state.sums.page_count)

    def cut(self, size: int) -> None:
        """The WAL is about to be truncated to `size` bytes: frames past it are given up."""
        tracker = self.tracker
        if size < WAL_HEADER_SIZE:
            self.gone()
        elif tracker.captured and size < tracker.frame_offset(tracker.captured + 1):
            self._lose((size - WAL_HEADER_SIZE) // tracker.frame_size + 1)

    def page(self, pgno: int) -> bytes | None:
        """A page's newest committed bytes if they lie in the WAL, else None."""
        frame = self.tracker.pages.get(pgno)
        return None if frame is None else self.page_of_frame(frame)

    def page_of_frame(self, frame: int) -> bytes:
        """The page that a frame carries."""
        tracker = self.tracker
        offset = tracker.frame_offset(frame) + FRAME_HEADER_SIZE
        return os.pread(self.state.fd(FileKind.WAL), tracker.frame_size - FRAME_HEADER_SIZE, offset)

    def _place(self, first: int, last: int) -> WalPlace:
        tracker = self.tracker
        header = tracker.header
        assert header is not None
        size = (last - first + 1) * tracker.frame_size
        return WalPlace(tracker.frame_offset(first), size, header.salt1, header.salt2)

    def _capture(self, commit: WalCommit) -> None:
        state, tracker = self.state, self.tracker
        header = tracker.header
        assert header is not None
        if state.node.tracer.active:
            state.node.tracer.emit(
                "wal.commit",
                state.name,
                state.pos.txid + 1,
                first=commit.first,
                last=commit.last,
                offset=tracker.frame_offset(commit.first),
                length=(commit.last - commit.first + 1) * tracker.frame_size,
                commit=commit.page_count,
                **write_events.pages_payload(sorted(commit.frames)),
            )
        if self._repeats(commit):
            tracker.extend_last(commit)
            return
        tell_pending(state)
        skip = lock_pgno(header.page_size)
        grown = range(state.sums.page_count + 1, commit.page_count + 1)
        wanted = {pgno for pgno in commit.frames if pgno <= commit.page_count}.union(grown)
        wanted.discard(skip)
        # A database that WAL mode itself made, or another page size: every page is in these frames.
        replace = state.page_size != header.page_size
        captured = capture(
            state,
            header.page_size,
            commit.page_count,
            self._commit_pages(commit, sorted(wanted), header.page_size),
            self._place(commit.first, commit.last),
            replace=replace,
            even_if_unchanged=True,
            late=self._may_be_late(),
        )
        assert captured is not None
        was_summed = not tracker.unsummed
        tracker.capture(commit)
        if was_summed:
            self._newest_summed = captured.pos.txid - 1 if tracker.unsummed else captured.pos.txid
        publisher = state.node.publisher
        if publisher is None or state.halt is not None:
            self.told_unseen = True
            publish(state, captured)
        else:
            state.pending = captured
            publisher.captured(state)
            if captured.fd >= 0:
                state.unsynced.append(Late(captured.pos.txid, captured.fd))
                publisher.written(state)

    def _may_be_late(self) -> bool:
        """Whether the LTX file may be synced behind the commit. Where a lecture looks, all is in order."""
        state, node = self.state, self.state.node
        publisher = node.publisher
        if publisher is None or node.tracer.active or state.halt is not None:
            return False
        return publisher.in_burst(state) and publisher.has_room(state)

    def _commit_pages(self, commit: WalCommit, pgnos: list[int], page_size: int) -> Pages:
        for pgno in pgnos:
            data: Buffer | None = commit.data.get(pgno)
            if data is None:
                frame = commit.frames.get(pgno)
                data = self.page_of_frame(frame) if frame is not None else self._page_now(pgno, page_size)
            yield pgno, data

    def _page_now(self, pgno: int, page_size: int) -> bytes:
        """A page as SQLite's readers see it: from a captured frame, or the file; zero past its end."""
        data = self.page(pgno)
        if data is None:
            data = os.pread(self.state.fd(FileKind.DATABASE), page_size, (pgno - 1) * page_size)
        return data.ljust(page_size, b"\0")

    def _repeats(self, commit: WalCommit) -> bool:
        """Whether this is the newest commit frame once more, as `psow=0` pads the WAL to a sector."""
        tracker, state = self.tracker, self.state
        if commit.first != commit.last or not tracker.captured:
            return False
        (pgno,) = commit.frames
        if (pending := state.pending) is not None:
            page_count, checksum = pending.header.commit, dict(pending.changes.items()).get(pgno)
        else:
            page_count, checksum = state.sums.page_count, state.sums.page(pgno)
        return (
            pgno == tracker.pgnos[-1]
            and commit.page_count == page_count
            and page_checksum(pgno, commit.data[pgno]) == checksum
        )

    @property
    def told_frames(self) -> int:
        """How many frames of the WAL belong to transactions that were told."""
        return self.tracker.captured if self.state.pending is None else self.tracker.last_commit[0] - 1

    def synced(self) -> None:
        """SQLite has had the WAL synced, and publishes its commit next; without the state's lock."""
        sync_all(self.state)
        if self.state.pending is not None and self.state.node.publisher is not None:
            self.state.node.publisher.synced(self.state)

    def settle(self) -> None:
        """Have told what SQLite's readers see by now; without the state's lock."""
        if self.state.pending is not None and self.state.node.publisher is not None:
            self.state.node.publisher.settle(self.state)
        if self.state.waits_for_sync and self.state.sync_failure is None:
            with suppress(OSError):  # Then it stays as old as it is.
                sync_all(self.state)

    def told_pages(self) -> Mapping[int, int]:
        """The newest frame of each page, of the transactions that were told."""
        tracker = self.tracker
        if self.state.pending is None:
            return tracker.pages
        return {pgno: index for index, pgno in enumerate(tracker.pgnos[: self.told_frames], start=1)}

    @property
    def _told_may_be_lost(self) -> bool:
        """Whether SQLite may lose what was told: where nobody looked at the index, or it lacks checksums."""
        return self.state.node.publisher is None or self.told_unseen or self.tracker.unsummed

    def drop_pending(self) -> None:
        """SQLite has lost the newest transaction, of which nobody was told."""
        if self.state.pending is not None:
            kept = self.told_frames
            drop_pending(self.state)
            self.tracker.lose(kept)

    def end_pending(self) -> None:
        """The WAL is about to go, and all that SQLite published is in the database file: tell or drop it."""
        sync_all(self.state)
        if self.is_backfilled():
            tell_pending(self.state)
        else:
            self.drop_pending()
        if self.state.reaped:
            with suppress(FileNotFoundError):
                os.fdatasync(self.state.fd(FileKind.DATABASE))
            self.state.reaped, self._header_to_sync = False, True

    def checkpointed(self, offset: int, data: "bytes | memoryview") -> None:
        """A page is about to be copied into the database file: SQLite copies only what it has published."""
        pending, size = self.state.pending, self.page_size
        if pending is None or not size or offset % size or len(data) != size:
            return
        pgno = offset // size + 1
        new = pending.sum_of(pgno)
        if new not in (None, self.state.sums.page(pgno)) and page_checksum(pgno, data) == new:
            tell_pending(self.state)

    def end_pending_by(self, index: bytes) -> None:
        """The applier has every lock, so what SQLite has not published, it has lost. `index` is the head of
        the WAL index as it was then."""
        pending = self.state.pending
        if pending is None:
            return
        header = read_header(index)
        if header is not None and (header.salt1, header.salt2) != pending.salts:
            self.end_pending()
        elif header is None or header.max_frame >= pending.last_frame:
            # Without a valid index, who comes next makes it from the WAL, with this transaction in it.
            tell_pending(self.state)
        else:
            self.drop_pending()

    def is_backfilled(self) -> bool:
        """Whether the database file holds the pages of the newest transaction: then SQLite published it."""
        pending = self.state.pending
        if pending is None:
            return False
        size, commit = pending.header.page_size, pending.header.commit
        try:
            fd = self.state.fd(FileKind.DATABASE)
            header = DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0))
        except (SqliteFormatError, FileNotFoundError):
            return False
        if header.page_size != size or header.pages(os.fstat(fd).st_size) != commit:
            return False
        sums = dict(pending.changes.items())
        return all(
            page_checksum(pgno, data) == sums[pgno] for pgno, data in pages_in_file(fd, list(sums), size)
        )

    def _lose(self, frame: int) -> None:
        state, tracker = self.state, self.tracker
        self.drop_pending()
        if frame > tracker.captured:
            return
        kept, page_count = tracker.boundary_before(frame)
        frames = {pgno: index for index, pgno in enumerate(tracker.pgnos[:kept], start=1)}
        pgnos = set(tracker.pgnos[kept:]).union(range(state.sums.page_count + 1, page_count + 1))
        self._commit_as_is(pgnos, page_count, self._place(kept + 1, kept), frames)
        tracker.lose(kept)

    def check_backfill(self, pgnos: Iterable[int]) -> None:
        """The WAL is about to go: pages of it that the database file does not hold were lost."""
        state = self.state
        fd = state.fd(FileKind.DATABASE)
        try:
            header = DatabaseHeader.parse(os.pread(fd, DATABASE_HEADER_SIZE, 0))
        except SqliteFormatError:
            # Nothing was ever checkpointed: the first commits were lost, and with them the database.
            commit_transaction(state, state.page_size, 0, (), replace=True)
            return
        count = header.pages(os.fstat(fd).st_size)
        inside = sorted({pgno for pgno in pgnos if pgno <= count})
        lost = {
            pgno
            for pgno, data in pages_in_file(fd, inside, header.page_size)
            if page_checksum(pgno, data) != state.sums.page(pgno)
        }
        grown = range(state.sums.page_count + 1, count + 1)
        if lost or count != state.sums.page_count:
            self._commit_as_is(lost.union(grown), count, WalPlace(), {})

    def _commit_as_is(
        self, pgnos: Iterable[int], page_count: int, place: WalPlace, frames: Mapping[int, int]
    ) -> None:
        """Capture pages as SQLite's readers will see them: from these WAL frames, or the file."""
        state = self.state
        size = state.page_size
        skip = lock_pgno(size)
        wanted = sorted({pgno for pgno in pgnos if pgno <= page_count and pgno != skip})
        fd = state.fd(FileKind.DATABASE)

        def pages() -> Pages:
            for pgno in wanted:
                if pgno in frames:
                    yield pgno, self.page_of_frame(frames[pgno])
                else:
                    yield pgno, os.pread(fd, size, (pgno - 1) * size).ljust(size, b"\0")

        commit_transaction(state, size, page_count, pages(), place)
