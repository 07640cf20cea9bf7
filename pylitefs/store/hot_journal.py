"""Whether a journal that is about to be rolled back belongs to its database: somebody may have put it there.

    open of a journal with content, to write --> judge --> SQLite rolls back by it
                                                       `-> it is emptied: SQLite finds nothing to roll back

SQLite believes whatever journal lies beside a database, and its roll-back can leave a file that is none: then
every client, readers too, would get "disk I/O error" until the node's next start.

The rule: a killed client's journal holds pages as they were committed, and the node knows their checksums. So
it goes through after one reading. Any other one is tried on a copy first, which SQLite itself checks. If
that is a database, SQLite may make it so (a copied database with its journal is rolled back like this); if it
is none, the journal is kept aside and its header zeroed, as SQLite does in PERSIST mode. And over a journal
with content nobody copies another: emptying it first would commit what may be half-way.
"""

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pylitefs.errors import PylitefsError, SqliteFormatError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.sqlite.journal import JOURNAL_HEADER_SIZE, Journal, read_journal
from pylitefs.store import content
from pylitefs.store.disk_state import refusal
from pylitefs.store.files import pwrite_all
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import private
from pylitefs.store.rollback import RollbackWatch
from pylitefs.store.state import DatabaseState

KEPT = "journal.removed"
"""Where a journal that is not the database's lies then: the newest one, in `dbs/DB`."""
_TRIED = "rolled-back.tmp"


def is_opened(state: DatabaseState, watch: RollbackWatch, flags: int, applier: bool) -> bool:
    """A journal is about to be opened; whether it had content, was not the database's, and is emptied now.

    EPERM, with a log line, for who would only write: SQLite does not, `cp` does.
    """
    if not watch.journal_live:
        return False
    how = flags & os.O_ACCMODE
    if how == os.O_WRONLY and not applier:
        why, remedy = "it holds a transaction", "open the database with SQLite, which ends it"
        state.node.refuse(state.name, f"copying over {state.name}-journal", why, remedy)
        raise refusal(errno.EPERM, why)
    return how == os.O_RDWR and judge(state, watch)


def judge(state: DatabaseState, watch: RollbackWatch) -> bool:
    """Whether the journal, which has content, was not this database's and is emptied now.

    Who asks has the database for itself, as SQLite has when it rolls back; the state's lock is not held.
    """
    with open(state.path(FileKind.JOURNAL), "rb") as file:
        fd = file.fileno()
        why = _why_not(state, lambda offset, length: os.pread(fd, length, offset), os.fstat(fd).st_size)
    if not why:
        return False
    kept = state.directory / KEPT
    with state.lock:
        shutil.copyfile(state.path(FileKind.JOURNAL), kept)
        with open(state.path(FileKind.JOURNAL), "r+b") as file:
            pwrite_all(file.fileno(), bytes(JOURNAL_HEADER_SIZE), 0)
        watch.disown_journal()
    state.node.refuse(
        state.name,
        f"rolling back by {state.name}-journal",
        f"it is another database's journal, or damaged: {why}",
        f"the database stays as it was; the journal is kept as {kept}: remove it, or see who wrote it",
    )
    return True


def _why_not(state: DatabaseState, read_at: Callable[[int, int], bytes], size: int) -> str:
    """What is wrong with the database that this journal would leave; "" if nothing is."""
    try:
        journal = read_journal(read_at, size, database_page_size=state.page_size)
    except SqliteFormatError:
        return ""  # SQLite finds no header either, and rolls nothing back.
    if _is_as_committed(state, journal):
        return ""
    if not state.pos.txid:
        return ""  # There is nothing to lose: whatever comes of it is looked at when it is a transaction.
    tried = state.directory / _TRIED
    try:
        return _why_no_database(state, journal, tried)
    finally:
        tried.unlink(missing_ok=True)


def _is_as_committed(state: DatabaseState, journal: Journal) -> bool:
    """Whether it holds only what the node knows: pages as the last transaction left them, and so many.

    A database without pages has no page size, whatever the one had that was removed under its name.
    """
    sums = state.sums
    if sums.page_count and journal.page_size != state.page_size:
        return False
    return journal.initial_pages == sums.page_count and all(
        page_checksum(pgno, page) == sums.page(pgno) for pgno, page in journal.records
    )


def _why_no_database(state: DatabaseState, journal: Journal, tried: Path) -> str:
    """Roll a copy back and have SQLite check it."""
    if journal.page_size != state.page_size:
        return f"its pages have {journal.page_size} bytes, and the database's {state.page_size}"
    if not journal.initial_pages:
        return "it would leave an empty file"
    with open(state.path(FileKind.DATABASE), "rb") as source, open(tried, "wb", opener=private) as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        for pgno, page in journal.records:
            pwrite_all(copy.fileno(), page, (pgno - 1) * journal.page_size)
        copy.truncate(journal.initial_pages * journal.page_size)
    try:
        with closing(open(tried, "rb")) as file:
            DatabaseHeader.parse(file.read(DATABASE_HEADER_SIZE))
        return content.objection(tried)
    except PylitefsError as error:
        return str(error)
