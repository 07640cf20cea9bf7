"""Who has a database's files open: the clients' descriptors, by kind of file.

The rule: a descriptor counts for as long as the file that it was opened on has the name. After an unlink the
name is another file's, and the descriptor counts no more.
"""

import os
import threading

from pylitefs.store.names import FileKind


class OpenFiles:
    """The clients' descriptors on one database; the applier's are not among them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Guards which descriptors are on which files. Taken after the state's lock, and never for long."""
        self.write_only: set[int] = set()
        """Those on a live database that were opened to write only: their writes are refused."""
        self.wal_readers: set[int] = set()
        """Those on the WAL that were opened to read it alone."""
        self.appliers_index: set[int] = set()
        """The applier's on the WAL index, where it may hold a lock: then no client makes the index anew."""
        self.appliers_database: set[int] = set()
        """The applier's on the database file."""
        self.in_process = False
        """All who have them open are in this process (vfs/). It tells when a transaction without a journal is
        at its end, and who writes a WAL has the database for itself: nobody else has to see its index."""
        self._live: dict[FileKind, set[int]] = {kind: set() for kind in FileKind}

    def any(self, kind: FileKind) -> bool:
        """Whether a client has this file open."""
        return bool(self._live[kind])

    @property
    def any_open(self) -> bool:
        """Whether a client has any of its files open."""
        return any(self._live.values())

    @property
    def index_is_used(self) -> bool:
        """Whether who comes next goes by the WAL index as it is, because somebody uses it."""
        return bool(self._live[FileKind.SHM] or self.appliers_index)

    def is_live(self, kind: FileKind, fd: int) -> bool:
        """Whether a descriptor is on the file that now bears the name."""
        return fd in self._live[kind]

    def add(self, kind: FileKind, fd: int, flags: int = os.O_RDWR, applier: bool = False) -> None:
        """Someone has opened it. The applier's eyes, which only read the index, do not count."""
        if not applier:
            self._live[kind].add(fd)
            if kind is FileKind.WAL and flags & os.O_ACCMODE == os.O_RDONLY:
                self.wal_readers.add(fd)
        elif kind is FileKind.SHM and flags & os.O_ACCMODE != os.O_RDONLY:
            self.appliers_index.add(fd)
        elif kind is FileKind.DATABASE:
            self.appliers_database.add(fd)

    def discard(self, kind: FileKind, fd: int) -> None:
        self._live[kind].discard(fd)
        self.write_only.discard(fd)
        self.wal_readers.discard(fd)
        self.appliers_index.discard(fd)
        self.appliers_database.discard(fd)

    def unlinked(self, kind: FileKind) -> None:
        """The name leads to another file now, or to none."""
        self._live[kind].clear()
        if kind is FileKind.DATABASE:
            self.write_only.clear()
            self.appliers_database.clear()
        elif kind is FileKind.WAL:
            self.wal_readers.clear()
        elif kind is FileKind.SHM:
            self.appliers_index.clear()
