"""What the node and the applier process say to each other: JSON objects, one a packet of a Unix socket."""

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
