"""Databases whose next transaction waits for a reader, while the stream goes on with the others.

    stream thread: a transaction is stored, and cannot be applied within PATIENCE_S --> begin()
                   more of the same database                                        --> take()
    a thread a database: finish the first, then those that came meanwhile, in their order; then it ends

The rules: one database's transactions are applied in the order in which they came. No memory is taken
without a bound: past QUEUE_BYTES what comes is dropped, and once the reader is gone the primary is asked for
it anew (`on_trouble`). So it is for what fails: the stream's own thread meets it then.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pylitefs.errors import LtxError
from pylitefs.ltx.header import HEADER_SIZE, Header
from pylitefs.replication.body import Body
from pylitefs.store.incoming import Received
from pylitefs.store.store import Store

PATIENCE_S = 0.25
"""So long the stream waits for a database's readers before it goes on with others."""
QUEUE_BYTES = 16 << 20
"""What is kept of transactions that wait, of all databases together."""

log = logging.getLogger("pylitefs")


@dataclass(eq=False)
class _HeldUp:
    """One database that waits."""

    queue: deque[bytes] = field(default_factory=deque)
    size: int = 0
    """Bytes in the queue."""
    arriving: bool = False
    """The stream is reading one for the queue."""
    dropped: bool = False
    """There was no room for all of them."""


class HeldUp:
    """The databases of one replica that wait. `begin`, `take` and `asking_anew` are for the stream's thread.

    `on_received(name, received)` and `on_trouble(name, error)` are called in a database's own thread. An
    error of None says that some of its transactions have to be asked for again.
    """

    def __init__(
        self,
        store: Store,
        on_received: Callable[[str, Received], None],
        on_trouble: Callable[[str, Exception | None], None],
    ) -> None:
        self._store = store
        self._on_received = on_received
        self._on_trouble = on_trouble
        self._changed = threading.Condition()
        self._waiting: dict[str, _HeldUp] = {}

    @property
    def any(self) -> bool:
        """Whether a database of this node waits, so that the node is not level with its primary."""
        return bool(self._waiting)

    def begin(self, name: str, finish: Callable[[], Received]) -> None:
        """A transaction is stored and waits; `finish` applies it, however long that takes."""
        one = _HeldUp()
        with self._changed:
            self._waiting[name] = one
        threading.Thread(
            target=self._go_on, args=(name, one, finish), name=f"held-up {name}", daemon=True
        ).start()

    def take(self, name: str, body: Body) -> bool:
        """Queue an LTX file if its database waits; False, with nothing read of it, if it does not."""
        with self._changed:
            one = self._waiting.get(name)
            if one is None:
                return False
            one.arriving = True
            size = sum(other.size for other in self._waiting.values())
        parts: list[bytes] = []
        try:
            for chunk in body:
                size += len(chunk)
                one.dropped = one.dropped or size > QUEUE_BYTES
                if one.dropped:
                    parts.clear()  # Read to its end all the same: the next frame comes after it.
                else:
                    parts.append(chunk)
        except BaseException:
            parts.clear()
            raise
        finally:
            with self._changed:
                one.arriving = False
                if parts:
                    one.queue.append(b"".join(parts))
                    one.size += len(one.queue[-1])
                self._changed.notify_all()
        return True

    def asking_anew(self) -> None:
        """Before the primary is told our positions: it will send all that is beyond them again."""
        with self._changed:
            for one in self._waiting.values():
                one.queue.clear()
                one.size, one.dropped = 0, False

    def stop(self, timeout: float) -> bool:
        """Forget what is queued; False if a database still waits after `timeout` seconds."""
        self.asking_anew()
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)

    # A database's thread

    def _go_on(self, name: str, one: _HeldUp, finish: Callable[[], Received]) -> None:
        try:
            self._on_received(name, finish())
            while (content := self._next(name, one)) is not None:
                if not self._is_known(name, content):
                    self._on_received(name, self._store.receive_ltx(name, [content]))
        except Exception as error:
            self._leave(name)
            self._on_trouble(name, error)
            return
        if one.dropped:
            self._on_trouble(name, None)

    def _next(self, name: str, one: _HeldUp) -> bytes | None:
        """The next one in the queue; None, and the database waits no longer, if there is none."""
        with self._changed:
            self._changed.wait_for(lambda: one.queue or not one.arriving)
            if not one.queue:
                del self._waiting[name]
                self._changed.notify_all()
                return None
            content = one.queue.popleft()
            one.size -= len(content)
            return content

    def _leave(self, name: str) -> None:
        with self._changed:
            del self._waiting[name]
            self._changed.notify_all()

    def _is_known(self, name: str, content: bytes) -> bool:
        """Whether it is applied already: after a reconnect it may have been sent twice."""
        try:
            header = Header.unpack(content[:HEADER_SIZE])
        except LtxError:
            return False
        database = self._store.require(name)
        return (
            header.max_txid <= database.pos.txid
            and (header.min_txid, header.max_txid) in database.ltx_files()
        )
