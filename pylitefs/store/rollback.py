"""The rollback modes (DELETE, TRUNCATE, PERSIST), and MEMORY and OFF: which pages a transaction wrote.

SQLite copies pages to the journal, syncs it, writes the pages into the database, and commits by ending
the journal: unlinking it, truncating it to 0, or zeroing its 28-byte header. Until then a crash rolls
back. So the pages are noted as they are written, and the journal's end is the commit point; a rollback
ends the journal as well, but leaves every page as it was. (Or nearly: SQLite does not journal pages of the
free list, so a rollback may leave other bytes there. Then these are a transaction, which no reader notices.)

The rule: the page count is page 1's, never the file's size, for VACUUM truncates after its journal's end.
Without a live journal (MEMORY, OFF) nothing marks the end; then the writer's lock does: once nobody holds
the database exclusively, no writer is half-way.
"""

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from pylitefs.errors import PylitefsError, SqliteFormatError
from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE, is_journal_header_valid, read_journal
from pylitefs.sqlite.locks import lock_pgno
from pylitefs.store import write_events
from pylitefs.store.applying import Applier
from pylitefs.store.capture import commit_transaction, commit_whole_file, pages_in_file
from pylitefs.store.disk_state import refusal
from pylitefs.store.marker import MARKER
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import private
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

NOT_A_DATABASE = "an encrypted database, or another file, cannot be replicated: keep it elsewhere"
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.0005, 0.01


class RollbackWatch:
    """Follows the database file and the journal of one database; its state's lock is held in every call."""

    def __init__(self, state: DatabaseState) -> None:
        self.state = state
        self.unjournaled = False
        self.generation = 0
        """Counts what made another file, or another content, of the database: a drop, an import."""
        self._dirty: set[int] = set()
        self._whole = False
        """Pages were written before the page size was known: everything counts as changed."""
        self._head = bytes(JOURNAL_HEADER_SIZE)

    @property
    def dirty(self) -> bool:
        """Whether the database file holds pages that are in no LTX file yet."""
        return self._whole or bool(self._dirty)

    @property
    def journal_live(self) -> bool:
        """Whether the journal's header is valid: a transaction that a crash would roll back."""
        return is_journal_header_valid(self._head)

    def page_written(self, offset: int, length: int) -> bool:
        """SQLite is about to write into the database; True at the first write without a journal."""
        size = self.state.page_size
        if self.state.halt is not None and not self.journal_live:
            why = "this is a replica, and without a journal nobody knows when its transaction ends"
            self._refuse(why, "use journal_mode DELETE, TRUNCATE, PERSIST or WAL here")
            raise refusal(errno.EIO, why)
        if size == 0:
            self._whole = True
        else:
            first, last = offset // size + 1, (offset + length - 1) // size + 1
            if first == last:
                self._dirty.add(first)
            else:
                self._dirty.update(range(first, last + 1))
        if self.journal_live or self.unjournaled:
            return False
        with open(self.state.directory / MARKER, "w", opener=private) as file:
            file.write(f"{self.state.pos.txid:016x}\n")
        self.unjournaled = True
        return True

    def journal_written(self, offset: int, data: "bytes | memoryview") -> bool:
        """SQLite is about to write into the journal; True if that zeroes a live one's header (PERSIST)."""
        if offset >= JOURNAL_HEADER_SIZE:
            return False
        was_live = self.journal_live
        head = bytearray(self._head)
        piece = bytes(data[: JOURNAL_HEADER_SIZE - offset])
        head[offset : offset + len(piece)] = piece
        if was_live and not is_journal_header_valid(head):
            return True
        self._head = bytes(head)
        return False

    @contextmanager
    def ending(self, how: str) -> Iterator[None]:
        """What is done within ends the journal. Where that fails, the transaction is captured all the same,
        and the journal is still there and hot: whoever opens it rolls back by it, which is the next
        transaction, or is shown that it is none of this database's any more (hot_journal.py)."""
        head = self._head
        self.end_journal(how)
        try:
            yield
        except OSError:
            self._head = head
            raise

    def rolled_back(self) -> None:
        """The applier's SQLite has rolled back by the journal, which still lies there. Nobody noted that.

        The pages that a killed client wrote are noted; but the journal may be one that was copied here.
        """
        if not self.journal_live:
            return
        with open(self.state.path(FileKind.JOURNAL), "rb") as file:
            fd = file.fileno()
            try:
                journal = read_journal(
                    lambda offset, length: os.pread(fd, length, offset),
                    os.fstat(fd).st_size,
                    database_page_size=self.state.page_size,
                )
            except SqliteFormatError:
                return  # There was nothing to roll back by.
            if journal.page_size == self.state.page_size:
                self._dirty.update(pgno for pgno, _ in journal.records)
            else:
                self._whole = True

    def end_journal(self, how: str) -> Pos | None:
        """The journal ends, whether by commit or rollback: capture what changed, before it is gone.

        `how` is the journal mode that ends it so: delete, truncate, persist.
        Raises OSError if the transaction cannot be made durable; SQLite then still has its journal.
        """
        tracer = self.state.node.tracer
        if tracer.active:
            tracer.emit(
                "journal.invalidate",
                self.state.name,
                self.state.pos.txid,
                live=self.journal_live,
                how=how,
                **write_events.pages_payload(sorted(self._dirty)),
            )
        try:
            pos = self.capture() if self.journal_live else None
        except SqliteFormatError as error:
            self._refuse(str(error), NOT_A_DATABASE)
            raise refusal(errno.EIO, str(error)) from None
        self._head = bytes(JOURNAL_HEADER_SIZE)
        self.state.unwinding = False
        return pos

    def capture(self) -> Pos | None:
        """Pack the pages written since the last transaction, if they changed anything.

        Raises SqliteFormatError for a file that is no database; OSError as `end_journal`.
        """
        state = self.state
        if not self.dirty:
            return None
        fd = state.fd(FileKind.DATABASE)
        head = os.pread(fd, DATABASE_HEADER_SIZE, 0)
        pos = None
        if head:
            pos = self._capture(fd, DatabaseHeader.parse(head))
        elif state.pos.txid and state.sums.page_count:
            self._refuse("its file is empty", "restore it from a replica with `pylitefs export`")
        self.clear()
        if pos is None and state.node.tracer.active:
            state.node.tracer.emit("tx.rollback", state.name, state.pos.txid)
        return pos

    def _refuse(self, why: str, remedy: str) -> None:
        self.state.node.refuse(self.state.name, "a commit", why, remedy)

    def _capture(self, fd: int, header: DatabaseHeader) -> Pos | None:
        state = self.state
        commit = header.pages(os.fstat(fd).st_size)
        if self._whole or header.page_size != state.page_size:
            return commit_whole_file(state, header.page_size, commit)
        skip = lock_pgno(header.page_size)
        # A page that joined and was freed again in one transaction is never written, yet it is there.
        grown = range(state.sums.page_count + 1, commit + 1)
        pgnos = sorted(pgno for pgno in self._dirty.union(grown) if pgno <= commit and pgno != skip)
        return commit_transaction(state, header.page_size, commit, pages_in_file(fd, pgnos, header.page_size))

    def clear(self) -> None:
        """What was written is captured, or rolled back."""
        self._dirty.clear()
        self._whole = False
        if self.unjournaled:
            self.unjournaled = False
            (self.state.directory / MARKER).unlink(missing_ok=True)

    def disown_journal(self) -> None:
        """The journal was not this database's, and its header is zero now: there is nothing to roll back."""
        self._head = bytes(JOURNAL_HEADER_SIZE)

    def forget(self) -> None:
        """The database is gone, or replaced as a whole."""
        self.clear()
        self.generation += 1
        self._head = bytes(JOURNAL_HEADER_SIZE)
        self.state.unwinding = False


