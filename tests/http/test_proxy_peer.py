"""An answer that comes before the request's body has ended arrives, through one proxy and through two."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pylitefs.config import ProxyConfig
from pylitefs.http import proxy_peer
from pylitefs.http.proxy import Proxy
from pylitefs.store.store import Store
from tests.replication.stores import opened

BODY = 20_000_000
TRIES = 20


class Early:
    """An application that answers as soon as it has the head, and closes with the body unread."""

    def __init__(self, stack: ExitStack, answer: bytes) -> None:
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
                    while b"\r\n\r\n" not in asked and (data := client.recv(1000)):
                        asked += data
                    client.sendall(self._answer)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def proxy(stack: ExitStack, store: Store, target: str, forward: str = "") -> str:
    """The address of a proxy."""
    config = ProxyConfig.model_validate({"addr": "127.0.0.1:0", "target": target, "db": "data.db"})
    one = Proxy(store, config, forward=forward)
    one.start()
    stack.callback(one.stop)
    return f"127.0.0.1:{one.port}"


def through_two(stack: ExitStack, directory: Path, target: str) -> str:
    """The address of a replica's proxy that passes writes on to the primary's."""
    primary = stack.enter_context(opened(directory / "primary", primary=True))
    replica = stack.enter_context(opened(directory / "replica", primary=False))
    replica.status.primary_hostname = "db1"
    return proxy(stack, replica, target, f"http://{proxy(stack, primary, target)}")


def uploaded(address: str, size: int = BODY) -> http.client.HTTPResponse:
    """The answer to a client that sends all before it looks; as long as somebody reads that."""
    host, port = address.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        connection.putrequest("POST", "/upload")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        connection.sock.sendall(bytes(size))
        answer = connection.getresponse()
        answer.read()
        return answer


TOO_LARGE = b"HTTP/1.1 413 That is too much\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"


def test_an_early_refusal_reaches_who_uploads_through_two_proxies(stack: ExitStack, tmp_path: Path) -> None:
    """Each of twenty times, with the application's own reason; and the connection is said to end."""
    address = through_two(stack, tmp_path, Early(stack, TOO_LARGE).address)
    for _ in range(TRIES):
        answer = uploaded(address)
        assert (answer.status, answer.reason) == (413, "That is too much")
        assert answer.headers["Connection"] == "close"


def test_a_connection_is_kept_however_fast_the_application_answers(stack: ExitStack, tmp_path: Path) -> None:
    """A request without a body has ended with its head, also where the answer is there in the same moment."""
    store = stack.enter_context(opened(tmp_path / "primary", primary=True))
    app = Early(stack, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    host, port = proxy(stack, store, app.address).split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    with contextlib.closing(connection):
        for number in range(100):
            connection.request("POST" if number % 2 else "GET", "/", headers={"Content-Length": "0"})
            answer = connection.getresponse()
            assert answer.read() == b"ok"
            assert answer.headers["Connection"] is None


def test_an_early_answer_that_ends_with_its_connection_is_whole(stack: ExitStack, tmp_path: Path) -> None:
    """As of an application that speaks HTTP/1.0."""
    address = through_two(stack, tmp_path, Early(stack, b"HTTP/1.0 413 No\r\n\r\ntoo large").address)
    assert {uploaded(address).status for _ in range(TRIES // 4)} == {413}


def test_the_proxy_s_own_refusal_reaches_who_uploads(stack: ExitStack, tmp_path: Path) -> None:
    """To be replayed elsewhere, say: with a reason, too."""
    replica = stack.enter_context(opened(tmp_path / "replica", primary=False))
    replica.status.primary_hostname = "db1"
    answer = uploaded(proxy(stack, replica, "127.0.0.1:1"))
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.headers["fly-replay"] == "instance=db1"


def test_who_goes_on_sending_after_its_answer_is_cut_off(
    stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or says nothing, and does not close: the moment is bounded."""
    monkeypatch.setattr(proxy_peer, "SILENCE_S", 0.1)
    address = through_two(stack, tmp_path, Early(stack, TOO_LARGE).address)
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        while client.recv(1000):  # the answer, and the end of it
            pass
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(50):  # slower than the silence that is borne
                client.sendall(bytes(1000))
                threading.Event().wait(0.2)
