"""Readers that do not read: a stream holds a bounded number of bytes, and one that stalls is cut off.

hypercorn 0.18 means to make a writer wait once two frames wait for an HTTP/2 stream's window. But its buffer
wakes the writer after each attempt to send, also one that could send nothing: with a window of 0 everything
that is written piles up in memory. The rule here: a writer waits until bytes have gone out; and a wait of
STALL_S without an end costs the reader its connection.
"""

from collections.abc import Callable

import hypercorn.protocol.h2
from h2.events import Event, WindowUpdated
from hypercorn.protocol.h2 import (
    BUFFER_HIGH_WATER,
    BUFFER_LOW_WATER,
    BufferCompleteError,
    H2Protocol,
    StreamBuffer,
)

GIVEN_BACK = "pylitefs.given_back"
STALL_S = 60.0
"""A reader that does not take a block (at most 256 KiB) within this is cut off."""


class BoundedBuffer(StreamBuffer):
    """What waits for one stream's window: at most BUFFER_HIGH_WATER bytes and the block last written."""

    async def push(self, data: bytes) -> None:
        """Add bytes; wait until few are left."""
        if self._complete:
            raise BufferCompleteError
        self.buffer.extend(data)
        await self._is_empty.clear()
        while len(self.buffer) >= BUFFER_HIGH_WATER and not self._complete:
            await self._paused.clear()
            await self._paused.wait()

    async def pop(self, max_length: int) -> bytes:
        """Take bytes that go out now; the writer goes on once few are left."""
        data = bytes(self.buffer[:max_length])
        del self.buffer[:max_length]
        if len(self.buffer) < BUFFER_LOW_WATER:
            await self._paused.set()
        if not self.buffer:
            await self._is_empty.set()
        return data


class TellingProtocol(H2Protocol):
    """A connection that tells a request's application what its reader has taken.

    `scope[GIVEN_BACK](bytes)` is called, where it is there.
    """

    async def _handle_events(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, WindowUpdated) and (stream := self.streams.get(event.stream_id or 0)):
                scope = getattr(stream, "scope", None) or {}
                given_back: Callable[[int], None] | None = scope.get(GIVEN_BACK)
                if given_back is not None:
                    given_back(event.delta or 0)
        await super()._handle_events(events)


def install() -> None:
    """Have hypercorn's HTTP/2 connections use it, from now on."""
    hypercorn.protocol.h2.StreamBuffer = BoundedBuffer  # type: ignore[misc]
