"""The event streams of several nodes (`GET /events`), read side by side into one queue.

The rule: a stream that ends is opened again, for a lecture kills and restarts nodes; each event gets
the time at which it came in, from one clock for all nodes.
"""

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from pylitefs.errors import RemoteError
from pylitefs.http import client

_RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """One event of a node; `at` is monotonic seconds."""

    node: str
    type: str
    database: str
    data: Mapping[str, object]
    at: float


class EventFeed:
    """Listens to each URL of `nodes` (name → base URL) in a thread, until the process ends."""

    def __init__(self, nodes: Mapping[str, str]) -> None:
        self._queue: queue.SimpleQueue[NodeEvent] = queue.SimpleQueue()
        self._closed = threading.Event()
        for name, url in nodes.items():
            threading.Thread(target=self._listen, args=(name, url), daemon=True).start()

    def close(self) -> None:
        """Open no stream again."""
        self._closed.set()

    def get(self, seconds: float) -> NodeEvent | None:
        """The next event, or None if there is none for `seconds`."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None

    def _listen(self, name: str, url: str) -> None:
        while not self._closed.is_set():
            try:
                for event in client.events(url):
                    self._queue.put(_node_event(name, event))
            except RemoteError:
                self._closed.wait(_RETRY_S)


def _node_event(name: str, event: Mapping[str, object]) -> NodeEvent:
    now = time.monotonic()
    data = event.get("data")
    return NodeEvent(
        name, str(event.get("type")), str(event.get("db", "")), data if isinstance(data, dict) else {}, now
    )
