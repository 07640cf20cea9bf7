"""What the node and the applier process say to each other: JSON objects, one a packet of a Unix socket."""

from collections.abc import Callable
from typing import Protocol

MAX_MESSAGE = 64 * 1024

Message = dict[str, object]


def text_of(message: Message, key: str) -> str:
    """A field that is text."""
    value = message[key]
    assert isinstance(value, str)
    return value


def seconds_of(message: Message, key: str) -> float | None:
    """A field that is a number of seconds, or absent or null."""
    value = message.get(key)
    assert value is None or isinstance(value, int | float)
    return value


class Channel(Protocol):
    """What a call needs of the node's side while it waits for locks."""

    def begin_wait(self, timeout: float | None, holders: Callable[[], str]) -> None:
        """From now on it waits; `holders()` tells for whom."""

    def rest(self, seconds: float, why: str) -> None:
        """Sleep in the middle of a transaction that cannot be written on; the call ends with the node."""

    def pause(self, seconds: float) -> None:
        """Sleep (0: let others run). BusyError after the timeout; the call ends when the node is gone."""
