"""The followers' server, as a class meets it, and as somebody does who means it ill."""

import asyncio
import json
import re
import secrets
import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from pylitefs import limits
from pylitefs.cluster.cluster import wait_until
from pylitefs.lecture.model import Entry, Json
from pylitefs.lecture.show import followers
from pylitefs.lecture.show.asking import Refused
from pylitefs.lecture.show.followers import parse_vote
from pylitefs.lecture.show.sharing import Sharing
from tests.lecture import recordings
from tests.slack import slack

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def sharing() -> Iterator[Sharing]:
    """One server for all; each test begins a run of its own."""
    found = Sharing(recordings.HEADER, (HOST, 0))
    found.start()
    try:
        yield found
    finally:
        found.stop()


class Class:
    """A lecture that is shared, and a question in it."""

    def __init__(self, sharing: Sharing) -> None:
        self.sharing = sharing
        self.seq = 0

    def tell(self, **changes: object) -> None:
        self.sharing.emit(
            Entry(self.seq, float(self.seq), "note", text=f"entry {self.seq}", set=dict(changes)), []
        )
        self.seq += 1

    def ask(self, text: str) -> None:
        self.tell(question={"text": text, "choices": ["a", "b", "c"], "answer": None, "why": ""})

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.sharing.port}/{path}?token={self.sharing.token}"

    def vote(self, who: "Follower", choice: object, **changes: object) -> httpx.Response:
        body = {"voter": who.voter, "question": who.question, "choice": choice} | changes
        return httpx.post(self.url("vote"), json=body, trust_env=False, timeout=10)

    def counts(self, *wanted: int) -> None:
        """Wait until the lecture hears of these votes."""
        assert wait_until(lambda: self.sharing.votes.get("counts") == list(wanted), 20)


