"""What the proxy passes on of a request and of its answer, byte by byte."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pylitefs.config import ProxyConfig
from pylitefs.http.proxy import Proxy
from pylitefs.store.store import Store
from tests.replication.stores import opened


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def store(stack: ExitStack, tmp_path: Path) -> Store:
    return stack.enter_context(opened(tmp_path / "primary", primary=True))


class Listening:
    """An application that keeps what it is sent and answers each connection with `answer`, whatever comes."""

    def __init__(self, stack: ExitStack, answer: bytes) -> None:
        self.asked: list[bytes] = []
        self._answer = answer
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    asked = b""
                    while b"\r\n\r\n" not in asked and (data := client.recv(65536)):
                        asked += data
                    self.asked.append(asked)
                    client.sendall(self._answer)


def proxied(store: Store, stack: ExitStack, app: Listening) -> str:
    """The URL of a proxy in front of it."""
    config = ProxyConfig.model_validate({"addr": "127.0.0.1:0", "target": app.address, "db": "data.db"})
    proxy = Proxy(store, config)
    proxy.start()
    stack.callback(proxy.stop)
    return f"http://127.0.0.1:{proxy.port}"


def spoken(url: str, request: bytes) -> bytes:
    """The raw answer to a raw request."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65536), b""))


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def test_of_two_lengths_the_application_gets_one(store: Store, stack: ExitStack) -> None:
    """Or an application that believes the other would find a request of its own in the body."""
    app = Listening(stack, b"HTTP/1.1 204 No Content\r\n\r\n")
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n" + CHUNKED
    spoken(proxied(store, stack, app), head + b"\r\n1\r\nZ\r\n0\r\n\r\n")
    assert CHUNKED in app.asked[0] and b"content-length" not in app.asked[0].lower()


def test_of_two_lengths_the_client_gets_none(store: Store, stack: ExitStack) -> None:
    """An answer's chunks are the proxy's own again."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + CHUNKED
    app = Listening(stack, head + b"\r\n5\r\nhello\r\n0\r\n\r\n")
    answer = spoken(proxied(store, stack, app), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"content-length" not in answer.lower()
    assert answer.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_headers_of_one_connection_are_not_passed_on(store: Store, stack: ExitStack) -> None:
    """Those that `Connection` names, too, in both directions; but it cannot name the length away."""
    app = Listening(
        stack, b"HTTP/1.1 200 OK\r\nConnection: X-Back\r\nX-Back: 1\r\nContent-Length: 1\r\n\r\nZ"
    )
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: X-There, Content-Length\r\nX-There: 1\r\n"
    answer = spoken(proxied(store, stack, app), head + b"Content-Length: 2\r\n\r\nab")
    assert b"X-There" not in app.asked[0] and b"Content-Length: 2\r\n" in app.asked[0]
    assert b"X-Back" not in answer and answer.endswith(b"Z")


@pytest.mark.parametrize("upgrade", ["h2c", "H2C, websocket", "HTTP/2.0"])
def test_nobody_goes_past_the_rules_by_http_2(store: Store, stack: ExitStack, upgrade: str) -> None:
    """An application that can do it is not asked to."""
    app = Listening(stack, b"HTTP/1.1 204 No Content\r\n\r\n")
    head = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n"
    answer = spoken(proxied(store, stack, app), f"{head}HTTP2-Settings: AAMAAABk\r\n\r\n".encode())
    assert b" 204 " in answer
    assert b"upgrade" not in app.asked[0].lower() and b"HTTP2" not in app.asked[0]
    assert b"Connection: close\r\n" in app.asked[0]


def test_http_1_0_may_go_without_a_host(store: Store, stack: ExitStack) -> None:
    """A health check, say. The application gets the one that it is asked at."""
    app = Listening(stack, b"HTTP/1.1 204 No Content\r\n\r\n")
    assert b" 204 " in spoken(proxied(store, stack, app), b"GET / HTTP/1.0\r\n\r\n")
    assert f"Host: {app.address}\r\n".encode() in app.asked[0]
