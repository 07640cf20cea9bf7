"""Where log lines go and what they look like.

The rule: the rest of the program says `logging.getLogger("pylitefs")` and nothing more; `log.format`,
`log.timestamp` and `log.debug` are decided here. Colours only for a person at a terminal,
which no line of the log steers. Where the log is JSON, so is the error that a command ends with.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pylitefs.shown import shown, shown_lines

if TYPE_CHECKING:
    from pylitefs.config import LogConfig


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


class TextFormatter(logging.Formatter):
    """`level=INFO msg="…"`, LiteFS's own look, with `time=…` first where it is asked for."""

    def __init__(self, timestamp: bool) -> None:
        super().__init__()
        self._timestamp = timestamp

    def format(self, record: logging.LogRecord) -> str:
        time = f"time={_when(record)} " if self._timestamp else ""
        return shown(
            f"{time}level={record.levelname} msg={json.dumps(_message(self, record), ensure_ascii=False)}"
        )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, msg."""

    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _when(record), "level": record.levelname, "msg": _message(self, record)}
        return shown(json.dumps(line, ensure_ascii=False))


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    return f"{text}\n{formatter.formatException(record.exc_info)}" if record.exc_info else text


class TerminalFormatter(logging.Formatter):
    """For rich, which adds the rest of a line."""

    def format(self, record: logging.LogRecord) -> str:
        return shown_lines(_message(self, record))


def set_up(config: "LogConfig") -> None:
    """Send the program's log to stderr as `config` says. Libraries' logs are left out below warnings."""
    handler: logging.Handler
    if config.format == "json":
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
    elif sys.stderr.isatty():
        # Here and not above: most commands have no log.
        from rich.console import Console
        from rich.logging import RichHandler

        handler = RichHandler(console=Console(stderr=True), show_time=config.timestamp, show_path=False)
        handler.setFormatter(TerminalFormatter())
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(TextFormatter(config.timestamp))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("pylitefs").setLevel(logging.DEBUG if config.debug else logging.INFO)


def is_json() -> bool:
    """Whether the log was set up to be JSON."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)
