"""One store's front end, put together: its files, its locks, its applier, and SQLite's two ways in.

    front = Front(store)              the store is open
    db = front.connect("app.db")      an apsw.Connection
    front.close()                     closes it, too

The rule: whatever stands in the way is handed in. `wrap` gets the files that SQLite is to see and gives those
that it sees: a test, or a simulator, puts its own object between, which sees every call. Nothing here starts
a thread.
"""

import itertools
import weakref
from collections.abc import Callable
from contextlib import suppress

import apsw

from pylitefs.store.store import Store
from pylitefs.vfs.applier import VfsApplier
from pylitefs.vfs.bridge import Explain, NodeVfs, plainly
from pylitefs.vfs.bridge import Files as SeenFiles
from pylitefs.vfs.files import Files
from pylitefs.vfs.locks import LockTable
from pylitefs.vfs.outside import Outside

BUSY_S = 5.0
"""A connection waits so long for another's lock, as Python's sqlite3 does, where nothing else is said."""
READ_WRITE: int = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
_numbers = itertools.count(1)
_ended: list[tuple[NodeVfs, NodeVfs]] = []

Wrap = Callable[[Files], SeenFiles]


class Front:
    """SQLite's way into one store, in this process. The store's applier is this one's from now on."""

    def __init__(
        self,
        store: Store,
        *,
        outside: Outside | None = None,
        explain: Explain = plainly,
        wrap: Wrap = lambda files: files,
    ) -> None:
        outside = outside or Outside()
        number = next(_numbers)
        self.store = store
        self.locks = LockTable(outside)
        self._connections: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._files = Files(store, self.locks, outside)
        self._vfs = NodeVfs(f"pylitefs-{number}", wrap(self._files), outside, explain)
        own = Files(store, self.locks, outside, applier=True)
        self._own_vfs = NodeVfs(f"pylitefs-{number}-applier", wrap(own), outside, explain)
        self.applier = VfsApplier(own, self._have_sqlite_read)
        store.applier = self.applier

    @property
    def vfs_name(self) -> str:
        """For `apsw.Connection(name, vfs=…)`, and for `ATTACH 'file:other.db?vfs=…'` elsewhere."""
        return self._vfs.vfs_name

    def connect(
        self,
        database: str,
        flags: int = READ_WRITE,
        *,
        busy_s: float = BUSY_S,
        make: Callable[..., apsw.Connection] = apsw.Connection,
    ) -> apsw.Connection:
        """A connection to a database of the store, made if it is new."""
        made = make(database, flags, self.vfs_name)
        made.set_busy_timeout(round(busy_s * 1000))
        self._connections.add(made)
        return made

    def _have_sqlite_read(self, database: str) -> None:
        own = apsw.Connection(database, apsw.SQLITE_OPEN_READWRITE, self._own_vfs.vfs_name)
        try:
            own.set_busy_timeout(round(BUSY_S * 1000))
            own.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        finally:
            own.close()

    def close(self) -> None:
        """Serve no more. Open connections are closed; one at work in another thread gets an error."""
        self.applier.stop()
        for connection in list(self._connections):
            with suppress(apsw.Error):
                connection.close(True)
        self._files.close()
        self._vfs.unregister()
        self._own_vfs.unregister()
        # What SQLite may still call stays: a connection that was at work is closed by its thread, later.
        _ended.append((self._vfs, self._own_vfs))
