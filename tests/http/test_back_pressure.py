"""Readers that do not read, or slowly, and more connections than the API takes."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from pylitefs.cluster.cluster import wait_until
from pylitefs.http import back_pressure, listener
from pylitefs.http.push import PushResponse, Write
from pylitefs.http.server import HttpServer

BLOCK = bytes(64 << 10)


class Pusher:
    """An application that answers each request with `blocks` blocks, and counts those it got rid of."""

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.written = 0

    @property
    def app(self) -> ASGIApp:
        async def produce(write: Write) -> None:
            for _ in range(self.blocks):
                await write(BLOCK)
                self.written += 1

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await PushResponse(produce)(scope, receive, send)

        return answer

    def end_streams(self) -> None:
        """There is nothing to end."""


@pytest.fixture
def pusher() -> Iterator[tuple[Pusher, int]]:
    pusher = Pusher(200)
    running = HttpServer(pusher, ("127.0.0.1", 0))
    running.start()
    yield pusher, running.port
    assert running.stop()


class Client:
    """An HTTP/2 client that asks for one thing, with a window of so many bytes; with a body as replica AA."""

    def __init__(self, port: int, window: int, path: str = "/export", body: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        values = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        self.connection.local_settings = h2.settings.Settings(client=True, initial_values=values)
        self.connection.initiate_connection()
        method, more = ("POST", [("litefs-id", "AA")]) if body else ("GET", [])
        headers = [(":method", method), (":path", path), (":scheme", "http"), (":authority", "localhost")]
        self.connection.send_headers(1, headers + more, end_stream=not body)
        if body:
            self.connection.send_data(1, body, end_stream=True)
        self._send()

    def _send(self) -> None:
        self.socket.sendall(self.connection.data_to_send())

    def read_all(self, pause: float = 0.0) -> int:
        """Read to the end, and give the window back; how many bytes of body came."""
        size = 0
        while data := self.socket.recv(1 << 16):
            for event in self.connection.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    size += len(event.data)
                    self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    return size
            with suppress(BrokenPipeError):  # The server is through: what it has sent is read still.
                self._send()
            time.sleep(pause)
        return size


def test_a_reader_with_a_window_of_0_is_cut_off(
    pusher: tuple[Pusher, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Of 12.5 MB not more than a block is taken for it, and after the limit the connection is broken."""
    monkeypatch.setattr(back_pressure, "STALL_S", 0.5)
    application, port = pusher
    client = Client(port, window=0)
    with client.socket, caplog.at_level(logging.WARNING, "pylitefs"):
        assert client.read_all() == 0, "the connection ends"
        assert application.written <= 1
        assert wait_until(lambda: "cut off" in caplog.text, 5)
    (line,) = [record.getMessage() for record in caplog.records if "cut off" in record.getMessage()]
    assert line.startswith("GET /export: 127.0.0.1:")


def test_a_slow_reader_gets_everything(
    pusher: tuple[Pusher, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It takes longer than the limit for all of it, but not for a block."""
    # Longer than a busy machine keeps the client from reading.
    monkeypatch.setattr(back_pressure, "STALL_S", 2.0)
    application, port = pusher
    application.blocks = 20
    client = Client(port, window=20_000)
    started = time.monotonic()
    with client.socket:
        assert client.read_all(pause=0.04) == 20 * len(BLOCK)
    assert time.monotonic() - started > 2.0
    assert "cut off" not in caplog.text


def test_connections_are_bounded(
    pusher: tuple[Pusher, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Past the bound a connection is answered with 503, and one line logged; then there is room again."""
    monkeypatch.setattr(listener, "MOST_CONNECTIONS", 5)
    _, port = pusher
    url = f"http://127.0.0.1:{port}/"
    # Requests under way: connections that ask for nothing are closed by the server, after five seconds.
    busy = [Client(port, window=0) for _ in range(5)]

    def status() -> int:
        try:
            return httpx.get(url, trust_env=False, timeout=5).status_code
        except httpx.TransportError:
            return 0

    try:
        assert wait_until(lambda: status() == 503, 5)
        for _ in range(5):
            assert status() in (503, 0)
    finally:
        for client in busy:
            client.socket.close()
    assert wait_until(lambda: status() == 200, 5)
    assert len([record for record in caplog.records if "its most" in record.getMessage()]) == 1
