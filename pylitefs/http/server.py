"""The HTTP server: one port for HTTP/1.1 and for HTTP/2 without TLS, on hypercorn.

The rule: it stops within about a second whatever its clients do. Replicas are told End, readers of
events are let go, requests under way have GRACE_S to finish, and what then still hangs on a client that
does not read is cut off. Its port is listener.py's.
"""

import asyncio
import logging
import threading
from typing import Protocol

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config, Sockets
from starlette.types import ASGIApp, Receive, Scope, Send

from pylitefs.http import back_pressure, floods, gone
from pylitefs.http.door import LOOPBACK
from pylitefs.http.listener import Listener, take_port

GRACE_S = 1.0


class Application(Protocol):
    """What is served: `Api` of app.py."""

    @property
    def app(self) -> ASGIApp: ...
    def end_streams(self) -> None: ...


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

    def __init__(self, api: Application, bind: tuple[str, int], listener: Listener | None = None) -> None:
        """`listener`: the port, if it is taken already."""
        self._api = api
        self._bind = bind
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._stop_async: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.port = bind[1]
        self.is_loopback = False
        """Whether only this machine reaches it, once it listens."""

    def listen(self) -> None:
        """Take the port. Raises ConfigError if that cannot be done."""
        if self._listener is None:
            self._listener = take_port(*self._bind)
        self.port = self._listener.port
        self.is_loopback = self._listener.is_loopback

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
