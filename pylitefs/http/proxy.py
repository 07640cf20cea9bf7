"""The proxy in front of the application: LiteFS's, which lets clients read their own writes on any node.

    client --> Proxy --(proxy_rules.Route)--> the application on this node
                                          `-> the primary: `fly-replay`, or its proxy (forward)

The rule: what a request means is `proxy_rules.py`'s to say, HTTP/1.1 is h11's, and bytes are passed on as
they come, in both directions at once: answers without end and WebSockets too.
Reference: https://fly.io/docs/litefs/proxy/
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import h11

from pylitefs.config import ProxyConfig
from pylitefs.config.model import split_address
from pylitefs.errors import ConfigError
from pylitefs.http.listener import Listener
from pylitefs.http.proxy_peer import Accepted, Peer
from pylitefs.http.proxy_relay import TargetGone, relay, send_text
from pylitefs.http.proxy_rules import Action, Route, Rules, set_cookie
from pylitefs.ltx.header import format_txid
from pylitefs.replication.threads import in_thread
from pylitefs.store.store import Store

log = logging.getLogger("pylitefs")

READ_WAIT_S = 5.0
"""How long a read waits for its TXID."""
DIAL_S = 5.0
"""How long an application that refuses the connection is tried again: it may just be starting."""
HEADER_S, IDLE_S = 10.0, 30.0
"""Real LiteFS's `read-header-timeout` and `idle-timeout` where the config file has none."""
FORWARDED = b"Pylitefs-Forwarded"
"""Marks a request that a replica has passed on, so that two nodes never pass one to and fro."""


async def _nothing() -> list[tuple[bytes, bytes]]:
    """No headers of ours."""
    return []


