"""A node's API server, loaded late: its port is taken at once, and a thread loads what answers there.

To load the server is half of what a node has to load. Nobody needs it for the mount, for a commit, or for
a replica that joins. The rule: what is wrong with the port is told before anything is served, and whoever
connects meanwhile waits in the kernel's queue and is answered.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.http.listener import Listener, take_port

if TYPE_CHECKING:
    from pylitefs.http.app import Api
    from pylitefs.http.server import HttpServer


class LateServer:
    """The API on `bind`, host and port. `make_api` is called in the thread, and loads what it needs."""

    def __init__(
        self,
        bind: tuple[str, int],
        make_api: "Callable[[], Api]",
        *,
        on_loaded: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        """`on_loaded` is called in the thread, also where it failed; `on_failure` with what it failed by."""
        self._bind = bind
        self._make_api = make_api
        self._on_loaded = on_loaded
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._stopped = False
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._api: Api | None = None
        self._server: HttpServer | None = None

    def listen(self) -> Listener:
        """Take the port. Raises ConfigError if it cannot be had."""
        self._listener = take_port(*self._bind)
        return self._listener

    def start(self) -> None:
        """Load the server in a thread, and serve."""
        assert self._listener is not None
        thread = threading.Thread(target=self._load, args=(self._listener,), name="http-loader", daemon=True)
        thread.start()
        self._thread = thread

    def _load(self, listener: Listener) -> None:
        try:
            from pylitefs.http.server import HttpServer

            api = self._make_api()
            server = HttpServer(api, self._bind, listener)
            with self._lock:
                if self._stopped:
                    return
                self._api, self._server = api, server
                server.start()
        except Exception as error:
            listener.close()
            self._on_failure(error)
        finally:
            self._on_loaded()

    def primary_changed(self) -> None:
        """The node's status changed: readers of `/events`, if there can be any by now, are told."""
        if self._api is not None:
            self._api.primary_changed()

    def stop(self) -> None:
        """End the server, loaded or not."""
        with self._lock:
            self._stopped = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._server is not None:
            self._server.stop()
        elif self._listener is not None:
            self._listener.close()
