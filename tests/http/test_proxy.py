"""The proxy in front of an application, over real sockets, with stores that need no mount."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pylitefs.config import ProxyConfig
from pylitefs.errors import ConfigError
from pylitefs.http import proxy as proxy_module
from pylitefs.http.proxy import Proxy
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from tests.replication.stores import Writer, opened


class App(BaseHTTPRequestHandler):
    """An application: echoes what it was asked; `on_write` is called before a write is answered."""

    protocol_version = "HTTP/1.1"
    name = "app"
    on_write: Callable[[], object] = staticmethod(lambda: None)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self) -> None:
        if self.headers.get("Upgrade") == "echo":
            self._switch()
            return
        body = self._body()
        if self.command not in {"GET", "HEAD"}:
            type(self).on_write()
        if self.path == "/endless":
            self._endless()
            return
        text = f"{type(self).name} {self.command} {self.path} {len(body)} {self.headers.get('X-Test', '')}"
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "keep-alive")
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(b"first\n")
        self.server.wait_for_more.wait(10)  # type: ignore[attr-defined]
        self.wfile.write(b"second\n")

    def _switch(self) -> None:
        self.send_response(101)
        self.send_header("Upgrade", "echo")
        self.send_header("Connection", "Upgrade")
        self.end_headers()
        while line := self.rfile.readline():
            self.wfile.write(line.upper())
        self.close_connection = True


class Node:
    """A store, an application and a proxy in front of it."""

    def __init__(self, stack: ExitStack, directory: Path, name: str, *, primary: bool) -> None:
        self.store: Store = stack.enter_context(opened(directory / name, primary=primary))
        self.writer = Writer(self.store, "data.db")
        self.handler = type("Handler", (App,), {"name": name})
        self.app = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.app.daemon_threads = True
        self.app.wait_for_more = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=self.app.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(self.app.server_close)
        stack.callback(self.app.shutdown)
        self._stack = stack

    def proxy(self, forward: str = "", target: str = "", **config: object) -> str:
        """Start a proxy; its URL."""
        found = ProxyConfig.model_validate(
            {"addr": "127.0.0.1:0", "target": target or f"127.0.0.1:{self.app.server_port}", "db": "data.db"}
            | config
        )
        proxy = Proxy(self.store, found, forward=forward)
        proxy.start()
        self._stack.callback(proxy.stop)
        return f"http://127.0.0.1:{proxy.port}"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def primary(stack: ExitStack, tmp_path: Path) -> Node:
    return Node(stack, tmp_path, "primary", primary=True)


@pytest.fixture
def replica(stack: ExitStack, tmp_path: Path) -> Node:
    node = Node(stack, tmp_path, "replica", primary=False)
    node.store.status.primary_hostname = "db1"
    node.store.status.primary_url = "http://127.0.0.1:1"
    return node


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=10) as client:
        yield client


def test_a_read_goes_to_the_application_and_gets_no_cookie(primary: Node, http: httpx.Client) -> None:
    """Path, query, headers and Host arrive as they were sent, on a connection that is kept."""
    primary.writer.commit({1: 1})
    url = primary.proxy()
    for _ in range(3):
        answer = http.get(f"{url}/a/b?c=d", headers={"X-Test": "t"})
        assert answer.text == "primary GET /a/b?c=d 0 t"
        assert answer.headers["X-Host"] == url.removeprefix("http://")
        assert "set-cookie" not in answer.headers
    assert http.head(url).headers["Content-Length"] == "17"


def test_a_write_on_the_primary_gets_the_txid_it_led_to(primary: Node, http: httpx.Client) -> None:
    """The cookie holds the position after the application's answer, not before."""
    url = primary.proxy()
    primary.handler.on_write = staticmethod(lambda: primary.writer.commit({1: 1}))  # type: ignore[attr-defined]
    for txid in (1, 2):
        answer = http.post(url, content=b"x" * 10)
        assert answer.text == "primary POST / 10 "
        assert answer.cookies["__txid"] == f"{txid:016x}"


