"""`strict-verify`: after each transaction the whole database is read, and compared with its position.

Nobody needs it in service: a position is the sum of what changed, and tests hold that it is the sum of the
bytes. It is for who doubts that, or the machine: a disk that gives back other bytes than were written, a
program that writes into the data directory. The rule: a database that differs is told with both checksums,
and ends the node before more is made of it. LiteFS looks in each commit; here a thread looks, at what a
reader sees at that moment, so of transactions that follow closely it sees the last one.
"""

import logging
import threading
from collections.abc import Callable

from pylitefs.errors import BusyError, DatabaseNotFoundError, LtxChecksumError, PylitefsError
from pylitefs.ltx.database import database_checksum
from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store

AGAIN_S = 1.0
"""A database whose users kept it locked is looked at again."""

log = logging.getLogger("pylitefs")


def verify(store: Store, name: str) -> Pos | None:
    """Compare a database's bytes with its position; the position, or None if there is no database now.

    Raises LtxChecksumError, with what to do, if they differ; BusyError if its users keep it locked.
    """
    path = store.temp_path(".verify")
    try:
        pos = store.export(name, path)
        found = database_checksum(path)
    except DatabaseNotFoundError:
        return None
    finally:
        path.unlink(missing_ok=True)
    if found != pos.checksum:
        raise LtxChecksumError(
            f"strict-verify: {name} is at {pos}, but its bytes give checksum {found:016x}: something changed "
            "them behind the mount; start the node again, which says what can be done"
        )
    return pos


class StrictVerify:
    """Verifies each database whose position moved, in a thread of its own. `on_fatal` is told the first that
    differs, and then it ends."""

    def __init__(self, store: Store, on_fatal: Callable[[Exception], None]) -> None:
        self._store = store
        self._on_fatal = on_fatal
        self._dirty: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="strict-verify", daemon=True)

    def start(self) -> None:
        self._unsubscribe = self._store.subscribe(self._notify)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        self._unsubscribe()
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _notify(self, name: str, _pos: Pos, _header: Header | None) -> None:
        with self._lock:
            self._dirty.add(name)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            if self._stopping.is_set():
                return
            with self._lock:
                self._wake.clear()
                names, self._dirty = self._dirty, set()
            for name in sorted(names):
                try:
                    verify(self._store, name)
                except BusyError:
                    self._stopping.wait(AGAIN_S)
                    self._notify(name, Pos(), None)
                except (PylitefsError, OSError) as error:
                    self._on_fatal(error)
                    return
