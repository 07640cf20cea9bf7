"""Import: another database's bytes become this database's next transaction.

The rule: the source is checked to be a whole database before anything is locked; then, under all of
SQLite's write locks, the LTX file comes first and the pages after it, so that a crash in between is
finished by recovery. Bytes 24-27 and 40-43 of page 1 (change counter and schema cookie) are zeroed, so
that connections that are open read everything anew.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pylitefs.errors import SqliteFormatError
from pylitefs.ltx.position import Pos
from pylitefs.sqlite import Buffer
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from pylitefs.store.applying import Applier
from pylitefs.store.capture import Pages, all_pgnos, commit_transaction, pages_in_file
from pylitefs.store.database import Database

Progress = Callable[[int], None]
"""progress(bytes so far)"""

_CHUNK = 1 << 20


def spool(
    source: BinaryIO, out: Path, size: int | None = None, progress: Progress | None = None
) -> None:
    """Copy a stream to a file in constant memory; SqliteFormatError if it is not `size` bytes long."""
    done = 0
    with open(out, "wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            if progress:
                progress(done)
    if size is not None and done != size:
        raise SqliteFormatError(f"only {done} of {size} bytes arrived: nothing was imported, send it again")


def check_whole(path: Path, name: str) -> tuple[int, int]:
    """(page size, page count) of a database file; SqliteFormatError if it is not a whole one."""
    with open(path, "rb") as file:
        head = file.read(DATABASE_HEADER_SIZE)
        size = os.fstat(file.fileno()).st_size
    try:
        header = DatabaseHeader.parse(head)
    except SqliteFormatError as error:
        raise SqliteFormatError(f"cannot import {name}: {error}") from None
    count = header.pages(size)
    if count == 0 or size < count * header.page_size:
        raise SqliteFormatError(
            f"cannot import {name}: its header says {count} pages of {header.page_size} bytes, "
            f"but there are only {size} bytes: make a whole copy with `sqlite3 DB '.backup FILE'`"
        )
    return header.page_size, count


def import_file(database: Database, applier: Applier, path: Path) -> Pos:
    """Replace the database by the one in `path`, as one transaction on the primary."""
    page_size, count = check_whole(path, database.name)
    state = database.state
    state.ltx.directory.mkdir(parents=True, exist_ok=True)
    with open(path, "rb") as file, state.apply_lock, applier.write_lock(database.name) as lock:
        with state.lock:
            database.rollback.forget()
            pages = _anew(pages_in_file(file.fileno(), all_pgnos(count, page_size), page_size))
            pos = commit_transaction(state, page_size, count, pages, replace=True)
            assert pos is not None
            database.wal.tracker.reset(count)
        lock.apply(state.ltx.path(pos.txid, pos.txid))
    return pos


def _anew(pages: Pages) -> Pages:
    for pgno, data in pages:
        yield pgno, _without_counters(data) if pgno == 1 else data


def _without_counters(page: Buffer) -> bytes:
    changed = bytearray(page)
    changed[24:28] = bytes(4)
    changed[40:44] = bytes(4)
    return bytes(changed)
