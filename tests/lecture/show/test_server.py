"""The lecture's server: who may ask, what is sent, and what the buttons do."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from pylitefs.errors import ConfigError, LessonError
from pylitefs.lecture.language.verbs import VERBS
from pylitefs.lecture.model import Json
from pylitefs.lecture.show.changed_rows import with_rows
from pylitefs.lecture.show.page_files import page_files
from pylitefs.lecture.show.server import LectureServer
from tests.lecture import recordings
from tests.lecture.scripted import ScriptedSession, live, recorded

Live = tuple[LectureServer, ScriptedSession]


@pytest.fixture
def lecture() -> Iterator[Live]:
    with live() as found:
        yield found


def url(server: LectureServer, path: str, token: str | None = None) -> str:
    return f"http://127.0.0.1:{server.port}/{path}?token={server.token if token is None else token}"


def post(server: LectureServer, body: object, **headers: str) -> httpx.Response:
    return httpx.post(url(server, "do"), json=body, headers=headers, trust_env=False, timeout=10)


@dataclass
class Message:
    event: str
    id: str
    data: Json


def read_events(server: LectureServer, count: int, last_id: str = "") -> list[Message]:
    """What comes after `last_id`, until so many lines of a recording are there."""
    found: list[Message] = []
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        client.stream("GET", url(server, "events"), headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        event = id = ""
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                id = value
            elif name == "data":
                found.append(Message(event or "message", id, json.loads(value)))
            elif not line:
                event = id = ""
                if len(lines_of(found)) >= count:
                    break
    return found


def lines_of(messages: list[Message]) -> list[Json]:
    return [message.data for message in messages if message.event == "message"]


def test_the_url_that_is_printed_shows_the_page(lecture: Live) -> None:
    """It holds the token, which is long and another each time."""
    server, _ = lecture
    answer = httpx.get(server.url, trust_env=False)
    assert answer.status_code == 200
    assert '<script type="module" src="app.js">' in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert len(server.token) >= 32
    assert server.token != LectureServer(recordings.HEADER).token


def test_the_modules_are_there(lecture: Live) -> None:
    """Every file of the page, by its type; nothing else of the package, whatever the name."""
    server, _ = lecture
    for name, data in page_files().items():
        answer = httpx.get(url(server, name, ""), trust_env=False)
        assert answer.content == data
    assert {"index.html", "app.js", "style.css"} <= page_files().keys()
    for name in ("nothing.js", "..%2fserver.py", "%2e%2e/server.py", "__init__.py"):
        assert httpx.get(url(server, name), trust_env=False).status_code == 404


@pytest.mark.parametrize("path", ["", "events", "recording"])
@pytest.mark.parametrize("token", ["", "wrong", "wröng"])
def test_nothing_without_the_token(lecture: Live, path: str, token: str) -> None:
    """Neither the page nor the events."""
    answer = httpx.get(url(lecture[0], path, token), trust_env=False)
    assert answer.status_code == 403
    assert "open the URL" in answer.json()["error"]


def test_nothing_is_done_without_the_token(lecture: Live) -> None:
    """The session hears nothing of it."""
    server, session = lecture
    assert httpx.post(url(server, "do", "x"), json={"next": True}, trust_env=False).status_code == 403
    assert session.asked == []


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_other_origins_are_refused(lecture: Live, origin: str) -> None:
    """Also other pages of this machine, and although they have the token."""
    server, session = lecture
    assert post(server, {"next": True}, Origin=origin).status_code == 403
    answer = httpx.get(url(server, "events"), headers={"Origin": origin}, trust_env=False)
    assert answer.status_code == 403
    assert session.asked == []


@pytest.mark.parametrize("host", ["localhost:9", "127.0.0.1", "127.3.2.1:80", "[::1]:4711", "LOCALHOST"])
def test_any_loopback_host_and_port(lecture: Live, host: str) -> None:
    """As behind an SSH tunnel, where the browser knows another port; its origin goes with it."""
    server, session = lecture
    assert post(server, {"next": True}, Host=host, Origin=f"http://{host}").status_code == 200
    assert session.asked == ["next"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:80", "localhost.example", "[::2]"]
)
def test_other_hosts_are_refused(lecture: Live, host: str) -> None:
    """A name of somebody else's that points here (DNS rebinding)."""
    server, session = lecture
    assert post(server, {"next": True}, Host=host).status_code == 403
    assert httpx.get(url(server, "app.js"), headers={"Host": host}, trust_env=False).status_code == 403
    assert session.asked == []


