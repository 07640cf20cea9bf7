"""What the node and the applier process say to each other: JSON objects, one a packet of a Unix socket.

One message is none, `apply_pages`, for it brings the pages themselves:

    0, length of the name, page size, commit, TXID, timeout (NaN: none), count
    the name | page numbers | pages

The rule: the first byte tells which it is. JSON begins with a brace.
"""

import json
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from pylitefs.ltx.short import ShortTransaction

if TYPE_CHECKING:
    from pylitefs.store.applying import KnownWal

MAX_MESSAGE = 64 * 1024

Message = dict[str, object]

APPLY_PAGES = "apply_pages"
_HEAD = struct.Struct("<BBIIQdI")
_PGNO_SIZE = 4


def encode(message: Message) -> bytes:
    """A packet."""
    return json.dumps(message).encode()


def decode(packet: bytes) -> Message:
    """What a packet says; of `apply_pages` `pages` is (page number, its bytes) for each."""
    if packet[0]:
        message: Message = json.loads(packet)
        return message
    _, name_size, page_size, commit, txid, timeout, count = _HEAD.unpack_from(packet)
    view = memoryview(packet)
    at = _HEAD.size + name_size
    name = packet[_HEAD.size : at].decode("utf-8", "surrogateescape")
    pgnos = struct.unpack_from(f"<{count}I", packet, at)
    starts = range(at + count * _PGNO_SIZE, len(packet), page_size)
    return {
        "op": APPLY_PAGES,
        "db": name,
        "timeout": None if math.isnan(timeout) else timeout,
        "page_size": page_size,
        "commit": commit,
        "txid": txid,
        "pages": [(pgno, view[start : start + page_size]) for pgno, start in zip(pgnos, starts, strict=True)],
    }


def apply_request(
    database: str, paths: Sequence[Path], timeout: float | None, known: "KnownWal | None" = None, **how: bool
) -> Message:
    """Apply LTX files that continue each other; `how` is `remove_wal`, `verified`, `may_be_held`."""
    first, *more = map(str, paths)
    request: Message = {"op": "apply", "db": database, "path": first, "more": more}
    return {**request, "timeout": timeout, "known": known, **how}


def encode_pages(database: str, tx: ShortTransaction, timeout: float | None) -> bytes | None:
    """The packet of `apply_pages`; None if it would be too long."""
    name = database.encode("utf-8", "surrogateescape")
    count = len(tx.pages)
    if _HEAD.size + len(name) + count * (_PGNO_SIZE + tx.page_size) > MAX_MESSAGE:
        return None
    seconds = math.nan if timeout is None else timeout
    head = _HEAD.pack(0, len(name), tx.page_size, tx.commit, tx.txid, seconds, count)
    pgnos = struct.pack(f"<{count}I", *(pgno for pgno, _ in tx.pages))
    return b"".join((head, name, pgnos, *(page for _, page in tx.pages)))


def text_of(message: Message, key: str) -> str:
    """A field that is text."""
    value = message[key]
    assert isinstance(value, str)
    return value


def known_of(message: Message) -> "KnownWal | None":
    """What of the WAL counts, whatever its checksums say."""
    known = message.get("known")
    if known is None:
        return None
    from pylitefs.store.applying import KnownWal  # Loaded late: a replica seldom has a WAL.

    return KnownWal(*cast("list[int]", known))


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
