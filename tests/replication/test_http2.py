"""The replica's HTTP/2 client: against hypercorn, and against servers that break off."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamEnded
from starlette.types import ASGIApp, Receive, Scope, Send

from pylitefs.http.server import HttpServer
from pylitefs.replication.http2 import FRAME, WINDOW, CannotConnectError, LostConnectionError, Post


class Echo:
    """Answers with what was asked, and `extra` bytes more."""

    def __init__(self, extra: int) -> None:
        self.extra = extra
        self.scopes: list[Scope] = []

    @property
    def app(self) -> ASGIApp:
        return self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": [(b"litefs-id", b"AB")]})
        await send({"type": "http.response.body", "body": body + bytes(self.extra), "more_body": False})

    def end_streams(self) -> None:
        pass


@contextmanager
def serving(extra: int = 0) -> Iterator[tuple[str, Echo]]:
    echo = Echo(extra)
    server = HttpServer(echo, ("127.0.0.1", 0))
    server.start()
    try:
        yield f"http://127.0.0.1:{server.port}", echo
    finally:
        server.stop()


def post(url: str, content: bytes = b"asked", **params: str) -> Post:
    return Post(
        f"{url}/stream",
        content,
        params=params,
        headers={"Litefs-Id": "CD"},
        connect_timeout=2.0,
        on_socket=lambda _: None,
    )


@pytest.mark.parametrize("size", [0, 5, 70_000, 3_000_000])
def test_what_was_asked_arrives(size: int) -> None:
    """Also a request longer than the server's windows; names of headers are told in small letters."""
    content = bytes(range(251)) * (size // 251 + 1)
    with serving() as (url, echo), post(url, content[:size], filter="a b.db") as answer:
        assert answer.status == 200 and answer.headers["litefs-id"] == "AB"
        assert b"".join(answer) == content[:size]
    assert echo.scopes[0]["query_string"] == b"filter=a+b.db"
    assert (b"litefs-id", b"CD") in echo.scopes[0]["headers"]
    assert echo.scopes[0]["http_version"] == "2"


def test_an_answer_may_be_longer_than_every_window() -> None:
    with serving(WINDOW * 2) as (url, _), post(url) as answer:
        pieces = []
        for piece in answer:
            pieces.append(len(piece))
            answer.give_back(len(piece))
    assert sum(pieces) == WINDOW * 2 + 5
    assert max(pieces) <= FRAME


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CannotConnectError, match="refused"), post(f"http://127.0.0.1:{port}"):
        pass


@contextmanager
def scripted(play: Callable[[socket.socket, H2Connection], None], status: str = "200") -> Iterator[str]:
    """A server for one connection: once the request is there, `play` does what it likes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            connection = H2Connection(H2Configuration(client_side=False))
            connection.initiate_connection()
            ended = False
            while not ended and (data := sock.recv(65536)):
                events = connection.receive_data(data)
                ended = any(isinstance(event, StreamEnded) for event in events)
                if any(isinstance(event, RequestReceived) for event in events):
                    connection.send_headers(1, [(":status", status)])
                sock.sendall(connection.data_to_send())
            play(sock, connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)
    assert not thread.is_alive()


def test_a_reset_comes_after_the_bytes_before_it() -> None:
    def play(sock: socket.socket, connection: H2Connection) -> None:
        connection.send_data(1, b"so far")
        connection.reset_stream(1, ErrorCodes.INTERNAL_ERROR)
        sock.sendall(connection.data_to_send())

    taken = []
    with scripted(play) as url, post(url) as answer, pytest.raises(LostConnectionError, match="INTERNAL"):
        for data in answer:
            taken.append(data)
    assert b"".join(taken) == b"so far"


@pytest.mark.parametrize("ending", ["closed", "nonsense", "shut here"])
def test_a_broken_connection_is_an_error(ending: str) -> None:
    """Closed by the server, HTTP/2 no more, or shut down on this side while the answer is waited for."""
    go = threading.Event()
    sockets: list[socket.socket] = []

    def play(sock: socket.socket, connection: H2Connection) -> None:
        del connection
        if ending == "nonsense":
            sock.sendall(b"\xff" * 100)
        if ending != "closed":
            go.wait(5)

    with scripted(play) as url:
        request = post(url)
        request._on_socket = sockets.append
        with request as answer:
            if ending == "shut here":
                sockets[0].shutdown(socket.SHUT_RDWR)
            with pytest.raises(LostConnectionError):
                list(answer)
            go.set()


@pytest.mark.parametrize("status", ["abc", "", "2²"])
def test_a_damaged_status_is_a_lost_connection(status: str) -> None:
    """And no error of this program's own, of which the node would end."""
    with (
        scripted(lambda sock, connection: None, status) as url,
        pytest.raises(LostConnectionError, match="no HTTP status"),
        post(url),
    ):
        pass


def test_it_says_whether_more_has_come() -> None:
    """Bytes that lie in the socket, or were read from it and not handed on yet."""
    with serving(200_000) as (url, _), post(url) as answer:
        pieces = iter(answer)
        got = len(next(pieces))
        while got < 200_005:
            if not answer.has_more():
                continue
            got += len(next(pieces))
        assert not any(pieces)