def test_a_port_that_is_taken_is_said(lecture: Live) -> None:
    """Before anything else begins."""
    with pytest.raises(ConfigError, match="Address already in use"):
        LectureServer(recordings.HEADER, ("127.0.0.1", lecture[0].port)).start()


def test_events_begin_with_what_was(lecture: Live) -> None:
    """Hello, the header, then the dumps before the entries that name them."""
    server, session = lecture
    session.next()
    session.next()
    session.next()
    session.next()
    messages = read_events(server, 9)
    assert messages[0].event == "hello"
    assert messages[0].data["live"] is True
    assert [one["verb"] for one in messages[0].data["verbs"]] == list(VERBS)
    lines = lines_of(messages)
    assert lines[0]["title"] == recordings.HEADER["title"]
    known: set[str] = set()
    for line in lines[1:]:
        if "dump" in line:
            known.add(line["dump"]["id"])
        else:
            assert known.issuperset(line["entry"]["dumps"])


def test_events_go_on_where_they_broke_off(lecture: Live) -> None:
    """With Last-Event-ID, as a browser that connects again says."""
    server, session = lecture
    session.next()
    session.next()
    first = [message for message in read_events(server, 3) if message.event == "message"]
    again = [message for message in read_events(server, 1, first[1].id) if message.event == "message"]
    assert again[0].id == first[2].id
    assert again[0].data == first[2].data


def test_events_come_as_they_happen(lecture: Live) -> None:
    """A reader that waits hears of the next step."""
    server, _ = lecture
    found: list[Message] = []
    reader = threading.Thread(target=lambda: found.extend(read_events(server, 2)))
    reader.start()
    assert post(server, {"next": True}).json()["last"] == "0-2"
    reader.join(10)
    assert any("entry" in line for line in lines_of(found))


def test_buttons(lecture: Live) -> None:
    """Each request is one call of the session."""
    server, session = lecture
    for body in ({"next": True}, {"answer": 2}, {"line": "partition n2"}, {"pause": True}, {"run": True}):
        assert post(server, body).status_code == 200
    assert session.asked == ["next", ("answer", 2), "partition n2", "pause", "run"]


def test_what_cannot_be_done_is_said(lecture: Live) -> None:
    """The sentence of the error, for the page to show."""
    answer = post(lecture[0], {"line": "explode n2"})
    assert answer.status_code == 409
    assert answer.json()["error"] == "there is no command 'explode n2'"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"next": True, "answer": 1},
        {"stop": True},
        {"answer": "1"},
        {"answer": True},
        {"line": 3},
        "next",
    ],
)
def test_nonsense_is_refused(lecture: Live, body: object) -> None:
    """With 400, and without a call."""
    server, session = lecture
    assert post(server, body).status_code == 400
    assert session.asked == []


def test_long_bodies_and_no_json(lecture: Live) -> None:
    """Neither is taken."""
    server, _ = lecture
    assert post(server, {"line": "note " + "x" * 70_000}).status_code == 413
    assert httpx.post(url(server, "do"), content=b"\xff{", trust_env=False).status_code == 400


