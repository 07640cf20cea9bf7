"""The server: one port for both versions of HTTP, and an end whatever its clients do."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pylitefs.errors import ConfigError
from pylitefs.http.app import Api
from pylitefs.http.server import GRACE_S, HttpServer
from pylitefs.lease.static import StaticLease
from pylitefs.replication.frames import Decoder, End, Frame, Ready, encode_positions
from pylitefs.store.store import Store
from pylitefs.trace import Gate
from tests.replication.stores import Writer, opened
from tests.slack import slack

LEASE = StaticLease(True, "a", "http://a:1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "primary", primary=True) as store:
        yield store


@pytest.fixture
def server(store: Store) -> Iterator[HttpServer]:
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    server.start()
    yield server
    assert server.stop()


def url(server: HttpServer) -> str:
    return f"http://127.0.0.1:{server.port}"


def test_one_port_speaks_both(server: HttpServer) -> None:
    """HTTP/1.1, and HTTP/2 without TLS and without asking first."""
    assert httpx.get(f"{url(server)}/info", trust_env=False).http_version == "HTTP/1.1"
    with httpx.Client(http1=False, http2=True, trust_env=False) as client:
        assert client.get(f"{url(server)}/info").http_version == "HTTP/2"


def test_an_empty_host_is_every_interface(store: Store) -> None:
    """`:20202`, over IPv4 and, where there is one, IPv6."""
    server = HttpServer(Api(store, LEASE), ("", 0))
    server.start()
    assert httpx.get(f"{url(server)}/info", trust_env=False).status_code == 200
    if socket.has_dualstack_ipv6():
        assert httpx.get(f"http://[::1]:{server.port}/info", trust_env=False).status_code == 200
    assert server.stop()


@pytest.mark.parametrize("address", [("127.0.0.1", 99999), ("a\0b", 1), ("a" * 70, 1), ("no..host", 1)])
def test_what_is_no_address_is_an_error_of_the_config(store: Store, address: tuple[str, int]) -> None:
    """Whatever Python's sockets raise for it, here and in the proxy."""
    with pytest.raises(ConfigError, match=r"cannot listen on http\.addr"):
        HttpServer(Api(store, LEASE), address).listen()


def test_a_port_that_is_taken_is_an_error_of_the_config(store: Store, server: HttpServer) -> None:
    """Said before anything else starts."""
    with pytest.raises(ConfigError, match=rf"http.addr 127.0.0.1:{server.port}: Address already in use"):
        HttpServer(Api(store, LEASE), ("127.0.0.1", server.port)).start()


def test_streams_get_their_end(store: Store, server: HttpServer) -> None:
    """End is the last thing a replica hears of a node that stops."""
    Writer(store).commit({1: 1})
    with (
        httpx.Client(http1=False, http2=True, trust_env=False) as client,
        client.stream("POST", f"{url(server)}/stream", content=encode_positions({})) as response,
    ):
        frames: list[Frame] = []
        decoder = Decoder()
        for data in response.iter_raw():
            frames.extend(decoder.feed(data))
            if frames[-1] != End() and Ready() in frames:
                server.shutdown()
    assert frames[-1] == End()


def test_it_stops_at_once_with_idle_connections(server: HttpServer) -> None:
    """Kept alive, of both versions."""
    with httpx.Client(trust_env=False) as one, httpx.Client(http1=False, http2=True, trust_env=False) as two:
        one.get(f"{url(server)}/info")
        two.get(f"{url(server)}/info")
        began = time.monotonic()
        assert server.stop()
        assert time.monotonic() - began < GRACE_S


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_it_stops_although_a_client_does_not_read(store: Store, version: str) -> None:
    """A download that hangs is cut off after the grace."""
    Writer(store).commit_pages({pgno: bytes(65536) for pgno in range(1, 600)})
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    server.start()
    with (
        httpx.Client(http1=version == "1.1", http2=version == "2", trust_env=False, timeout=10) as client,
        client.stream("GET", f"{url(server)}/export?name=made.db") as response,
    ):
        assert response.status_code == 200
        began = time.monotonic()
        assert server.stop()
        assert time.monotonic() - began < 2 * GRACE_S + 0.5 * slack()


def test_it_stops_although_a_tracepoint_is_held(store: Store) -> None:
    """The stream that waits there is let go."""
    Writer(store).commit({1: 1})
    gate = Gate(["catchup.decide"])
    stop = store.tracer.listen(gate)
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    server.start()
    with (
        httpx.Client(http1=False, http2=True, trust_env=False) as client,
        client.stream("POST", f"{url(server)}/stream", content=encode_positions({})),
    ):
        assert gate.wait_held(10) is not None
        began = time.monotonic()
        assert server.stop()
        assert time.monotonic() - began < GRACE_S
    gate.close()
    stop()


def test_it_serves_in_a_loop_that_is_there(store: Store) -> None:
    """`await serve()`, ended from anywhere."""
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    server.listen()

    async def main() -> int:
        serving = asyncio.ensure_future(server.serve())
        async with httpx.AsyncClient(trust_env=False) as client:
            status = (await client.get(f"{url(server)}/info")).status_code
        server.shutdown()
        await asyncio.wait_for(serving, 10)
        return status

    assert asyncio.run(main()) == 200


def test_a_shutdown_before_the_start_is_not_lost(store: Store) -> None:
    """A node that is stopped while it starts."""
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    server.shutdown()
    server.start()
    assert server.stop()


def test_a_stop_while_it_is_being_started_is_no_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mount was taken away from outside, which ends a node that is still starting."""
    server = HttpServer(Api(store, LEASE), ("127.0.0.1", 0))
    start = threading.Thread.start

    def stop_first(thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        assert server.stop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", stop_first)
    server.start()
    assert server.stop()


def test_connections_that_break_leave_no_trace(store: Store, server: HttpServer) -> None:
    """Neither a stream that goes on nor one that is counted."""
    Writer(store).commit({1: 1})
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrubbish")
    assert httpx.get(f"{url(server)}/info", trust_env=False).status_code == 200