class Proxy:
    """One node's proxy. `start()`, `stop()`; the port is known after `listen()`.

    `forward` says what becomes of a write on a replica: "" answers with `fly-replay` as LiteFS does,
    "primary" passes it on to the primary's host at this proxy's own port, anything else is the URL of the
    primary's proxy.
    """

    def __init__(self, store: Store, config: ProxyConfig, *, forward: str = "") -> None:
        self._store = store
        self._config = config
        self._rules = Rules(config.passthrough, config.always_forward)
        self._forward = check_forward(forward)
        self._target = _host_port(config.target, "proxy.target")
        if not config.db:
            raise ConfigError("proxy.db: required with proxy.addr: name the database")
        self._bind = _host_port(config.addr, "proxy.addr")
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._moved = asyncio.Event()
        self._waiting = 0
        self.port = self._bind[1]

    # --- life ----------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take the port. Raises ConfigError if that cannot be done."""
        try:
            self._listener = Listener.bound(*self._bind)
        except OSError as error:
            host, port = self._bind
            why = error.strerror or error
            raise ConfigError(f"cannot listen on proxy.addr {host}:{port}: {why}; choose another") from None
        self.port = self._listener.getsockname()[1]

    def start(self) -> None:
        """Listen, and serve in a thread of its own."""
        self.listen()
        started = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="proxy", daemon=True)
        thread.start()
        self._thread = thread  # Not before: `stop` joins it, and may come from a node that ends meanwhile.
        started.wait()

    def stop(self, timeout: float = 3.0) -> None:
        """Cut every connection and end."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(timeout)

    async def _serve(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        unsubscribe = self._store.subscribe(lambda name, pos, header: self._wake(name))
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                client = Peer(Accepted(reader, writer), h11.SERVER)
                await self._client(client)
                await client.end()
            except asyncio.CancelledError:
                pass  # the node stops; the stream's own bookkeeping would report this as an error
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, sock=self._listener)
        started.set()
        try:
            await self._stopping.wait()
        finally:
            unsubscribe()
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- one client ----------------------------------------------------------------------------------

    async def _client(self, client: Peer) -> None:
        """Answer one connection's requests, one after the other."""
        first = True
        try:
            while True:
                idle = self._config.idle_timeout or IDLE_S
                header = self._config.read_header_timeout or self._config.read_timeout or HEADER_S
                async with asyncio.timeout(header if first else idle):
                    request = await client.next_event()
                if not isinstance(request, h11.Request):
                    return
                async with asyncio.timeout(self._config.write_timeout or None):
                    await self._answer(client, request)
                first = False
                if not client.next_request():
                    return
        except h11.RemoteProtocolError as error:
            with contextlib.suppress(OSError, h11.LocalProtocolError):
                await send_text(client, error.error_status_hint, f"Bad request: {error}")
        except (OSError, TimeoutError, h11.LocalProtocolError):
            pass  # the client is gone, or took too long

    async def _answer(self, client: Peer, request: h11.Request) -> None:
        target = request.target.decode("ascii", "replace")
        cookies = ";".join(value.decode("latin-1") for name, value in request.headers if name == b"cookie")
        route = self._rules.route(request.method.decode(), target, cookies)
        if self._config.debug:
            path, method = target.partition("?")[0], request.method.decode()
            log.info("proxy: %s %s: %s: %s", method, path, route.action.value, route.reason)
        if route.action is Action.HEALTH:
            await self._health(client)
        elif route.action is Action.WRITE and not await self._is_primary():
            await self._to_primary(client, request, route)
        elif route.action is Action.READ and not await self._reached(route.txid):
            await send_text(client, 504, f"Proxy timeout: this node has not reached {route.reason[9:]} yet")
        else:
            await self._to_application(client, request, route)

    async def _health(self, client: Peer) -> None:
        limit = self._config.max_lag
        if limit and self._store.status.lag_ms() > limit * 1000:
            await send_text(client, 503, "Replication lag exceeded")
        else:
            await send_text(client, 200, "OK")

    async def _to_application(self, client: Peer, request: h11.Request, route: Route) -> None:
        async def extra() -> list[tuple[bytes, bytes]]:
            database = self._store.get(self._config.db) if route.sets_cookie else None
            if database is None:
                return []
            # The application has answered: its commit is to be in the position that the client gets.
            pos = await in_thread(database.current_pos) if database.state.unsettled else database.pos
            return [(b"Set-Cookie", set_cookie(pos.txid).encode())]

        host, port = self._target
        try:
            await relay(client, request, (host or "127.0.0.1", port), extra, dial_s=DIAL_S)
        except TargetGone as error:
            await send_text(client, 502, f"Proxy error: the application at {host}:{port}: {error}")

    async def _to_primary(self, client: Peer, request: h11.Request, route: Route) -> None:
        status = self._store.status
        hostname, url = status.primary_hostname, status.primary_url
        if hostname is None or any(name == FORWARDED.lower() for name, _ in request.headers):
            await send_text(client, 503, "Proxy error: no primary available; reads go on")
        elif not self._forward:
            await client.respond(200, [(b"Fly-Replay", f"instance={hostname}".encode())])
        else:
            where = urlsplit(self._forward if self._forward != "primary" else url or "")
            port = (where.port or 80) if self._forward != "primary" else self.port
            target = (where.hostname or hostname, port)
            mark = [(FORWARDED, self._store.node_id_text.encode())]
            try:
                await relay(client, request, target, _nothing, request_headers=mark, dial_s=0)
            except TargetGone as error:
                text = f"Proxy error: the primary {hostname} at {target[0]}:{port}: {error}; reads go on"
                await send_text(client, 503, text)

    # --- waiting -------------------------------------------------------------------------------------

    async def _is_primary(self) -> bool:
        """Whether this node is the primary, once it is known who is."""
        status = self._store.status
        deadline = asyncio.get_running_loop().time() + self._config.primary_redirect_timeout
        while not status.is_primary and status.primary_hostname is None:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.02)
        return status.is_primary

    async def _reached(self, txid: int) -> bool:
        """Wait until the database has reached `txid`; False after READ_WAIT_S."""
        database = self._store.get(self._config.db) if txid else None
        if database is None or database.pos.txid >= txid:
            return True
        async with self._counted():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(READ_WAIT_S):
                    while database.pos.txid < txid:
                        await self._moved.wait()
        if database.pos.txid < txid:
            log.info("proxy: a read waited in vain for TXID %s", format_txid(txid))
        return database.pos.txid >= txid

    @contextlib.asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _wake(self, name: str) -> None:
        """A position moved: in the thread that moved it."""
        if self._waiting and name == self._config.db and self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake_all)

    def _wake_all(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


def check_forward(text: str) -> str:
    """`text` if it is "", "primary" or a URL. Raises ConfigError."""
    text = text.strip()
    with contextlib.suppress(ValueError):  # a port past 65535, or a bracket that does not end
        parts = urlsplit(text)
        if text in {"", "primary"} or (parts.scheme == "http" and parts.hostname and parts.port != 0):
            return text
    raise ConfigError(f"proxy forward {text!r}: write `primary`, or the primary's proxy as http://HOST:PORT")


def _host_port(text: str, key: str) -> tuple[str, int]:
    try:
        return split_address(text, ":8080 or HOST:PORT")
    except ValueError as error:
        raise ConfigError(f"{key}: {text!r} is {error}") from None
