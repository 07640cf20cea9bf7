"""The HTTP server: one port for HTTP/1.1 and for HTTP/2 without TLS, on hypercorn.

The rule: it stops within about a second whatever its clients do. Replicas are told End, readers of
events are let go, requests under way have GRACE_S to finish, and what then still hangs on a client that
does not read is cut off. And it leaves the mount its descriptors: connections are bounded.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import threading
import weakref
from collections import deque
from contextlib import suppress
from typing import Protocol

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from starlette.types import ASGIApp, Receive, Scope, Send

from pylitefs import limits
from pylitefs.errors import ConfigError
from pylitefs.http import back_pressure, floods, gone
from pylitefs.http.door import LOOPBACK

GRACE_S = 1.0
BACKLOG = 128
MOST_CONNECTIONS = 1000
"""Connections at a time, readers of `/events` and replicas too; but no more than a quarter of the
descriptors, for the mount needs the others. Who comes when there are so many gets 503."""
LINGERING = 32
"""Of those turned away, so many are not closed at once: they are to read the answer."""

log = logging.getLogger("pylitefs")


class Application(Protocol):
    """What is served: `Api` of app.py."""

    @property
    def app(self) -> ASGIApp: ...
    def end_streams(self) -> None: ...


class Listener(socket.socket):
    """A listening socket that knows its connections, so that they can be cut off."""

    connections: "weakref.WeakSet[socket.socket]"
    turned_away: "deque[socket.socket]"
    is_full: bool
    spare: int
    """A descriptor to close when there is no other: then a connection can still be told."""

    @classmethod
    def bound(cls, host: str, port: int) -> "Listener":
        """Listen on host and port; an empty host is every interface, IPv6 too where there is any."""
        every = not host and socket.has_dualstack_ipv6()
        listener = cls(socket.AF_INET6 if every or ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        listener.connections = weakref.WeakSet()
        listener.turned_away = deque()
        listener.is_full = False
        listener.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if every:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            # Linux hands it down to connections. (asyncio sets it only where a protocol's number is given.)
            # Without it a stream's second small frame waits 40 ms for the acknowledgement of the first.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                listener.bind((host, port))
            except (ValueError, OverflowError, TypeError) as error:  # A host with NUL is a TypeError.
                raise OSError(errno.EINVAL, f"no address to listen on: {error}") from None
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        return listener

    def accept(self) -> tuple[socket.socket, object]:
        while True:
            try:
                connection, address = super().accept()
            except OSError as error:
                if not limits.note(error):
                    raise
                self._accept_with_spare()
                continue
            if self._has_room():
                self.connections.add(connection)
                return connection, address
            self._turn_away(connection)

    def _has_room(self) -> bool:
        most = min(MOST_CONNECTIONS, limits.open_files_limit() // 4)
        count = len(self.connections)
        if count >= most:
            count = sum(one.fileno() >= 0 for one in tuple(self.connections))
        if count < most:
            self.is_full = self.is_full and count > most // 2
            return True
        if not self.is_full:
            self.is_full = True
            log.warning(
                "the API has %d connections, its most: more are closed with 503; end readers of /events that "
                "are not needed, or raise the limit of open files (%d)",
                count,
                limits.open_files_limit(),
            )
        return False

    def _accept_with_spare(self) -> None:
        """There is no descriptor: turn one connection away, with the one that is kept for it."""
        if self.spare >= 0:
            os.close(self.spare)
            self.spare = -1
        while self.turned_away:
            self.turned_away.popleft().close()
        try:
            connection, _ = super().accept()
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from None  # asyncio comes again.
        with connection:
            _say_full(connection)
        with suppress(OSError):
            self.spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _turn_away(self, connection: socket.socket) -> None:
        _say_full(connection)
        self.turned_away.append(connection)
        while len(self.turned_away) > LINGERING:
            self.turned_away.popleft().close()

    def close(self) -> None:
        while self.turned_away:
            self.turned_away.popleft().close()
        if self.spare >= 0:
            os.close(self.spare)
            self.spare = -1
        super().close()

    def cut(self, peer: tuple[str, int]) -> None:
        """Break the connection of one peer."""
        for connection in tuple(self.connections):
            with suppress(OSError):
                if connection.getpeername()[:2] == tuple(peer):
                    connection.shutdown(socket.SHUT_RDWR)

    def cut_off(self) -> None:
        """Break every connection."""
        for connection in tuple(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already


def _say_full(connection: socket.socket) -> None:
    text = b"this node has as many connections as it takes: try again later\n"
    head = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    with suppress(OSError):
        connection.setblocking(False)
        connection.send(b"%sContent-Length: %d\r\n\r\n%s" % (head, len(text), text))
        connection.shutdown(socket.SHUT_WR)


class _Config(Config):
    """hypercorn's settings for one listening socket."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        self.graceful_timeout = 2 * GRACE_S
        self.include_server_header = False
        self.errorlog = logging.getLogger("pylitefs.http")
        self.errorlog.setLevel(logging.WARNING)

    def create_sockets(self) -> Sockets:
        return Sockets([], [self._listener], [])


