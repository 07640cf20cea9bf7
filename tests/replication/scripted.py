"""A primary that says what the test says, and a wire that can be tampered with."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from starlette.types import Receive, Scope, Send

from pylitefs.http.server import HttpServer
from pylitefs.lease.static import PrimaryInfo
from tests.replication.stores import CLUSTER

TICKS_A_SECOND = 20
"""So often a wire with a rate passes something on."""


class ScriptedPrimary:
    """Answers the n-th connection with the n-th body, the last one again and again, and then keeps quiet."""

    def __init__(self, bodies: Sequence[bytes], *, cluster: str = CLUSTER, close: bool = False) -> None:
        self.bodies = list(bodies)
        self.cluster = cluster
        self.close = close
        self.requests: list[bytes] = []
        self.queries: list[str] = []
        self.node_ids: list[str] = []

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        self.requests.append(body)
        self.queries.append(scope["query_string"].decode())
        self.node_ids.append(dict(scope["headers"]).get(b"litefs-id", b"").decode())
        headers = [(b"litefs-cluster-id", self.cluster.encode())] if self.cluster else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        answer = self.bodies[min(len(self.requests), len(self.bodies)) - 1]
        await send({"type": "http.response.body", "body": answer, "more_body": not self.close})
        while not self.close and (await receive())["type"] != "http.disconnect":
            pass

    def end_streams(self) -> None:
        """Nothing to end cleanly."""


@contextmanager
def playing(primary: ScriptedPrimary) -> Iterator[PrimaryInfo]:
    """The scripted primary, on a port."""
    server = HttpServer(primary, ("127.0.0.1", 0))
    server.start()
    try:
        yield PrimaryInfo("scripted", f"http://127.0.0.1:{server.port}")
    finally:
        server.stop()


class Wire:
    """A TCP proxy: `tamper(connection number, bytes from the server)` gives the bytes that go on.

    With a `rate` it passes so many bytes a second from the server, a little at a time.
    """

    def __init__(self, port: int, tamper: Callable[[int, bytes], bytes], rate: int) -> None:
        self._port = port
        self._tamper = tamper
        self._rate = rate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._sockets: list[socket.socket] = []

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [client, server]
            number = self.connections
            for source, target, change, rate in (
                (client, server, lambda data: data, 0),
                (server, client, lambda data, number=number: self._tamper(number, data), self._rate),
            ):
                threading.Thread(target=_pump, args=(source, target, change, rate), daemon=True).start()

    def cut(self) -> None:
        """Break every connection."""
        for one in self._sockets:
            _shut(one)

    def close(self) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()


def _pump(source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes], rate: int) -> None:
    try:
        while data := source.recv(rate // TICKS_A_SECOND or 65536):
            target.sendall(change(data))
            if rate:
                time.sleep(len(data) / rate)
    except OSError:
        pass
    _shut(source)
    _shut(target)


def _shut(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


@contextmanager
def wire(
    info: PrimaryInfo, tamper: Callable[[int, bytes], bytes] = lambda _, data: data, rate: int = 0
) -> Iterator[Wire]:
    """A wire to the node at `info`."""
    proxy = Wire(int(info.advertise_url.rpartition(":")[2]), tamper, rate)
    threading.Thread(target=proxy.run, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
