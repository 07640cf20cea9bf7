"""Writes every tracepoint as a line: to the log (`-tracing`) or to a rotated file (`tracing.path`).

The rule: it is a listener like any other and knows only what `trace.py` tells it.
"""

import gzip
import logging
import logging.handlers
import os
import shutil
from pathlib import Path

from pylitefs.config import TracingConfig
from pylitefs.errors import ConfigError
from pylitefs.trace import Event, Listener

_MEGABYTE = 1 << 20


def line(event: Event) -> str:
    """`ltx.commit db=a.db txid=000000000000001f pid=77 size=1043`."""
    fields = [event.name]
    if event.database:
        fields.append(f"db={event.database}")
    if event.txid:
        fields.append(f"txid={event.txid:016x}")
    if event.pid:
        fields.append(f"pid={event.pid}")
    return " ".join([*fields, *(f"{key}={value}" for key, value in event.payload.items())])


def to_log(event: Event) -> None:
    """A listener for `-tracing`."""
    logging.getLogger("pylitefs").info("%s", line(event))


def to_file(config: TracingConfig) -> Listener:
    """A listener that writes to `tracing.path`: `max-count` old files of `max-size` MB each."""
    path = Path(config.path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=config.max_size * _MEGABYTE, backupCount=config.max_count
        )
    except OSError as error:
        raise ConfigError(f"tracing.path: {path} cannot be written: {error.strerror}") from None
    if config.compress:
        handler.namer = lambda name: f"{name}.gz"
        handler.rotator = _compress
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(message)s", "%Y-%m-%dT%H:%M:%S"))

    def write(event: Event) -> None:
        record = logging.LogRecord("trace", logging.INFO, "", 0, line(event), None, None)
        record.created, record.msecs = event.wall_ns / 1e9, event.wall_ns // 1_000_000 % 1000
        handler.handle(record)

    return write


def _compress(source: str, target: str) -> None:
    with open(source, "rb") as plain, gzip.open(target, "wb") as packed:
        shutil.copyfileobj(plain, packed)
    os.remove(source)