class Follower:
    """Who follows: reads events until something has come."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()
        self.entries: list[Json] = []
        self.voter = self.run = self.last_id = ""

    @property
    def question(self) -> str:
        return f"{self.run}-{self.entries[-1]['seq']}"

    def until(self, text: str) -> None:
        """Read until an entry with this text, or question, has come."""
        event = ""
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "id":
                self.last_id = value
            elif name == "event":
                event = value
            elif not line:
                event = ""
                if self.entries and text in json.dumps(self.entries[-1]):
                    return
            elif name == "data" and event == "hello":
                self.voter = json.loads(value)["voter"]
            elif name == "data" and event == "reset":
                self.run, self.entries = json.loads(value), []
            elif name == "data" and not event and "entry" in json.loads(value):
                self.entries.append(json.loads(value)["entry"])
        raise AssertionError(f"the stream ended before {text!r}")


@contextmanager
def follower(lecture: Class, last_id: str = "", voter: str = "") -> Iterator[Follower]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    address = lecture.url("events") + (f"&voter={voter}" if voter else "")
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", address, headers=headers) as response,
    ):
        assert response.status_code == 200 and response.headers["content-encoding"] == "gzip"
        yield Follower(response)


@pytest.fixture
def lecture(sharing: Sharing) -> Class:
    found = Class(sharing)
    found.tell()
    return found


def test_who_follows_sees_the_lecture_and_votes_once(lecture: Class) -> None:
    """A vote can be changed, on a page that was loaded again as well; nobody votes for another, nor late."""
    with ExitStack() as stack:
        ada, grace = (stack.enter_context(follower(lecture)) for _ in range(2))
        lecture.ask("Which one?")
        for one in (ada, grace):
            one.until("Which one?")
        assert ada.voter != grace.voter and [one["seq"] for one in ada.entries] == [0, 1]
        assert lecture.vote(ada, 0).status_code == 200
        assert lecture.vote(ada, 2).status_code == 200
        assert lecture.vote(grace, 2).status_code == 200
        lecture.counts(0, 0, 2)
        assert wait_until(lambda: lecture.sharing.votes["followers"] == 2, 20)
        again = stack.enter_context(follower(lecture, voter=ada.voter))
        again.until("Which one?")
        assert again.voter == ada.voter
        assert lecture.vote(again, 1).status_code == 200
        lecture.counts(0, 1, 1)
        stranger = stack.enter_context(follower(lecture, voter="anybody"))
        stranger.until("Which one?")
        assert stranger.voter != "anybody"
        assert lecture.vote(stranger, 1, voter="anybody").status_code == 403
        lecture.tell(question={"text": "Which one?", "choices": ["a", "b", "c"], "answer": 1, "why": "so"})
        ada.until('"answer": 1')
        late = lecture.vote(grace, 1)
        assert late.status_code == 409 and "shown already" in late.json()["error"]
        lecture.counts(0, 1, 1)


def test_who_was_away_goes_on_and_a_new_run_is_a_new_one(lecture: Class) -> None:
    with follower(lecture) as one:
        one.until("entry 0")
        last = one.last_id
    lecture.tell()
    with follower(lecture, last) as one:
        one.until("entry 1")
        assert [entry["seq"] for entry in one.entries] == [1]
        run = one.run
        lecture.seq = 0
        lecture.tell()
        one.until("entry 0")
        assert one.run != run and [entry["seq"] for entry in one.entries] == [0]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("do", "POST", 404),
        ("recording", "GET", 404),
        ("..%2f..%2fetc%2fpasswd", "GET", 404),
        ("events", "PUT", 405),
    ],
)
def test_nothing_is_commanded_here(lecture: Class, path: str, method: str, status: int) -> None:
    answer = httpx.request(method, lecture.url(path), json={"next": True}, trust_env=False)
    assert answer.status_code == status
    assert not answer.headers.get("access-control-allow-origin")


def test_the_token_is_asked_for_with_what_to_do(lecture: Class) -> None:
    """The page comes whole with it, and without the lesson in it."""
    answer = httpx.get(lecture.url("").replace(lecture.sharing.token, "x"), trust_env=False)
    assert answer.status_code == 403 and "scan the code again" in answer.text
    page = httpx.get(lecture.url(""), trust_env=False)
    assert (
        page.status_code == 200 and "page.js" in page.text and "frame-ancestors 'none'" in str(page.headers)
    )
    others = re.findall(r'(?:src|href)="(?!data:)([^"]*)"', page.text)
    assert sorted(others) == ["page.css", "page.js"], "one script and one style, and no other file"
    for name in others:
        plain = httpx.get(lecture.url(name), trust_env=False, headers={"Accept-Encoding": "identity"})
        assert plain.text == httpx.get(lecture.url(name), trust_env=False).text


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[" * 400, b"\xff", b'{"voter":1,"question":"","choice":0}', b"null"]
    + [
        json.dumps({"voter": "v", "question": "q", "choice": bad}).encode()
        for bad in (None, True, "1", 1.0, [1])
    ]
    + [b'{"voter":"v","question":"q","choice":1,"next":true}'],
)
def test_a_vote_is_a_vote_or_is_refused(body: bytes) -> None:
    with pytest.raises(Refused) as refused:
        parse_vote(body)
    assert refused.value.status == 400


def raw(lecture: Class, text: bytes) -> bytes:
    """What is answered to these bytes, until the connection ends or nothing more comes."""
    with socket.create_connection((HOST, lecture.sharing.port), 10) as connection:
        connection.sendall(text)
        return connection.recv(4096)


def test_tricks_with_headers_and_bodies_end_there(lecture: Class) -> None:
    """Two hosts, two lengths, a body without end, a header without end, HTTP/2: all refused; others go on."""
    vote = f"POST /vote?token={lecture.sharing.token} HTTP/1.1\r\nHost: localhost\r\n".encode()
    get = f"GET /?token={lecture.sharing.token} HTTP/1.1\r\n".encode()
    assert b" 400 " in raw(lecture, get + b"Host: localhost\r\nHost: evil.example\r\n\r\n")
    assert b" 400 " in raw(lecture, vote + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
    assert b" 413 " in raw(lecture, vote + b"Content-Length: 100000000\r\n\r\n" + b"x" * 1000)
    assert b" 413 " in raw(
        lecture, vote + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 0x400 + b"\r\n"
    )
    assert b" 431 " in raw(lecture, get + b"X: " + b"x" * 70000)
    events = get.replace(b"/?", b"/events?")
    assert b" 406 " in raw(lecture, events + b"Host: localhost\r\n\r\n"), "nothing is unpacked for anyone"
    assert b" 403 " in raw(lecture, get + b"Host: evil.example\r\n\r\n")
    with (
        httpx.Client(http1=False, http2=True, trust_env=False, timeout=10) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get(lecture.url(""))
    with follower(lecture) as one:
        one.until("entry 0")


def test_a_reader_that_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds a connection and a message, for a minute at most."""
    monkeypatch.setattr(followers, "STALL_S", 0.05)
    cut: list[str] = []

    async def run() -> None:
        app = followers.Followers("abcdefgh", [], followers.Tell())
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/events",
            "query_string": b"token=abcdefgh",
            "headers": [(b"host", b"localhost"), (b"accept-encoding", b"gzip")],
            "pylitefs.cut": lambda: cut.append("cut"),
        }

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        async def receive() -> MutableMapping[str, Any]:
            await asyncio.Event().wait()
            raise AssertionError

        async with asyncio.timeout(10):
            await app.app(scope, receive, send)

    asyncio.run(run())
    assert cut == ["cut"]


@pytest.mark.full
@pytest.mark.timeout(600)
def test_ten_thousand_connections_and_readers_that_do_not_read_hold_nobody_up(lecture: Class) -> None:
    """One student's, from one address; another still comes, follows, and votes."""
    request = f"GET /events?token={lecture.sharing.token} HTTP/1.1\r\nHost: localhost\r\n".encode()
    request += b"Accept-Encoding: gzip\r\n\r\n"
    big = secrets.token_hex(100_000)
    held = min(1500, limits.open_files_limit() - 200)
    """So many stay at once, more than the server takes; all come."""
    with ExitStack() as stack:
        for number in range(10_000):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(20)
            connection.bind(("127.0.0.66", 0))
            connection.connect((HOST, lecture.sharing.port))
            if number % 2:
                try:
                    connection.send(request)  # And it never reads. Every other one says nothing.
                except OSError:
                    pass  # It was turned away.
            if number >= held:
                connection.close()
        began = time.monotonic()
        for _ in range(20):
            lecture.sharing.emit(Entry(lecture.seq, 0.0, "note", text=big), [])
            lecture.seq += 1
        assert time.monotonic() - began < 1.0 * slack(), "the lecture waits for nobody"
        lecture.ask("Who is still there?")
        with follower(lecture) as ada:
            ada.until("Who is still there?")
            assert lecture.vote(ada, 1).status_code == 200
            lecture.counts(0, 1, 0)
