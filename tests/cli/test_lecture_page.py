"""Where a lecture's page listens, how it is opened, how it ends."""

import sys
from typing import Any, cast

import pytest

from pylitefs.cli import lecture_page
from pylitefs.errors import ConfigError


def test_a_container_listens_where_a_published_port_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lecture_page.checked_bind("localhost", 0) == ("127.0.0.1", 0)
    assert lecture_page.checked_bind("::1", 8000) == ("::1", 8000)
    monkeypatch.setenv(lecture_page.IN_CONTAINER, "1")
    assert lecture_page.checked_bind("0.0.0.0", 8000) == ("0.0.0.0", 8000)
    with pytest.raises(ConfigError):
        lecture_page.checked_bind("nonsense", 0)


def test_a_browser_opens_only_where_there_is_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not lecture_page.has_browser()
    monkeypatch.setenv("DISPLAY", ":0")
    assert lecture_page.has_browser()


class Server:
    """A server that notes what is asked of it."""

    url = "http://127.0.0.1:1/?token"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.mark.parametrize("browser", [True, False])
def test_a_page_is_served_until_ctrl_c_and_then_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], browser: bool
) -> None:
    server = Server()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pylitefs.cli.lecture_page.time.sleep", interrupted)
    monkeypatch.setattr("pylitefs.cli.lecture_page.has_browser", lambda: True)
    monkeypatch.setattr("pylitefs.cli.lecture_page.webbrowser.open", server.calls.append)
    lecture_page.show(cast(Any, server), browser=browser)
    assert server.calls == ["start", *([server.url] if browser else []), "stop"]
    assert capsys.readouterr().out == f"{server.url}\nCtrl-C ends it.\n\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_others_than_this_machine_are_kept_out(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.delenv(lecture_page.IN_CONTAINER, raising=False)
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
        lecture_page.checked_bind(host, 0)
