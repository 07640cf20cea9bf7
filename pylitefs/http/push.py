"""A response without a known end, written as things happen: streams, events, files.

The rule: the writer is cancelled as soon as the client is gone, and waits while the client does not read, but
not without end: then the client is cut off.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import BinaryIO, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pylitefs.errors import SqliteFormatError
from pylitefs.http import back_pressure
from pylitefs.replication.threads import in_thread
from pylitefs.store.turns import Patience

log = logging.getLogger("pylitefs")

Write = Callable[[bytes], Awaitable[None]]
T = TypeVar("T")

BLOCK = 256 * 1024
"""Bytes of a file held in memory at a time."""
SILENCE_S = 60.0
"""A client that is to send a body is given up once it has sent nothing for so long."""


class PushResponse(Response):
    """Sends the head at once, then whatever `produce(write)` writes until it returns."""

    def __init__(
        self,
        produce: Callable[[Write], Awaitable[None]],
        headers: Mapping[str, str] | None = None,
        media_type: str = "application/octet-stream",
    ) -> None:
        super().__init__(headers=headers, media_type=media_type)
        if headers is None or "content-length" not in headers:
            del self.headers["content-length"]
        self._produce = produce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(back_pressure.STALL_S):
                    await send(message)
            except TimeoutError:
                _cut_off(scope)
                raise ClientDisconnect from None

        async def write(data: bytes) -> None:
            await send_in_time({"type": "http.response.body", "body": data, "more_body": True})

        async def respond() -> None:
            await self._produce(write)
            await send_in_time({"type": "http.response.body", "body": b"", "more_body": False})

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        # The last send as well: hypercorn lets it wait for ever once the client is gone.
        producing = asyncio.ensure_future(respond())
        leaving = asyncio.ensure_future(until_disconnect(receive))
        try:
            await asyncio.wait({producing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if producing.done():
                with suppress(ClientDisconnect):
                    producing.result()
        finally:
            leaving.cancel()
            producing.cancel()
            await asyncio.gather(producing, leaving, return_exceptions=True)


def _cut_off(scope: Scope) -> None:
    log.warning(
        "%s %s: %s has not read for %.0f s what was sent: cut off",
        scope["method"],
        scope["path"],
        "{}:{}".format(*scope["client"]) if scope.get("client") else "the client",
        back_pressure.STALL_S,
    )
    cut = scope.get("pylitefs.cut")
    if cut is not None:
        cut()


async def until_disconnect(receive: Receive) -> None:
    """Return once the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class RequestFile:
    """A request's body, to be read in a thread that is not the event loop's while it arrives.

    One block is read ahead: it arrives while the reader works on the one before.
    """

    def __init__(self, request: Request) -> None:
        self._loop = asyncio.get_running_loop()
        self._chunks = request.stream()
        self._ahead: Future[bytes] | None = None

    def read(self, size: int) -> bytes:
        """The next bytes, about `size`: no chunk is cut or kept. b"" at the end.

        Raises ClientDisconnect if the client is gone before the end, SqliteFormatError if it falls silent.
        """
        ahead, self._ahead = self._ahead or self._begin(size), None
        block = ahead.result()
        if block:
            self._ahead = self._begin(size)
        return block

    def _begin(self, size: int) -> "Future[bytes]":
        return asyncio.run_coroutine_threadsafe(self._read(size), self._loop)

    async def _read(self, size: int) -> bytes:
        """A block, so that not every small chunk costs a change of threads."""
        block: list[bytes] = []
        length = 0
        while length < size:
            try:
                async with asyncio.timeout(SILENCE_S):
                    chunk = await anext(self._chunks, None)
            except TimeoutError:
                raise SqliteFormatError(
                    f"nothing arrived for {SILENCE_S:.0f} s: nothing was imported, send it again"
                ) from None
            if chunk is None:
                break
            block.append(chunk)
            length += len(chunk)
        return b"".join(block)


def file_response(file: BinaryIO, size: int) -> PushResponse:
    """`size` bytes from an open file, a block at a time; the file is closed at the end."""

    async def produce(write: Write) -> None:
        with file:
            while block := await asyncio.to_thread(file.read, BLOCK):
                await write(block)

    return PushResponse(produce, {"content-length": str(size)})


async def while_connected(request: Request, patience: Patience, work: Callable[[], T]) -> T:
    """What `work()` returns, in a thread. It is to wait no longer once its client is gone."""
    working = asyncio.ensure_future(in_thread(work))
    leaving = asyncio.ensure_future(until_disconnect(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            patience.give_up()
            raise ClientDisconnect
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
