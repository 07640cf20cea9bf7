"""A node's API server, loaded late: its port is taken at once, and a thread loads what answers there.

To load the server is half of what a node has to load. Nobody needs it for the mount, for a commit, or for
a replica that joins. The rule: what is wrong with the port is told before anything is served, and whoever
connects meanwhile waits in the kernel's queue and is answered.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pylitefs.http.listener import Listener, take_port

if TYPE_CHECKING:
    from pylitefs.http.app import Api
    from pylitefs.http.server import HttpServer

LATEST_S = 1.0
"""A replica that joins for longer answers while it does."""
LOOK_S = 0.005


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
        self._stopped = threading.Event()
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._api: Api | None = None
        self._server: HttpServer | None = None

    def listen(self) -> Listener:
        """Take the port. Raises ConfigError if it cannot be had."""
        self._listener = take_port(*self._bind)
        return self._listener

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._listener is not None
        return self._listener.port

    def start(self, when: Callable[[], bool] = lambda: True) -> None:
        """Load the server in a thread, and serve: once `when()` says so, but not later than in `LATEST_S`."""
        assert self._listener is not None
        thread = threading.Thread(
            target=self._load, args=(self._listener, when), name="http-loader", daemon=True
        )
        thread.start()
        self._thread = thread

    def _load(self, listener: Listener, when: Callable[[], bool]) -> None:
        try:
            latest = time.monotonic() + LATEST_S
            while not when() and time.monotonic() < latest and not self._stopped.wait(LOOK_S):
                pass
            if self._stopped.is_set():
                return
            from pylitefs.http.server import HttpServer

            api = self._make_api()
            server = HttpServer(api, self._bind, listener)
            with self._lock:
                if self._stopped.is_set():
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
            self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._server is not None:
            self._server.stop()
        elif self._listener is not None:
            self._listener.close()
