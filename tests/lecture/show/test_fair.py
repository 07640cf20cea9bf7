"""The followers' door: who comes in, and whose connections give way."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import pytest

from pylitefs.lecture.show.fair import CUT, FairListener, FollowersDoor

TOKEN = "abcdefgh2345"


def status(
    path: str, method: str = "GET", token: str = TOKEN, headers: Mapping[str, str] | None = None
) -> int:
    """What the door says to such a request: 0 lets it in."""
    wanted = {"host": "192.168.1.5:8080"} | dict(headers or {})
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": f"token={token}".encode() if token else b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in wanted.items()],
        CUT: lambda: None,
    }
    refusal = FollowersDoor(no_app, TOKEN, ["Lectern", "lectern.local"]).judge(scope)
    return refusal.status if refusal else 0


async def no_app(*_: object) -> None:
    raise AssertionError("nothing is asked of it")


@pytest.mark.parametrize("path", ["/", "/events"])
def test_what_is_shown_needs_the_token(path: str) -> None:
    """A wrong one, a part of it, one with other letters: none of them."""
    assert status(path) == 0
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "%FF%FE", "w%C3%B6rng"):
        assert status(path, token=token) == 403
    assert status("/vote", "POST") == 0 and status("/vote", "POST", "wrong") == 403
    assert status("/page.js", token="") == 0


@pytest.mark.parametrize(
    "path",
    [
        "/do",
        "/recording",
        "/app.js",
        "/../followers.py",
        "/page.js/",
        "//",
        "/vote/x",
        "/events.",
        "/%2e%2e/",
    ],
)
def test_there_is_no_other_path(path: str) -> None:
    """None that commands, and none that leads to a file."""
    assert status(path) == 404 and status(path, "POST") == 404


def test_a_path_has_one_method() -> None:
    for method in ("POST", "PUT", "HEAD", "OPTIONS", "DELETE", "TRACE"):
        assert status("/events", method) == 405
    assert status("/vote", "GET") == 405


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("192.168.1.5:8080", 0),
        ("10.0.0.1", 0),
        ("[fd00::5]:80", 0),
        ("localhost:9", 0),
        ("LECTERN:8080", 0),
        ("lectern.local", 0),
        ("evil.example:8080", 403),
        ("192.168.1.5.evil.example", 403),
        ("lectern.evil.example", 403),
        ("192.168.1.5:8080@evil.example", 403),
        ("", 403),
    ],
)
def test_a_name_is_one_of_this_machine(host: str, found: int) -> None:
    """An address leads where it says; a name can be made to point here (DNS rebinding)."""
    assert status("/", headers={"host": host}) == found


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://192.168.1.5", "https://192.168.1.5:8080"]
)
def test_no_page_of_another_site_is_answered(origin: str) -> None:
    """Although it has the token: it may have been told it."""
    assert status("/vote", "POST", headers={"origin": origin}) == 403
    assert status("/events", headers={"origin": origin}) == 403
    assert status("/events", headers={"origin": "http://192.168.1.5:8080"}) == 0


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[FairListener]:
    """On every loopback address, with room for six."""
    monkeypatch.setattr("pylitefs.http.listener.MOST_CONNECTIONS", 6)
    found = FairListener.bound("", 0)
    try:
        yield found
    finally:
        found.close()


def connect(listener: FairListener, address: str) -> socket.socket:
    """From this address of the loopback's."""
    found = socket.create_connection(("127.0.0.1", listener.port), 10, (address, 0))
    found.settimeout(10)
    return found


def test_who_has_most_connections_gives_one_up(listener: FairListener) -> None:
    """Whoever comes from elsewhere is let in, until all have as many."""
    with ExitStack() as stack:
        kept = []

        def come(address: str) -> socket.socket:
            client = stack.enter_context(connect(listener, address))
            kept.append(stack.enter_context(listener.accept()[0]))
            return client

        greedy = [come("127.0.0.2") for _ in range(6)]
        modest = [come(f"127.0.0.{number}") for number in (3, 4, 5)]
        ended = 0
        for one in greedy:
            one.setblocking(False)
            try:
                ended += one.recv(1) == b""
            except BlockingIOError:
                pass
        assert ended == 3, "one for each who came"
        for one in modest:
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
        # Who has most and comes again is turned away, and takes nobody's place.
        late = stack.enter_context(connect(listener, "127.0.0.2"))
        with pytest.raises(BlockingIOError):
            listener.accept()
        assert late.recv(1000).startswith(b"HTTP/1.1 503")
