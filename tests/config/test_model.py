"""The keys of `litefs.yml`: their types and defaults, and what Go takes as a duration."""

import threading
from pathlib import Path

import pytest
from pydantic import ValidationError

from pylitefs.config.model import LONGEST_S, Config, HttpConfig, LeaseConfig, parse_duration, parse_size
from pylitefs.config.token import VARIABLE, token_of_environment
from pylitefs.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("500ms", 0.5),
        ("2us", 2e-6),
        ("3ns", 3e-9),
    ],
)
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "10x", "-1s", "1s "])
def test_what_go_would_not_take_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("addr", "host_port"),
    [(":20202", ("", 20202)), ("10.0.0.1:80", ("10.0.0.1", 80)), ("[::1]:20202", ("::1", 20202))],
)
def test_an_address_is_a_host_and_a_port(addr: str, host_port: tuple[str, int]) -> None:
    """An empty host is every interface; brackets are IPv6's and no part of the host."""
    assert HttpConfig(addr=addr).host_port == host_port


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("http", {"addr": "20202"}, "write :20202 or HOST:PORT"),
        ("http", {"addr": ":202020"}, "write :20202 or HOST:PORT"),
        ("http", {"addr": ":65536"}, "the highest port is 65535"),
        ("http", {"addr": "a b:1"}, "write :20202 or HOST:PORT"),
        ("http", {"addr": "http://a:1/"}, "a URL and no address: write a:1"),
        ("http", {"addr": "::1:20202"}, "write :20202 or HOST:PORT"),
        ("http", {"token": "with spaces, and long"}, "not a token"),
        ("data", {"retention": "9" * 5000 + "h"}, "the longest duration"),
        ("data", {"dir": ""}, "required: name a directory"),
        ("data", {"retention": "10"}, "not a duration"),
        ("data", {"retention_behind_bytes": "1GiB"}, "not a size: write bytes"),
        ("data", {"retention_behind_bytes": "-1"}, "not a size"),
        ("data", {"retention_behind_files": "-1"}, "greater than or equal to 0"),
        ("lease", {"type": "raft"}, "'static'"),
        ("log", {"format": "xml"}, "'text' or 'json'"),
        ("fuse", {"nobody": "1"}, "Extra inputs"),
    ],
)
def test_a_value_that_means_nothing_is_refused(section: str, values: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate({section: values})


def test_directories_are_absolute_whatever_the_node_s_working_directory_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate({"fuse": {"dir": "mnt"}})
    monkeypatch.chdir("/")
    assert config.fuse.dir == tmp_path / "mnt"


def test_the_hostname_that_is_shown_is_the_url_s_where_none_is_written() -> None:
    assert LeaseConfig(advertise_url="http://n1:20202").shown_hostname == "n1"
    assert LeaseConfig(advertise_url="http://n1:20202", hostname="other").shown_hostname == "other"
    assert LeaseConfig().shown_hostname == ""


def test_the_longest_duration_can_be_waited_for() -> None:
    """It ends within what Python's waits can take."""
    assert threading.TIMEOUT_MAX > LONGEST_S == pytest.approx(parse_duration("2542140h"))


def test_a_token_is_the_file_s_or_the_environment_s_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in the config as Python shows it, nor in what is said of a wrong one."""
    monkeypatch.setenv(VARIABLE, "of-the-environment")
    assert HttpConfig().shown_token == "of-the-environment"
    config = Config(http=HttpConfig(token="of-the-config-file"))
    assert config.http.shown_token == "of-the-config-file"
    assert "of-the-config" not in repr(config)
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(ConfigError, match=f"{VARIABLE}: not a token") as error:
        token_of_environment()
    assert "short" not in str(error.value)


def test_a_config_is_never_changed_but_copied() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.exit_on_error = False
    assert config.model_copy(update={"exit_on_error": False}).exit_on_error is False and config.exit_on_error


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), (4096, 4096), ("512KB", 512_000), ("1GB", 10**9), ("2B", 2)]
)
def test_a_size_is_bytes_or_has_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size