def test_the_txid_counts_what_the_application_has_just_committed(
    primary: Node, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In WAL mode a commit is told a moment after its client has its answer: the cookie waits for that."""
    url = primary.proxy()
    primary.writer.commit({1: 1})
    database = primary.store.require("data.db")
    settled: list[int] = []

    class Slow:
        """Has one transaction to tell."""

        def settle(self, state: DatabaseState) -> None:
            settled.append(1)
            state.pending = None
            primary.writer.commit({1: 2})

    monkeypatch.setattr(database.state.node, "publisher", Slow())
    primary.handler.on_write = staticmethod(lambda: setattr(database.state, "pending", object()))  # type: ignore[attr-defined]
    assert http.post(url, content=b"x").cookies["__txid"] == f"{2:016x}"
    assert settled == [1]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_pass_whole(primary: Node, http: httpx.Client, size: int, chunked: bool) -> None:
    """With a length or in chunks, small and large."""
    url = primary.proxy()
    content = iter([b"x" * size]) if chunked else b"x" * size
    assert http.put(url, content=content).text == f"primary PUT / {size} "


def test_a_read_waits_for_the_cookie_s_txid(
    replica: Node, http: httpx.Client, eventually: Callable[..., None]
) -> None:
    """It is answered as soon as the transaction is there, and not before."""
    replica.writer.commit({1: 1})
    url = replica.proxy()
    answers: list[str] = []
    headers = {"Cookie": "__txid=0000000000000003"}
    thread = threading.Thread(target=lambda: answers.append(http.get(url, headers=headers).text))
    thread.start()
    replica.writer.commit({1: 2})
    thread.join(0.1)
    assert not answers
    replica.writer.commit({1: 3})
    eventually(lambda: bool(answers), "the answer")
    thread.join()
    assert answers == ["replica GET / 0 "]
    assert http.get(url, headers={"Cookie": "__txid=0000000000000002"}).status_code == 200


def test_a_read_that_waits_in_vain_is_told(
    replica: Node, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """504 after five seconds (here: less)."""
    monkeypatch.setattr(proxy_module, "READ_WAIT_S", 0.1)
    replica.writer.commit({1: 1})
    answer = http.get(replica.proxy(), headers={"Cookie": "__txid=0000000000000009"})
    assert answer.status_code == 504
    assert "TXID 0000000000000009" in answer.text


def test_without_the_database_nobody_waits(replica: Node, http: httpx.Client) -> None:
    answer = http.get(replica.proxy(), headers={"Cookie": "__txid=0000000000000009"})
    assert answer.status_code == 200


def test_a_write_on_a_replica_is_to_be_replayed(replica: Node, http: httpx.Client) -> None:
    """LiteFS's answer, which Fly.io's proxy acts on; an always-forwarded GET gets the same."""
    url = replica.proxy(always_forward=["/admin/*"])
    for answer in (http.post(url, content=b"x"), http.get(f"{url}/admin/a/b")):
        assert answer.headers["fly-replay"] == "instance=db1"
        assert answer.text == ""


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_a_body_that_nobody_wants_is_in_nobody_s_way(replica: Node, http: httpx.Client, size: int) -> None:
    """Answered without reading it: the connection is kept after a short one and closed after a long one."""
    url = replica.proxy()
    for _ in range(5):
        answer = http.post(url, content=b"x" * size)
        assert answer.headers["fly-replay"] == "instance=db1"
        assert answer.headers.get("connection") == ("close" if size > 1_000_000 else None)


def test_an_always_forwarded_read_gets_no_cookie(primary: Node, http: httpx.Client) -> None:
    primary.writer.commit({1: 1})
    answer = http.get(f"{primary.proxy(always_forward=['/admin'])}/admin")
    assert answer.text == "primary GET /admin 0 "
    assert "set-cookie" not in answer.headers


def test_a_glob_goes_by_the_path_that_the_application_sees(replica: Node, http: httpx.Client) -> None:
    """However the client wrote it; the application gets it as it was written."""
    url = replica.proxy(passthrough=["*.png"])
    assert http.post(f"{url}/a/b.%70ng").text == "replica POST /a/b.%70ng 0 "


def test_passthrough_is_passed_on_by_a_replica_too(replica: Node, http: httpx.Client) -> None:
    url = replica.proxy(passthrough=["*.png"])
    assert http.post(f"{url}/a/b.png").text == "replica POST /a/b.png 0 "


def test_forwarded_writes_reach_the_primary_and_bring_its_cookie(
    primary: Node, replica: Node, http: httpx.Client
) -> None:
    """The primary's own proxy sets the cookie; the replica's passes it on."""
    primary.handler.on_write = staticmethod(lambda: primary.writer.commit({1: 1}))  # type: ignore[attr-defined]
    url = replica.proxy(forward=primary.proxy())
    answer = http.post(f"{url}/new", content=b"abc")
    assert answer.text == "primary POST /new 3 "
    assert answer.cookies["__txid"] == "0000000000000001"


def test_two_nodes_never_pass_a_request_to_and_fro(
    stack: ExitStack, tmp_path: Path, replica: Node, http: httpx.Client
) -> None:
    """A request that was passed on once and meets a replica again is answered with 503."""
    other = Node(stack, tmp_path, "other", primary=False)
    other.store.status.primary_hostname = "db1"
    url = replica.proxy(forward=other.proxy(forward="http://127.0.0.1:1"))
    assert http.post(url).status_code == 503


def test_a_primary_that_is_gone_is_said(primary: Node, replica: Node, http: httpx.Client) -> None:
    """Writes get 503 with a clear text, reads go on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = replica.proxy(forward=f"http://127.0.0.1:{unused.getsockname()[1]}")
        answer = http.post(url)
        assert answer.status_code == 503
        assert "the primary db1 at 127.0.0.1" in answer.text
        assert http.get(url).status_code == 200


def test_a_write_without_a_primary_is_503_after_the_timeout(replica: Node, http: httpx.Client) -> None:
    replica.store.status.primary_hostname = None
    assert http.post(replica.proxy(primary_redirect_timeout="50ms")).status_code == 503


def test_a_write_waits_for_a_primary_to_be_known(replica: Node, http: httpx.Client) -> None:
    replica.store.status.primary_hostname = None
    url = replica.proxy()
    timer = threading.Timer(0.1, setattr, (replica.store.status, "primary_hostname", "db2"))
    timer.start()
    assert http.post(url).headers["fly-replay"] == "instance=db2"
    timer.join()


def test_an_application_that_cannot_be_reached_is_502(
    primary: Node, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was tried for a while, for it may just be starting."""
    monkeypatch.setattr(proxy_module, "DIAL_S", 0.1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{unused.getsockname()[1]}"
        answer = http.get(primary.proxy(target=target))
        assert answer.status_code == 502
        assert target in answer.text


class _Rude(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(1000)
        self.request.sendall(b"no HTTP at all\r\n\r\n")


def test_an_application_that_speaks_no_http_is_502(
    primary: Node, http: httpx.Client, stack: ExitStack
) -> None:
    server = stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Rude))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    stack.callback(server.shutdown)
    url = primary.proxy(target=f"127.0.0.1:{server.server_address[1]}")
    assert http.get(url).status_code == 502
    assert http.post(url, content=b"x" * 100_000).status_code == 502


def test_health_tells_the_lag(primary: Node, replica: Node, http: httpx.Client) -> None:
    """A replica that never synced, or lags more than max-lag, is not healthy; 0 switches the check off."""
    assert http.get(f"{primary.proxy()}/litefs/health").text == "OK\n"
    url = replica.proxy()
    assert http.get(f"{url}/litefs/health").status_code == 503
    replica.store.status.heard_ms = time.time_ns() // 1_000_000
    assert http.get(f"{url}/litefs/health").status_code == 200
    replica.store.status.heard_ms -= 11_000
    assert http.get(f"{url}/litefs/health").status_code == 503
    assert http.get(f"{replica.proxy(max_lag='0s')}/litefs/health").status_code == 200


def test_an_answer_without_end_comes_as_it_is_written(primary: Node, http: httpx.Client) -> None:
    """Server-sent events, say: nothing waits for the answer's end."""
    with http.stream("GET", f"{primary.proxy()}/endless") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        primary.app.wait_for_more.set()  # type: ignore[attr-defined]
        assert b"".join(pieces) == b"second\n"


def test_a_switched_protocol_passes_both_ways(primary: Node) -> None:
    """A WebSocket begins so; here the bytes after it are lines, echoed in capitals."""
    host, port = primary.proxy().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
        client.sendall(head.encode())
        lines = client.makefile("rb")
        assert b" 101 " in lines.readline()
        while lines.readline().strip():
            pass
        for word in (b"one\n", b"two\n"):
            client.sendall(word)
            assert lines.readline() == word.upper()
        lines.close()


def test_who_asks_before_sending_is_told_to_go_on(primary: Node) -> None:
    """`Expect: 100-continue`, as curl sends it with a large body."""
    host, port = primary.proxy().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        lines = client.makefile("rb")
        assert b" 100 " in lines.readline()
        client.sendall(b"abc")
        while b" 200 " not in lines.readline():
            pass
        lines.close()


def test_what_is_no_http_is_a_bad_request(primary: Node) -> None:
    host, port = primary.proxy().removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(b"hello\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_says_nothing_is_let_go(primary: Node) -> None:
    """`read-header-timeout`."""
    host, port = primary.proxy(read_header_timeout="50ms").removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 5) as client:
        client.sendall(b"GET / HT")
        assert client.recv(100) == b""


@pytest.mark.parametrize("forward", ["yes", "https://x", "http://", "http://h:99999", "http://[::1"])
def test_a_wrong_forward_is_refused(primary: Node, forward: str) -> None:
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        primary.proxy(forward=forward)


def test_a_port_that_is_taken_is_an_error(primary: Node) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"proxy.addr 127.0.0.1:\d+: Address already in use"):
            primary.proxy(addr=f"127.0.0.1:{taken.getsockname()[1]}")
