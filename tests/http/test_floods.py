"""HTTP/2 clients that send what only costs time are cut off, and keep nobody waiting."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import hypercorn.config
import pytest
from hpack import Encoder
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import RawData

from pylitefs.http.floods import BURST, RATE, SLICE, Allowance, CalmProtocol
from tests.lecture.scripted import live
from tests.replication.stores import opened, serving

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, payload: bytes, *, stream: int = 0, flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


SETTINGS, PING = frame(4, b""), frame(6, bytes(8))
PRIORITY, UNKNOWN = frame(2, b"\0\0\0\0\x10", stream=3), frame(0xEE, b"")
WINDOW = frame(8, struct.pack(">I", 1))


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with opened(tmp_path / "primary", primary=True) as store, serving(store) as node:
        yield int(node.advertise_url.rpartition(":")[2])


def connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(PREFACE + SETTINGS)
    return connection


def send_all(connection: socket.socket, data: bytes) -> None:
    """As far as the node takes it; what it answers is thrown away."""

    def read() -> None:
        with suppress(OSError):
            while connection.recv(1 << 16):
                pass

    reader = threading.Thread(target=read)
    reader.start()
    with suppress(OSError):
        connection.sendall(data)
    reader.join(20)
    assert not reader.is_alive(), "the connection was not cut off"


@pytest.mark.parametrize(
    "flood", [PING, SETTINGS, PRIORITY, UNKNOWN], ids=["ping", "settings", "priority", "unknown"]
)
def test_a_flood_is_cut_off_with_a_line(port: int, caplog: pytest.LogCaptureFixture, flood: bytes) -> None:
    """After BURST of them, and not after all."""
    with connected(port) as connection:
        send_all(connection, flood * 20_000)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("127.0.0.1:") and "floods its HTTP/2 connection" in line
    assert f"{BURST} frames" in line and f"{RATE} a second" in line
    assert httpx.get(f"http://127.0.0.1:{port}/info", trust_env=False).status_code == 200


def test_pings_in_moderation_are_answered(port: int) -> None:
    """As clients send them that want to know whether a stream lives."""
    with connected(port) as connection:
        connection.sendall(PING * (BURST - 100))
        answered = b""
        while answered.count(frame(6, bytes(8), flags=1)) < BURST - 100:
            data = connection.recv(1 << 16)
            assert data, "cut off"
            answered += data


def test_others_are_served_between_two_slices() -> None:
    """Of what is not counted too, such as WINDOW_UPDATE: a fast replica sends many."""
    data = PREFACE + SETTINGS + WINDOW * 20_000
    turns = 0

    async def take() -> None:
        nonlocal turns

        async def send(_: object) -> None:
            """Nobody reads the answers."""

        config, context = hypercorn.config.Config(), WorkerContext(None)
        connection = CalmProtocol(
            app=None,  # type: ignore[arg-type]
            config=config,
            context=context,
            task_group=None,  # type: ignore[arg-type]
            connection_state=None,  # type: ignore[arg-type]
            ssl=False,
            client=None,
            server=None,
            send=send,
        )
        connection.connection.initiate_connection()
        taking = asyncio.ensure_future(connection.handle(RawData(data)))
        while not taking.done():
            await asyncio.sleep(0)
            turns += 1
        taking.result()

    asyncio.run(take())
    assert turns >= len(data) // SLICE


def test_an_allowance_comes_back_with_time() -> None:
    """BURST at once, and RATE a second after that; never more than BURST."""
    allowance = Allowance(0.0)
    assert allowance.take(BURST, 0.0) and not allowance.take(1, 0.0)
    allowance = Allowance(0.0)
    assert allowance.take(BURST, 0.0) and allowance.take(RATE, 1.0) and not allowance.take(1, 1.0)
    assert not Allowance(0.0).take(BURST + 1, 1000.0)


@pytest.mark.parametrize(
    "given",
    [
        [(b":method", b"GET"), (b":path", b"/\xff")],
        [(b":method", b"G\xff"), (b":path", b"/info")],
        [(b":method", b"CONNECT"), (b":path", b"/info"), (b":protocol", b"websocket")],
    ],
)
def test_a_request_that_is_none_costs_its_connection_and_no_traceback(
    port: int, caplog: pytest.LogCaptureFixture, given: list[tuple[bytes, bytes]]
) -> None:
    """hypercorn would fail at decoding it. The log says in a line who sent it."""
    with connected(port) as connection:
        connection.sendall(_headers(given))
        while connection.recv(1 << 16):
            pass
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "sends an HTTP/2 request that is none" in caplog.text


def test_a_body_that_comes_after_its_answer_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The lecture's server answers who has no token before it has read the body. The connection goes on."""
    with live() as (server, _), connected(server.port) as connection:
        connection.sendall(_headers([(b":method", b"POST"), (b":path", b"/do?token=x")], flags=4))
        while b"the token is missing" not in connection.recv(1 << 16):
            pass
        connection.sendall(frame(0, b"x" * 100, stream=1) + frame(6, b"answered"))
        answer = b""
        while b"answered" not in answer:
            piece = connection.recv(1 << 16)
            assert piece, "the connection was closed"
            answer += piece
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "headers",
    [
        b"Upgrade: websocket\r\nSec-WebSocket-Key: \xff\r\nSec-WebSocket-Extensions: \xff",
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMA",
        b"UPGRADE: H2C",
    ],
)
def test_nobody_is_upgraded(port: int, caplog: pytest.LogCaptureFixture, headers: bytes) -> None:
    """Such a request is answered as if it had not asked for it, whatever it brings along."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        request = b"GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\n"
        connection.sendall(b"%s%s\r\n\r\n" % (request, headers))
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert caplog.records == []


def _headers(given: list[tuple[bytes, bytes]], flags: int = 5) -> bytes:
    """A HEADERS frame of stream 1; by default it is all of the request."""
    packed = Encoder().encode([*given, (b":scheme", b"http"), (b":authority", b"127.0.0.1")])
    return frame(1, packed, stream=1, flags=flags)