def test_one_thing_at_a_time(lecture: Live) -> None:
    """A second press while the first is being done is refused, so it cannot skip a question."""
    server, session = lecture
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(10)

    session.next = slow  # type: ignore[method-assign]
    first = threading.Thread(target=post, args=(server, {"next": True}))
    first.start()
    assert begun.wait(10)
    answer = post(server, {"next": True})
    go_on.set()
    first.join(10)
    assert answer.status_code == 409
    assert answer.json()["error"] == "still busy with next"
    assert post(server, {"line": "run"}).status_code == 200


def test_the_first_step_is_done_behind_what_was_recorded_before(lecture: Live) -> None:
    """Nobody asks for it; meanwhile a press does nothing, and the page has the lesson's end to show."""
    server, session = lecture
    begun, go_on = threading.Event(), threading.Event()
    usual = session.next

    def slow() -> None:
        begun.set()
        assert go_on.wait(10)
        usual()

    session.next = slow  # type: ignore[method-assign]
    lines = recordings.lines(recordings.made())
    server.preview(lines)
    server.begin()
    assert begun.wait(10) and "still busy with next" in post(server, {"next": True}).json()["error"]
    answer = httpx.get(url(server, "preview"), trust_env=False, timeout=10)
    assert [json.loads(line) for line in answer.text.splitlines()] == lines
    assert httpx.get(url(server, "preview", "x"), trust_env=False, timeout=10).status_code == 403
    go_on.set()
    messages = read_events(server, 2)
    assert messages[0].data["preview"] is True
    assert lines_of(messages)[1]["entry"]["name"] == "cluster" and session.asked == ["next"]


def test_a_first_step_that_cannot_be_done_is_told_to_the_page(lecture: Live) -> None:
    """Nobody has asked for it, so there is no answer that could say so; Next tries again."""
    server, session = lecture

    def fails() -> None:
        raise LessonError("n1 does not start")

    usual, session.next = session.next, fails  # type: ignore[method-assign]
    server.begin()
    with (
        httpx.Client(trust_env=False, timeout=10) as client,
        client.stream("GET", url(server, "events")) as found,
    ):
        lines = found.iter_lines()
        assert next(line for line in lines if line == "event: problem")
        assert next(lines) == 'data: "n1 does not start"'
    session.next = usual  # type: ignore[method-assign]
    assert post(server, {"next": True}).status_code == 200


def test_again_begins_a_new_run(lecture: Live) -> None:
    """A reader of the old one is told to forget it, also one that connects again."""
    server, session = lecture
    session.next()
    session.next()
    old = read_events(server, 4)[-1].id
    assert post(server, {"again": 1}).status_code == 200
    messages = read_events(server, 2, old)
    assert [message.event for message in messages[:3]] == ["hello", "reset", "message"]
    assert lines_of(messages)[0]["title"] == recordings.HEADER["title"]
    assert lines_of(messages)[1]["entry"]["seq"] == 0


def test_a_recording_is_served_and_cannot_be_acted_on() -> None:
    """The same lines, with the rows beside its LTX files, and no nodes."""
    lines = list(with_rows(recordings.lines(recordings.made())))
    with recorded() as server:
        messages = read_events(server, len(lines))
        assert messages[0].data["live"] is False
        assert lines_of(messages) == json.loads(json.dumps(lines))
        answer = post(server, {"next": True})
        assert (answer.status_code, answer.json()["error"]) == (409, "this is a recording: it has no nodes")


def test_the_lines_so_far_are_a_recording(lecture: Live) -> None:
    """To keep what a class has seen."""
    server, session = lecture
    session.next()
    lines = httpx.get(url(server, "recording"), trust_env=False).text.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == ["pylitefs", "entry"]


def test_it_stops_with_readers(lecture: Live) -> None:
    """They are told that this was the end."""
    server, _ = lecture
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(f"GET /events?token={server.token} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        begun = b""
        while b"hello" not in begun:
            begun += client.recv(65536)
        assert server.stop()
        rest = b""
        while data := client.recv(65536):
            rest += data
    assert b"event: end" in rest
