"""One side of the proxy: a connection, and h11's account of what was said on it.

The rule: an answer that was given arrives, also where it comes before the request's body has ended. Two
things would lose it. A close with bytes unread resets the connection: so a client that is still sending is
read for a moment more (`Peer.end`), as NGINX does. And a write that fails has asyncio drop the whole
connection, with the answer that lies in it: so what the proxy dials is a plain socket (`Dialled`).
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Sequence
from http import HTTPStatus
from typing import Protocol

import h11

Headers = Sequence[tuple[bytes, bytes]]
_Address = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

BLOCK = 64 * 1024
REST_S = 0.05
"""So long a request's body that nobody wants is waited for."""
LINGER_S, SILENCE_S = 10.0, 2.0
"""So long a client that has its answer may go on sending; and without a byte."""


class Connection(Protocol):
    """Bytes there and back."""

    async def read(self) -> bytes:
        """What has come; b"" at the end. Raises OSError."""

    async def write(self, data: bytes) -> None:
        """Returns once there is room for more. Raises OSError."""

    def end_writing(self) -> None:
        """Tell the other side that nothing more comes."""

    def close(self) -> None: ...

    def abort(self) -> None:
        """Close in such a way that the other side knows that something is missing."""


class Accepted:
    """A connection that came to the proxy: asyncio's streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        return await self._reader.read(BLOCK)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end_writing(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()


class Dialled:
    """A connection that the proxy made. What came before it broke can still be read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def to(cls, host: str, port: int) -> "Dialled":
        """The first of the host's addresses that answers. Raises OSError, the last one's."""
        loop = asyncio.get_running_loop()
        error = OSError(f"{host} has no address")
        for family, address in await _addresses(host, port):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await loop.sock_connect(sock, address)
            except BaseException as caught:
                sock.close()
                if not isinstance(caught, OSError):
                    raise
                error = caught
            else:
                return cls(sock)
        raise error

    async def read(self) -> bytes:
        return await self._loop.sock_recv(self._sock, BLOCK)

    async def write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    def end_writing(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()

    def abort(self) -> None:
        """Whoever reads or writes here is told at once."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


async def _addresses(host: str, port: int) -> list[tuple[int, _Address]]:
    """A host's, each with its family. Raises OSError."""
    with contextlib.suppress(ValueError):  # a name is looked up, in a thread
        version = ipaddress.ip_address(host).version
        return [(socket.AF_INET if version == 4 else socket.AF_INET6, (host, port))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


class Peer:
    """A connection and its h11 state."""

    def __init__(self, connection: Connection, role: type[h11.CLIENT | h11.SERVER]) -> None:
        self.connection = connection
        self.h11 = h11.Connection(role)
        self.method = b""
        """Of the request under way: the answer to HEAD has no body."""

    async def next_event(self) -> object:
        """The next of h11's events; its errors for a peer that breaks the protocol."""
        while True:
            event = self.h11.next_event()
            if isinstance(event, h11.Request):
                self.method = event.method
            if event is not h11.NEED_DATA:
                return event
            if self.h11.they_are_waiting_for_100_continue:
                await self.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.h11.receive_data(await self._read())

    async def _read(self) -> bytes:
        try:
            return await self.connection.read()
        except ConnectionResetError:
            # It takes no more of the request. What it had to say has come, and h11 knows if that is whole.
            if self.h11.our_role is h11.CLIENT and self.h11.our_state is h11.SEND_BODY:
                return b""
            raise

    async def send(self, event: h11.Event) -> None:
        data = self.h11.send(event)
        if data:
            await self.connection.write(data)

    async def respond(self, status: int, headers: Headers, body: bytes = b"") -> None:
        """A whole answer. The connection ends after it where a body of the request is not all here."""
        headers = [*headers, (b"Content-Length", str(len(body)).encode())]
        if not await self._read_rest():
            headers.append((b"Connection", b"close"))
        reason = HTTPStatus(status).phrase.encode()
        await self.send(h11.Response(status_code=status, headers=headers, reason=reason))
        if body and self.method != b"HEAD":
            await self.send(h11.Data(data=body))
        await self.send(h11.EndOfMessage())

    async def _read_rest(self) -> bool:
        """Read a short body that is here already, or nearly: then the connection can be kept."""
        left = BLOCK
        with contextlib.suppress(TimeoutError, h11.RemoteProtocolError):
            async with asyncio.timeout(REST_S):
                while self.is_sending and left > 0:
                    event = await self.next_event()
                    left -= len(event.data) if isinstance(event, h11.Data) else 0
        return not self.is_sending

    @property
    def is_sending(self) -> bool:
        """Whether the body of the request that is under way has not ended."""
        return self.h11.their_state is h11.SEND_BODY

    def next_request(self) -> bool:
        """Make ready for another request on this connection; False if it has to end."""
        if self.h11.our_state is h11.DONE and self.h11.their_state is h11.DONE:
            self.h11.start_next_cycle()
            return True
        return False

    async def end(self) -> None:
        """Close. Who is still sending has its answer first: what comes is read for a moment, and dropped."""
        answered = self.h11.our_state in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.ERROR}
        if answered and self.h11.their_state in {h11.SEND_BODY, h11.ERROR}:
            self.connection.end_writing()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while await asyncio.wait_for(self.connection.read(), SILENCE_S):
                        pass
        self.connection.close()
