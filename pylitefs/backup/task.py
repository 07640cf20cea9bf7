"""The backup's thread: it waits for positions to move, and brings what moved level with the folder.

    a commit --store.subscribe--> dirty --wake--> wait `delay` for more --> Sync.bring_level

The rules: only a primary backs up, and has the folder locked while it is one; one database in trouble does
not hold up the others; the whole folder is looked at again every `full_sync_interval`, since somebody may
have put an older backup there. A commit pays for a set's entry and no more.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pylitefs.backup.folder import BackupFolder
from pylitefs.backup.sync import Sync
from pylitefs.errors import PylitefsError
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.backup_state import BackupState
from pylitefs.store.store import Store

ROLE_S = 0.2
"""A node that is no primary looks so often whether it has become one."""
AGAIN_S = 1.0
MOST_AGAIN_S = 10.0
"""After a trouble it is tried again, soon at first, then so seldom."""

log = logging.getLogger("pylitefs")


class Backup:
    """The backup of one node, in a thread of its own. `start()` once the store is open."""

    def __init__(
        self,
        store: Store,
        path: Path,
        *,
        delay: float,
        full_sync_interval: float,
        compress: bool,
        on_level: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_level` is called, once, when a primary's first look has ended: what was to be restored is. If
        the backup cannot be looked at, that is when the node has data of its own."""
        self._store = store
        self._folder = BackupFolder(path)
        self.state = BackupState(self._folder.url)
        self._delay = delay
        self._full_sync_interval = full_sync_interval
        self._on_level = on_level
        self._level_told = False
        self._finishing = threading.Event()
        """Set first: what is dirty is backed up at once, and nothing is waited for."""
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._lock = threading.Lock()
        self._dirty: set[str] = set()
        self._sync = Sync(
            store,
            self._folder,
            self.state,
            compress=compress,
            may_write=lambda: self._is_primary,
            stopping=self._stopping.wait,
        )
        self._thread = threading.Thread(target=self._run, name="backup", daemon=True)

    def start(self) -> None:
        """Make the folder if it is not there, and begin. Raises OSError if it cannot be made."""
        self._folder.make()
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Back up what has changed since, and end the thread; False if that takes more than `timeout` seconds
        (a disk that hangs)."""
        self._finishing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._stopping.set()
        return not self._thread.is_alive()

    def wait_idle(self, timeout: float) -> bool:
        """For a node that has just stopped being the primary: wait until it writes into the backup no
        more."""
        self._wake.set()
        return self._idle.wait(timeout)

    @property
    def _is_primary(self) -> bool:
        return self._store.status.is_primary and not self._stopping.is_set()

    # The thread

    def _run(self) -> None:
        pause = AGAIN_S
        while not self._finishing.is_set():
            if not self._is_primary:
                self._finishing.wait(ROLE_S)
                continue
            self._idle.clear()
            try:
                self._back_up()
                pause = AGAIN_S
            except (PylitefsError, OSError) as error:
                self.state.fails(_told(error))
                self._tell_level(only_with_data=True)
            except Exception as error:
                log.exception("the backup stops: an error of pylitefs itself")
                self.state.fails(f"an error of pylitefs itself: {error}; restart this node")
                self._tell_level(only_with_data=True)
                return
            finally:
                self._folder.leave()
                self.state.is_running = False
                self._idle.set()
            self._finishing.wait(pause)
            pause = min(pause * 2, MOST_AGAIN_S)

    def _back_up(self) -> None:
        """For as long as this node is the primary; an error that is about the folder ends it."""
        self._folder.take()
        self._sync.begins()
        unsubscribe = self._store.subscribe(self._notify)
        try:
            self.state.is_running = True
            again = AGAIN_S
            while self._is_primary:
                next_look = time.monotonic() + self._full_sync_interval
                self._folder.check_there()
                self._folder.look_again()
                names = {*self._folder.names(), *(one.name for one in self._store.databases())}
                self.state.works()
                failed = self._bring_level(names)
                self._tell_level(only_with_data=bool(failed))
                again = min(again * 2, MOST_AGAIN_S) if failed else AGAIN_S
                while self._is_primary and time.monotonic() < next_look:
                    if self._finishing.is_set() and not self._dirty:
                        return
                    if failed:
                        next_look = min(next_look, time.monotonic() + again)
                    if self._changed(next_look):
                        failed = self._bring_level(self._take_dirty())
        finally:
            unsubscribe()

    def _bring_level(self, names: Iterable[str]) -> set[str]:
        """Each of these databases; those for which that failed."""
        failed = set()
        for name in sorted(names):
            if not self._is_primary:
                break
            try:
                self._sync.bring_level(name)
            except (PylitefsError, OSError) as error:
                self._folder.check_there()  # What is about the folder is about all of them.
                self.state.fails(_told(error), name)
                failed.add(name)
            else:
                self.state.works(name)
        if not failed:
            self.state.level_at = time.time()
        return failed

    def _changed(self, until: float) -> bool:
        """Wait for a change, and then for those that follow it closely; False if none came in time."""
        while self._is_primary and (left := until - time.monotonic()) > 0:
            if self._wake.wait(min(left, ROLE_S)):
                self._finishing.wait(self._delay)
                return True
        return False

    def _take_dirty(self) -> set[str]:
        with self._lock:
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            return dirty

    def _notify(self, name: str, _pos: Pos, _header: Header | None) -> None:
        """Called by the store, in the thread that moved a position."""
        if name not in self._dirty:
            with self._lock:
                self._dirty.add(name)
                self._wake.set()

    def _tell_level(self, *, only_with_data: bool) -> None:
        if self._level_told or (only_with_data and not self._store.positions()):
            return
        self._level_told = True
        self._on_level()


def _told(error: Exception) -> str:
    """An error in a line that names what it is about."""
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}; see to it that there is room and that this user may write there"
    return str(error)
