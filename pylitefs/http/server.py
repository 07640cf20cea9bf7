"""The HTTP server: one port for HTTP/1.1 and for HTTP/2 without TLS, on hypercorn.

The rule: it stops within about a second whatever its clients do. Replicas are told End, readers of
events are let go, requests under way have GRACE_S to finish, and what then still hangs on a client that
does not read is cut off.
"""

import asyncio
import logging
import socket
import threading
from typing import Protocol

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from starlette.types import ASGIApp

from pylitefs.errors import ConfigError

GRACE_S = 1.0
BACKLOG = 128

log = logging.getLogger("pylitefs")


class Application(Protocol):
    """What is served: `Api` of app.py."""

    @property
    def app(self) -> ASGIApp: ...
    def end_streams(self) -> None: ...


class HttpServer:
    """Serves `api` on `bind`, which is host and port: an empty host is every interface, port 0 any port.

    Either `await serve()` in an event loop, or `start()` for a thread with a loop of its own; `shutdown()`
    from any thread. `listen()` may be called before, to have errors and the port number early.
    """

    def __init__(self, api: Application, bind: tuple[str, int]) -> None:
        self._api = api
        self._bind = bind
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()
        self._stop_async: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self.port = bind[1]

    def listen(self) -> None:
        """Take the port. Raises ConfigError if that cannot be done."""
        if self._socket is not None:
            return
        host, port = self._bind
        try:
            if not host and socket.has_dualstack_ipv6():
                self._socket = socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
                )
            else:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on http.addr {host}:{port}: {error.strerror or error}; "
                "is another node running here? Choose another port, or stop it"
            ) from None
        self.port = self._socket.getsockname()[1]

    async def serve(self) -> None:
        """Answer requests until `shutdown`."""
        self.listen()
        assert self._socket is not None
        self._loop = asyncio.get_running_loop()
        self._stop_async = asyncio.Event()
        if self._stop.is_set():
            self._stop_async.set()
        config = Config()
        config.bind = [f"fd://{self._socket.detach()}"]
        config.graceful_timeout = GRACE_S
        config.include_server_header = False
        config.errorlog = logging.getLogger("pylitefs.http")
        config.errorlog.setLevel(logging.WARNING)
        await hypercorn_serve(self._api.app, config, shutdown_trigger=self._until_stopped, mode="asgi")  # type: ignore[arg-type]

    async def _until_stopped(self) -> None:
        assert self._stop_async is not None
        await self._stop_async.wait()
        self._api.end_streams()

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
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="http", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 2 * GRACE_S + 1) -> bool:
        """`shutdown`, and wait for the thread that `start` made; False if it did not end in time."""
        self.shutdown()
        if self._thread is not None:
            self._thread.join(timeout)
            return not self._thread.is_alive()
        return True
