"""A replica's new database, written while it arrives, into a file that the mount does not show.

    the stream --> incoming.py --> ltx/receiving.tmp        the LTX file
                             `--> database.tmp (here)       its pages
    all of it doubted, the LTX file durable, then: database.tmp --> database

The rule: the name comes last. Nobody sees a page before the whole file is verified and its LTX file durable,
and what was not shown is gone at the next start, like every `*.tmp`. The file itself need not be durable:
recovery makes it anew from the LTX file.

What is there already is changed through the mount, under SQLite's locks. So is a small database, for which
this would gain nothing, and all that a lecture watches.
"""

import os
from contextlib import suppress

from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.header import Header
from pylitefs.portable import BINARY, MOVES_OPEN_FILES
from pylitefs.store.applying import Applier
from pylitefs.store.database import Database
from pylitefs.store.files import check_room, pwritev_all
from pylitefs.store.names import FileKind
from pylitefs.store.privacy import FILE_MODE, make_directory

LARGE = 1 << 20
"""A database of fewer bytes is written through the mount."""
_IN_ONE_CALL = 1000
"""Pages for one `pwritev`, which takes 1,024."""


class FreshFile:
    """The file of one new database. `take` its pages, then `show` it, or `close` it."""

    def __init__(self, database: Database, header: Header) -> None:
        """Raises OSError (ENOSPC) if the database would not fit."""
        state = database.state
        self._database = database
        self._header = header
        size = header.commit * header.page_size
        check_room(state.directory.parent, size, f"{header.filename} of {state.name}")
        make_directory(state.ltx.directory)
        self._path = state.directory / "database.tmp"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | BINARY, FILE_MODE)
        try:
            os.ftruncate(self._fd, size)
        except BaseException:
            self.close()
            raise

    def take(self, batch: Batch) -> None:
        """Write pages as they arrive: neighbours together."""
        size = self._header.page_size
        run: list[memoryview] = []
        start = 0
        for pgno, page in batch:
            if run and (pgno != start + len(run) or len(run) == _IN_ONE_CALL):
                pwritev_all(self._fd, run, (start - 1) * size)
                run = []
            if not run:
                start = pgno
            run.append(page)
        if run:
            pwritev_all(self._fd, run, (start - 1) * size)

    def show(self, applier: Applier) -> bool:
        """Give it the database's name; False if there is a database by now. The LTX file is durable."""
        state = self._database.state
        with state.lock, self._database.files.lock:
            if self._fd < 0 or not is_free(self._database):
                self.close()
                return False
            try:
                os.rename(self._path, state.path(FileKind.DATABASE))
            except BaseException:
                self.close()
                raise
            os.close(self._fd)
            self._fd = -1
            state.forget_fd(FileKind.DATABASE)
            self._database.stale.add(FileKind.DATABASE)
        applier.appeared(state.name)
        return True

    def close(self) -> None:
        """What was not shown is not kept."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with suppress(FileNotFoundError):
                self._path.unlink()


def begin_fresh(database: Database, header: Header) -> FreshFile | None:
    """The file for the pages of an LTX file that begins to arrive; None if they go through the mount."""
    if not header.is_snapshot or header.commit * header.page_size < LARGE:
        return None
    if database.state.node.tracer.active or not is_free(database) or not MOVES_OPEN_FILES:
        return None
    return FreshFile(database, header)


def is_free(database: Database) -> bool:
    """Whether nothing has the database's name, nor is beside it. On a replica only the applier makes one."""
    return not any(os.path.lexists(database.path(kind)) for kind in FileKind)
