"""`--share`: where students follow, and what the lecturer's terminal says of it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pylitefs.cli.lecture import lecture
from pylitefs.cli.lecture_page import IN_CONTAINER
from pylitefs.cli.lecture_share import Share, checked_share, say, shared
from pylitefs.errors import ConfigError
from pylitefs.lecture.show import addresses
from pylitefs.lecture.show.sharing import Sharing
from tests.lecture import recordings

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        (":8080", ("", 8080)),
        ("0.0.0.0:8080", ("", 8080)),
        ("[::]:8080", ("", 8080)),
        ("192.168.1.5:0", ("192.168.1.5", 0)),
        ("localhost:8080", ("127.0.0.1", 8080)),
        ("[fd00::5]:8080", ("fd00::5", 8080)),
    ],
)
def test_an_address_of_this_machine_or_all(text: str, bind: tuple[str, int]) -> None:
    assert checked_share(text, "t") == Share(bind, token="t")
    assert checked_share(None, "") is None


@pytest.mark.parametrize("text", ["8080", "http://x:80", "lectern.example:8080", ":99999"])
def test_what_is_no_address_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match="write"):
        checked_share(text, "")


def test_in_a_container_the_host_is_what_students_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the host's address, which nothing in the container can listen on."""
    monkeypatch.setenv(IN_CONTAINER, "1")
    assert checked_share("192.168.1.5:8080", "") == Share(("", 8080), "192.168.1.5")


def test_a_headless_run_is_not_followed() -> None:
    found = CliRunner().invoke(lecture, ["commit", "--headless", "--share", ":8080"])
    assert isinstance(found.exception, ConfigError) and "--headless" in str(found.exception)


def test_the_terminal_says_where(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    """Several addresses in words, a loopback one as what it is, and that there is none."""
    found = [("10.1.2.3", "eth0"), ("192.168.7.1", "wlan0")]
    monkeypatch.setattr(addresses, "reachable", lambda host: {"": found, "none": []}.get(host, [(host, "")]))

    def said(host: str) -> str:
        say(Sharing(recordings.HEADER, (host, 8080), token="course-2026"), with_code=True)
        return capsys.readouterr().out

    several = said("")
    assert "Students follow at http://10.1.2.3:8080/?token=course-2026 (eth0)" in several
    assert "2 addresses" in several and "192.168.7.1" in several and "--share ADDRESS:8080" in several
    assert "only this machine" in said("127.0.0.1")
    assert "no network address" in said("none")


def test_without_it_nothing_is_started() -> None:
    emitted: list[object] = []
    with shared(recordings.HEADER, Path(), None, lambda entry, dumps: emitted.append(entry)) as (
        emit,
        sharing,
    ):
        assert sharing is None
        emit(recordings.made().entries[0], [])
    assert len(emitted) == 1
