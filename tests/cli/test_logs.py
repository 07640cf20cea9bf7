"""Where log lines go and what they look like: `log.format`, `log.timestamp`, `log.debug`."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from rich.logging import RichHandler

from pylitefs.cli.logs import JsonFormatter, TextFormatter, set_up
from pylitefs.config import LogConfig

AT = 1_700_000_000.123
TIME = "2023-11-14T22:13:20.123Z"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The root logger, on a machine in Tokyo; it is put back: the tests' own log goes through it."""
    root, own = logging.getLogger(), logging.getLogger("pylitefs")
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    handlers, levels = list(root.handlers), (root.level, own.level)
    root.handlers.clear()
    yield root
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    monkeypatch.undo()
    time.tzset()


def record(text: str = 'a "b"\nc é', error: Exception | None = None) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    one = logging.LogRecord("pylitefs", logging.WARNING, "", 0, "%s", (text,), info)
    one.created = AT
    return one


@pytest.mark.parametrize(("timestamp", "start"), [(True, f"time={TIME} "), (False, "")])
def test_a_line_of_text_is_litefs_s_own_look(timestamp: bool, start: str) -> None:
    """One line, whatever the message holds."""
    line = TextFormatter(timestamp).format(record())
    assert line == f'{start}level=WARNING msg="a \\"b\\"\\nc é"'


def test_a_line_of_json_is_one_object() -> None:
    line = JsonFormatter().format(record())
    assert "\n" not in line and "é" in line
    assert json.loads(line) == {"time": TIME, "level": "WARNING", "msg": 'a "b"\nc é'}


@pytest.mark.parametrize("formatter", [TextFormatter(False), JsonFormatter()])
def test_an_error_that_was_caught_is_told_with_its_kind(formatter: logging.Formatter) -> None:
    line = formatter.format(record("failed", KeyError("x")))
    assert "failed" in line and "KeyError: 'x'" in line and "\n" not in line


@pytest.mark.parametrize(("format_", "kind"), [("text", TextFormatter), ("json", JsonFormatter)])
def test_the_log_has_the_form_asked_for(
    root: logging.Logger, capsys: pytest.CaptureFixture[str], format_: str, kind: type[logging.Formatter]
) -> None:
    set_up(LogConfig.model_validate({"format": format_}))
    (handler,) = root.handlers
    assert type(handler.formatter) is kind
    logging.getLogger("pylitefs").info("said")
    found = capsys.readouterr()
    assert "said" in found.err and not found.out


@pytest.mark.parametrize("debug", [True, False])
def test_debug_is_the_program_s_own_and_libraries_only_warn(
    capsys: pytest.CaptureFixture[str], debug: bool
) -> None:
    set_up(LogConfig(debug=debug))
    for name in ("pylitefs", "httpx"):
        for level in (logging.DEBUG, logging.INFO, logging.WARNING):
            logging.getLogger(name).log(level, f"{name} {logging.getLevelName(level)}")
    said = [line.split('"')[1] for line in capsys.readouterr().err.splitlines()]
    own = [*(["pylitefs DEBUG"] if debug else []), "pylitefs INFO", "pylitefs WARNING"]
    assert said == [*own, "httpx WARNING"]


def test_colours_are_for_a_person_at_a_terminal(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    set_up(LogConfig())
    assert isinstance(root.handlers[0], RichHandler)
    set_up(LogConfig(format="json"))
    assert isinstance(root.handlers[0].formatter, JsonFormatter), "json is for a program, also there"


def test_set_up_twice_is_set_up_once(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        set_up(LogConfig())
    logging.getLogger("pylitefs").warning("once")
    assert capsys.readouterr().err.count("once") == 1
