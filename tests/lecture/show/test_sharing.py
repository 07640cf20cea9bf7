"""The lecture's side of --share: the child, the link, the code; and that nobody is waited for."""

import base64
import os
import signal
import socket
import time

import pytest

from pylitefs.cluster.cluster import wait_until
from pylitefs.errors import ConfigError
from pylitefs.lecture.model import Entry
from pylitefs.lecture.show import addresses
from pylitefs.lecture.show.sharing import Sharing, control, new_token, qr_image, qr_text
from tests.lecture import recordings
from tests.slack import slack

URL = "http://192.168.178.123:8080/?token=abcdefgh2345"


def test_a_child_that_hangs_or_is_gone_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """The lecture goes on at once, and so it ends; the child leaves with it."""
    sharing = Sharing(recordings.HEADER, ("127.0.0.1", 0))
    sharing.start()
    pid = sharing.pid
    try:
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        for seq in range(1000):
            sharing.emit(Entry(seq, 0.0, "note", text="x" * 10_000), [])
        assert time.monotonic() - began < 2.0 * slack()
        os.kill(pid, signal.SIGKILL)
        sharing.emit(Entry(1000, 0.0, "note"), [])
        assert wait_until(lambda: "students see nothing more" in caplog.text, 20)
    finally:
        sharing.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_port_that_is_taken_is_said() -> None:
    """With what to do about it, and no child stays."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sharing = Sharing(recordings.HEADER, ("127.0.0.1", taken.getsockname()[1]))
        with pytest.raises(ConfigError, match=r"--share 127.0.0.1:\d+: Address already in use; name another"):
            sharing.start()
    assert sharing.pid == 0


def test_a_token_is_typed_from_the_screen() -> None:
    """A new one each time, of letters that nobody mixes up; one of your own has to be as good."""
    assert new_token() != new_token()
    assert len(new_token()) == 12 and not set(new_token()) & set("0O1lIio")
    for bad in ("short", "with space", "x" * 65, "a/b/c/d/e"):
        with pytest.raises(ConfigError, match="8 to 64"):
            Sharing(recordings.HEADER, ("", 0), token=bad)
    assert Sharing(recordings.HEADER, ("", 0), token="course-2026").token == "course-2026"


def test_the_link_names_what_students_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several addresses the likeliest is the code; the others are said, with their interfaces."""
    found = [("10.1.2.3", "eth0"), ("192.168.7.1", "wlan0")]
    monkeypatch.setattr(addresses, "reachable", lambda host: [] if host == "none" else found)
    sharing = Sharing(recordings.HEADER, ("", 8080), token="course-2026")
    link = sharing.link()
    assert link["url"] == "http://10.1.2.3:8080/?token=course-2026"
    assert link["others"] == ["http://192.168.7.1:8080/?token=course-2026 (wlan0)"]
    assert Sharing(recordings.HEADER, ("none", 8080)).link() == {"url": "", "code": "", "others": []}
    inside = Sharing(recordings.HEADER, ("", 8080), token="course-2026", host="lectern.example")
    assert inside.links == [("http://lectern.example:8080/?token=course-2026", "")]


def test_the_code_is_an_image_and_text() -> None:
    """Black on white with its margin; the same in a terminal, in half-blocks."""
    kind, _, data = qr_image(URL).partition(",")
    assert kind == "data:image/svg+xml;base64"
    svg = base64.b64decode(data).decode()
    assert svg.startswith("<svg") and "viewBox" in svg and "script" not in svg
    assert len(qr_text(URL).splitlines()) in range(15, 25)


def test_what_the_server_has_to_know_of_an_entry() -> None:
    """A run, a question, its end: nothing about the answer."""
    asked = {"text": "?", "choices": ["a", "b"], "answer": None, "why": ""}
    told = {**asked, "answer": 1, "why": "so"}
    assert control(Entry(0, 0.0, "note")) == ['!{"begin": true}']
    assert control(Entry(7, 0.0, "question", set={"question": asked})) == ['!{"ask": [7, 2]}']
    assert control(Entry(8, 0.0, "answer", set={"question": told})) == ['!{"close": true}']
    assert control(Entry(9, 0.0, "command", set={"question": None})) == ['!{"close": true}']
    assert control(Entry(9, 0.0, "command", set={"mode": "paused"})) == []
