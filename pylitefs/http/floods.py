"""HTTP/2 clients whose frames only cost time, or are no requests.

The rule: no connection keeps the others waiting. A PING is answered, and 100,000 can come in a second. So
what comes is taken in small slices, and between two of them the event loop serves the others. Frames that
carry no request and no data are counted: a connection has BURST of them, and RATE more each second; one that
sends more floods, and is cut off. WINDOW_UPDATE is not counted: with it a replica says what it has taken.

hypercorn takes a request's method and path for ASCII, each piece of a body for one that is still awaited, and
what an upgrade to WebSockets or to HTTP/2 brings along for right. What is not so is sorted out here. Nobody
is upgraded: nothing here is a WebSocket, and who wants HTTP/2 begins with it.
"""

import asyncio
import logging
import time

import h11
import hypercorn.protocol
import hypercorn.protocol.h2
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    UnknownFrameReceived,
)
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as WireEvent
from hypercorn.protocol.h11 import H11Protocol

from pylitefs.http.back_pressure import TellingProtocol

BURST = 1000
RATE = 100
SLICE = 4096
"""Bytes that are taken at once: at most 455 frames, a few milliseconds."""
_COUNTED = (
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    SettingsAcknowledged,
    StreamReset,
    UnknownFrameReceived,
)

log = logging.getLogger("pylitefs")


class Allowance:
    """How many such frames a connection may still send, at a time in seconds."""

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._since = now

    def take(self, count: int, now: float) -> bool:
        """Whether `count` more are allowed."""
        self._left = min(float(BURST), self._left + (now - self._since) * RATE) - count
        self._since = now
        return self._left >= 0


class CalmProtocol(TellingProtocol):
    """hypercorn's HTTP/2 connection, which bears no floods."""

    _allowance: Allowance | None = None
    _is_cut = False

    async def handle(self, event: WireEvent) -> None:
        """Bytes that came, a slice at a time; or the connection's end."""
        if not isinstance(event, RawData):
            await super().handle(event)
            return
        for start in range(0, len(event.data), SLICE):
            if self._is_cut or self.closed:
                return
            if start:
                await asyncio.sleep(0)
            await super().handle(RawData(event.data[start : start + SLICE]))

    async def _handle_events(self, events: list[Event]) -> None:
        count = sum(isinstance(event, _COUNTED) or _is_empty(event) for event in events)
        if count and not self._is_allowed(count):
            await self._cut(
                f"floods its HTTP/2 connection (over {BURST} frames without content, and {RATE} a second)",
                ErrorCodes.ENHANCE_YOUR_CALM,
            )
            return
        if any(_is_no_request(event) for event in events):
            what = "sends an HTTP/2 request that is none (its path is not ASCII, or it is a CONNECT)"
            await self._cut(what, ErrorCodes.PROTOCOL_ERROR)
            return
        await super()._handle_events(self._awaited(events))

    def _awaited(self, events: list[Event]) -> list[Event]:
        """Without the pieces of bodies that came after their answers."""
        begun = {event.stream_id for event in events if isinstance(event, RequestReceived)}
        kept: list[Event] = []
        for event in events:
            if isinstance(event, DataReceived | StreamEnded) and event.stream_id not in {
                *self.streams,
                *begun,
            }:
                if isinstance(event, DataReceived) and event.flow_controlled_length:
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            else:
                kept.append(event)
        return kept

    def _is_allowed(self, count: int) -> bool:
        now = time.monotonic()
        if self._allowance is None:
            self._allowance = Allowance(now)
        return self._allowance.take(count, now)

    async def _cut(self, what: str, code: ErrorCodes) -> None:
        self._is_cut = True
        log.warning("%s %s: cut off", "{}:{}".format(*self.client) if self.client else "a client", what)
        self.connection.clear_outbound_data_buffer()
        self.connection.close_connection(code)
        await self._flush()
        await self.handle(Closed())
        await self.send(Closed())


def _is_empty(event: Event) -> bool:
    return isinstance(event, DataReceived) and not event.data and event.stream_ended is None


def _is_no_request(event: Event) -> bool:
    if not isinstance(event, RequestReceived):
        return False
    line = {bytes(name): bytes(value) for name, value in event.headers if name in (b":method", b":path")}
    return line.get(b":method") == b"CONNECT" or not all(value.isascii() for value in line.values())


class PlainProtocol(H11Protocol):
    """hypercorn's HTTP/1.1 connection, which is never upgraded: such a request is answered as it stands."""

    async def _check_protocol(self, event: h11.Request) -> None:
        await super()._check_protocol(_without_upgrade(event))

    async def _create_stream(self, request: h11.Request) -> None:
        await super()._create_stream(_without_upgrade(request))


def _without_upgrade(request: h11.Request) -> h11.Request:
    headers = request.headers.raw_items()
    kept = [(name, value) for name, value in headers if name.lower() != b"upgrade"]
    if len(kept) == len(headers):
        return request
    return h11.Request(
        method=request.method, target=request.target, headers=kept, http_version=request.http_version
    )


def install() -> None:
    """Have hypercorn use them, from now on."""
    hypercorn.protocol.H2Protocol = CalmProtocol  # type: ignore[attr-defined]
    hypercorn.protocol.H11Protocol = PlainProtocol  # type: ignore[attr-defined]
