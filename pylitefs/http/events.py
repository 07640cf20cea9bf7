"""`GET /events`: each transaction, and who is the primary, as lines of JSON.

    {"type":"init","data":{"isPrimary":true}}
    {"type":"tx","db":"my.db","data":{"txID":"000000000000000a", ...}}
    {"type":"primaryChange","data":{"isPrimary":false,"hostname":"node-1"}}

The rule: a reader never slows a commit. Its events wait in memory, and one that is 1,024 behind is
disconnected.
"""

import asyncio
import json
import threading
from collections import deque
from datetime import UTC, datetime

from pylitefs.http.push import Write
from pylitefs.ltx.header import Header, format_txid
from pylitefs.ltx.position import Pos
from pylitefs.store.status import Status
from pylitefs.store.store import Store

MAX_BEHIND = 1024


def tx_event(name: str, pos: Pos, header: Header) -> dict[str, object]:
    """A transaction, as real LiteFS shows it; the timestamp is the transaction's own."""
    data = {
        "txID": format_txid(pos.txid),
        "postApplyChecksum": f"{pos.checksum:016x}",
        "pageSize": header.page_size,
        "commit": header.commit,
        "timestamp": format_timestamp(header.timestamp_ms),
    }
    return {"type": "tx", "db": name, "data": data}


def primary_data(status: Status) -> dict[str, object]:
    """Who is the primary: `hostname` is left out on the primary itself and where it is not known."""
    data: dict[str, object] = {"isPrimary": status.is_primary}
    if not status.is_primary and status.primary_hostname:
        data["hostname"] = status.primary_hostname
    return data


def format_timestamp(ms: int) -> str:
    """RFC 3339 in UTC, with as many decimals as it takes: `2026-11-22T08:53:13.5Z`."""
    text = datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{text}{decimals}Z"


class EventHub:
    """All readers of `/events`. `primary_changed` may be called in any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._readers: set[_Reader] = set()
        self._lock = threading.Lock()
        self._last = primary_data(store.status)

    @property
    def readers(self) -> int:
        return len(self._readers)

    def primary_changed(self) -> None:
        """The status changed; readers hear of it if it says something new about the primary."""
        with self._lock:
            data = primary_data(self._store.status)
            if data == self._last:
                return
            self._last = data
            readers = tuple(self._readers)
        for reader in readers:
            reader.put({"type": "primaryChange", "data": data})

    async def serve(self, write: Write) -> None:
        """One reader: `init`, then events, until it falls behind or `close`."""
        reader = _Reader()

        def on_tx(name: str, pos: Pos, header: Header | None) -> None:
            if header is not None:
                reader.put(tx_event(name, pos, header))

        with self._lock:
            self._readers.add(reader)
            reader.put({"type": "init", "data": primary_data(self._store.status)})
        unsubscribe = self._store.subscribe(on_tx)
        try:
            while lines := await reader.take():
                await write(lines)
        finally:
            unsubscribe()
            with self._lock:
                self._readers.discard(reader)

    def close(self) -> None:
        """Let every reader go."""
        with self._lock:
            readers = tuple(self._readers)
        for reader in readers:
            reader.close()


class _Reader:
    """One reader's queue: filled from any thread, emptied in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._lock = threading.Lock()
        self._queue: deque[dict[str, object]] = deque()
        self._closed = False

    def put(self, event: dict[str, object]) -> None:
        with self._lock:
            if len(self._queue) >= MAX_BEHIND:
                self._closed = True
            self._queue.append(event)
            wake = len(self._queue) == 1 or self._closed
        if wake:
            self._set()

    def close(self) -> None:
        self._closed = True
        self._set()

    def _set(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:
            pass  # the loop is closed: the server has stopped

    async def take(self) -> bytes:
        """Everything that waits, as lines; b"" once the reader is to be disconnected."""
        await self._wake.wait()
        self._wake.clear()
        with self._lock:
            if self._closed:
                return b""
            events = tuple(self._queue)
            self._queue.clear()
        return b"".join(
            json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogateescape")
            + b"\n"
            for event in events
        )