def capture_between_writers(watch: RollbackWatch, applier: Applier, seconds: float) -> bool:
    """Capture what was written without a journal, once nobody has the database locked to write it; False if
    that is not within `seconds`. A writer that comes just then waits for the capture in its first write.

    The state's lock is not held by the caller.
    """
    generation = watch.generation
    deadline, pause = time.monotonic() + seconds, _FIRST_PAUSE_S
    with applier.watch_writers(watch.state.name) as is_written:
        while time.monotonic() < deadline:
            with watch.state.lock:
                if watch.generation != generation or not watch.unjournaled or watch.journal_live:
                    return True
                if not is_written():
                    watch.capture()
                    return True
            time.sleep(pause)
            pause = min(pause * 1.5, _LAST_PAUSE_S)
    return False


def capture_when_it_can(watch: RollbackWatch, applier: Applier, stopping: Event) -> None:
    """The same, until it is done or `stopping`; for a thread of its own."""
    state = watch.state
    refused = False
    while watch.unjournaled and not stopping.is_set():
        try:
            if capture_between_writers(watch, applier, 1.0):
                return
        except SqliteFormatError as error:
            # It is tried again: something may write a database in its own order, page 1 last.
            if not refused:
                state.node.refuse(state.name, "a transaction", str(error), NOT_A_DATABASE)
            refused = True
            stopping.wait(1.0)
        except PylitefsError:
            stopping.wait(0.01)
        except OSError as error:
            if not state.node.disk.note(error):
                log.error("%s: what was written without a journal is not captured yet: %s", state.name, error)
            stopping.wait(1.0)
