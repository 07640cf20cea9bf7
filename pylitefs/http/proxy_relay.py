"""Passing one HTTP/1.1 request on, and its answer back, as the bytes come.

The rule: the framing is h11's; headers that concern one connection only are not passed on, and after an
answer that switches the protocol (a WebSocket) bytes go both ways until one side ends.
Format: https://www.rfc-editor.org/rfc/rfc9112
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import h11

from pylitefs.http.proxy_peer import Dialled, Headers, Peer

DIAL_TIMEOUT_S = 5.0

_OWN_HEADERS = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"expect"}
"""Of one connection, not of the request or the answer."""


class TargetGone(Exception):
    """The target cannot be reached, or ended before its answer began; nothing was sent to the client."""


async def send_text(client: Peer, status: int, text: str) -> None:
    """Answer with a line of text, unless an answer has begun."""
    if client.h11.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        return
    await client.respond(status, [(b"Content-Type", b"text/plain; charset=utf-8")], f"{text}\n".encode())


async def relay(
    client: Peer,
    request: h11.Request,
    target: tuple[str, int],
    extra: Callable[[], Awaitable[Headers]],
    *,
    request_headers: Headers = (),
    dial_s: float = 0.0,
) -> None:
    """Pass `request` and what follows it to `target`, and the answer back with the headers of `extra()`,
    which is called when the answer is there. Raises TargetGone before anything was answered."""
    server = Peer(await _dial(target, dial_s), h11.CLIENT)
    pump: asyncio.Task[None] | None = None
    try:
        await _send_request(server, request, target, request_headers)
        pump = asyncio.ensure_future(_pump_body(client, server))
        await _answer(client, server, extra)
        if client.h11.our_state is h11.SWITCHED_PROTOCOL:
            await _both_ways(client, server)
    finally:
        if pump is not None:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        server.connection.close()


async def _dial(target: tuple[str, int], dial_s: float) -> Dialled:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + dial_s
    while True:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                return await Dialled.to(*target)
        except ConnectionRefusedError:
            if loop.time() > deadline:
                raise TargetGone("connection refused: is it running?") from None
            await asyncio.sleep(0.05)
        except (OSError, TimeoutError) as error:
            raise TargetGone(str(error) or "no answer") from None


async def _send_request(server: Peer, request: h11.Request, target: tuple[str, int], more: Headers) -> None:
    headers = _passed_on(request)
    if _switches(request):
        offered = [(b"Upgrade", value) for name, value in request.headers if name == b"upgrade"]
        headers += [(b"Connection", b"Upgrade"), *offered]
    else:
        headers.append((b"Connection", b"close"))
    if all(name != b"host" for name, _ in request.headers):
        # HTTP/1.0 goes without, 1.1 does not.
        host, port = target
        headers.append((b"Host", f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()))
    with contextlib.suppress(OSError):  # an answer may be there already
        await server.send(
            h11.Request(method=request.method, target=request.target, headers=[*headers, *more])
        )


def _switches(request: h11.Request) -> bool:
    """Whether another protocol may follow, such as a WebSocket. Not HTTP/2: its requests would go past the
    proxy's rules."""
    offered = _names(request, b"upgrade")
    http = any(name.startswith((b"h2", b"http/")) for name in offered)
    return bool(offered) and not http and b"upgrade" in _names(request, b"connection")


def _names(message: h11.Request | h11.Response, header: bytes) -> set[bytes]:
    """The words of a header that lists some, in small letters."""
    lines = (value for name, value in message.headers if name == header)
    return {word.strip().lower() for line in lines for word in line.split(b",")}


def _passed_on(message: h11.Request | h11.Response) -> list[tuple[bytes, bytes]]:
    """The headers that concern more than one connection. Of two lengths the chunks' counts, and whoever is
    behind this proxy is not to choose the other one."""
    own = _OWN_HEADERS | _names(message, b"connection") - {b"host", b"content-length", b"transfer-encoding"}
    if any(name == b"transfer-encoding" for name, _ in message.headers):
        own |= {b"content-length"}
    return [(name, value) for name, value in message.headers.raw_items() if name.lower() not in own]


async def _pump_body(client: Peer, server: Peer) -> None:
    """The request's body; what the target does not take is its answer's to explain."""
    with contextlib.suppress(OSError):
        while True:
            event = await client.next_event()
            if isinstance(event, h11.Data):
                await server.send(h11.Data(data=event.data))
            elif isinstance(event, h11.EndOfMessage):
                await server.send(h11.EndOfMessage())
                return
            else:
                # The client is gone: so is whatever the target was doing for it.
                server.connection.abort()
                return


async def _answer(client: Peer, server: Peer, extra: Callable[[], Awaitable[Headers]]) -> None:
    began = False
    while True:
        try:
            event = await server.next_event()
        except (h11.RemoteProtocolError, OSError) as error:
            if began:
                client.connection.abort()
                raise ConnectionAbortedError("the answer ended early") from None
            raise TargetGone(f"it ended without an answer ({error})") from None
        if isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                kept = list(event.headers.raw_items())
                await client.send(
                    h11.InformationalResponse(status_code=101, headers=kept, reason=event.reason)
                )
                return
        elif isinstance(event, h11.Response):
            began = True
            kept = [
                (name, value) for name, value in _passed_on(event) if name.lower() != b"transfer-encoding"
            ]
            if client.is_sending:
                await asyncio.sleep(0)  # the body's end may be here, and only its turn was not
            if client.is_sending:
                kept.append((b"Connection", b"close"))  # what it still sends will not be read for long
            headers = [*kept, *await extra()]
            await client.send(
                h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
            )
        elif isinstance(event, h11.Data):
            await client.send(h11.Data(data=event.data))
        elif isinstance(event, h11.EndOfMessage):
            await client.send(h11.EndOfMessage())
            return
        else:
            raise TargetGone("it ended without an answer")


async def _both_ways(client: Peer, server: Peer) -> None:
    """Bytes as they come, until one side ends."""

    async def pipe(source: Peer, sink: Peer) -> None:
        data = source.h11.trailing_data[0]
        while True:
            if data:
                await sink.connection.write(data)
            data = await source.connection.read()
            if not data:
                return

    ways = {asyncio.ensure_future(pipe(client, server)), asyncio.ensure_future(pipe(server, client))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
