"""What all the streams of a primary share, so that a commit costs its writer the same however many listen.

    a position moved --writer's thread--> one wake-up of the event loop --> each stream is told there
    an LTX file's frames: made for the first stream that sends it, kept for the others

The rule: frames are kept for who is at exactly the position that they continue, checksum and all, and for as
long as this node is the primary without a break: one that is a primary again may have another history.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos
from pylitefs.store.store import Store

KEPT_BYTES = 4 << 20
"""Bytes of frames that are kept, at most."""

Notify = Callable[[str, Header | None], None]
"""notify(database, the newest LTX file's header), in the event loop."""


@dataclass(frozen=True, slots=True)
class Frames:
    """One LTX file as it goes out, with its mark."""

    data: bytes
    after: int
    """Bytes of the mark at the end."""
    pos: Pos
    """Of who has it."""


class FanOut:
    """One event loop's streams. All but `_moved` is called in that loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._streams: list[Notify] = []
        self._unsubscribe: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._news: dict[str, Header | None] = {}
        self._kept: OrderedDict[tuple[int, str, Pos], Frames] = OrderedDict()
        self._size = 0

    def follow(self, notify: Notify) -> Callable[[], None]:
        """Have `notify` called after each move of a position; call what this gives to end that."""
        if not self._streams:
            self._loop = asyncio.get_running_loop()
            self._unsubscribe = self._store.subscribe(self._moved)
        self._streams.append(notify)

        def leave() -> None:
            self._streams.remove(notify)
            if not self._streams:
                self._unsubscribe()
                self._kept.clear()
                self._size = 0

        return leave

    def _moved(self, name: str, _pos: Pos, header: Header | None) -> None:
        """Called by the store, in any thread."""
        with self._lock:
            is_first = not self._news
            self._news[name] = header
        if is_first:
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:
                pass  # The loop is closed: the server has stopped.

    def _tell(self) -> None:
        with self._lock:
            news, self._news = self._news, {}
        for name, header in news.items():
            for notify in self._streams:
                notify(name, header)

    def frames(self, name: str, pos: Pos) -> Frames | None:
        """What continues a position, if another stream has sent it lately."""
        return self._kept.get((self._store.terms.term, name, pos))

    def keep(self, name: str, pos: Pos, frames: Frames) -> None:
        """These frames continue `pos`."""
        key = (self._store.terms.term, name, pos)
        if key in self._kept:
            return
        self._kept[key] = frames
        self._size += len(frames.data)
        while self._size > KEPT_BYTES:
            self._size -= len(self._kept.popitem(last=False)[1].data)