class HttpServer:
    """Serves `api` on `bind`, which is host and port: an empty host is every interface, port 0 any port.

    Either `await serve()` in an event loop, or `start()` for a thread with a loop of its own; `shutdown()`
    from any thread. `listen()` may be called before, to have errors and the port number early.
    """

    def __init__(self, api: Application, bind: tuple[str, int]) -> None:
        self._api = api
        self._bind = bind
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._stop_async: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.port = bind[1]
        self.is_loopback = False
        """Whether only this machine reaches it, once it listens."""

    def listen(self) -> None:
        """Take the port. Raises ConfigError if that cannot be done."""
        if self._listener is not None:
            return
        host, port = self._bind
        try:
            self._listener = Listener.bound(host, port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on http.addr {host}:{port}: {error.strerror or error}; "
                "is another node running here? Choose another port, or stop it"
            ) from None
        self.port = self._listener.getsockname()[1]
        self.is_loopback = ipaddress.ip_address(self._listener.getsockname()[0]).is_loopback

    async def serve(self) -> None:
        """Answer requests until `shutdown`."""
        self.listen()
        assert self._listener is not None
        back_pressure.install()
        floods.install()
        gone.install()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_unless_cancelled)
        self._stop_async = stop = asyncio.Event()
        if self._stop.is_set():
            stop.set()
        serving = asyncio.ensure_future(
            hypercorn_serve(
                self._app,  # type: ignore[arg-type]
                _Config(self._listener),
                shutdown_trigger=stop.wait,
                mode="asgi",
            )
        )
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.is_set():
            await serving  # it failed
        self._api.end_streams()
        await asyncio.wait({serving}, timeout=GRACE_S)
        self._listener.cut_off()
        await asyncio.gather(serving, return_exceptions=True)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, which may break a request's connection by `scope["pylitefs.cut"]()`."""
        scope[LOOPBACK] = self.is_loopback
        listener, peer = self._listener, scope.get("client")
        if listener is not None and peer is not None:
            scope["pylitefs.cut"] = lambda: listener.cut(tuple(peer))
        await self._api.app(scope, receive, send)

    def shutdown(self) -> None:
        """Have `serve` return. In any thread, also before it began."""
        self._stop.set()
        if self._loop is not None and self._stop_async is not None:
            try:
                self._loop.call_soon_threadsafe(self._stop_async.set)
            except RuntimeError:
                pass  # it has stopped already

    def start(self) -> None:
        """Listen, and serve in a thread of its own."""
        self.listen()
        thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="http", daemon=True)
        thread.start()
        self._thread = thread  # Not before: `stop` joins it, and may come from a node that ends meanwhile.

    def stop(self, timeout: float = 2 * GRACE_S + 1) -> bool:
        """`shutdown`, and wait for the thread that `start` made; False if it did not end in time."""
        self.shutdown()
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True


def _unless_cancelled(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Connections that had to be cut off at the end are no news; Python 3.11 reports them as errors."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)
