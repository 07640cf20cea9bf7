"""The change counter and the schema cookie of an imported page 1: bytes 24-27 and 40-43.

They are zeroed, as LiteFS does, so that open connections read everything anew. But zero may be what they
know: after an earlier import, or after as many changes of the schema as there were before it, a connection
would take the old schema for the new one and read a "malformed" database. The rule: where someone has the
database open, or it has zeros already, these numbers go on from its own, as they do when SQLite's backup
writes into a live database.
"""

import os

from pylitefs.sqlite.header import (
    CHANGE_COUNTER_OFFSET,
    DATABASE_HEADER_SIZE,
    SCHEMA_COOKIE_OFFSET,
)
from pylitefs.store.database import Database
from pylitefs.store.names import FileKind

Counters = tuple[int, int]
"""The change counter and the schema cookie."""

NO_COUNTERS: Counters = (0, 0)
_SIZE = 4


def next_counters(database: Database) -> Counters:
    """What the imported page 1 gets. The state's lock is held."""
    if database.page_count == 0:
        return NO_COUNTERS
    page = database.wal_watch.page(1) or os.pread(
        database.state.fd(FileKind.DATABASE), DATABASE_HEADER_SIZE, 0
    )
    live = _at(page, CHANGE_COUNTER_OFFSET), _at(page, SCHEMA_COOKIE_OFFSET)
    if all(live) and not database.has_clients:
        return NO_COUNTERS
    return (live[0] + 1) & 0xFFFFFFFF, (live[1] + 1) & 0xFFFFFFFF


def _at(page: bytes, offset: int) -> int:
    return int.from_bytes(page[offset : offset + _SIZE], "big")


def with_counters(pages: "bytes | memoryview", counters: Counters) -> bytes:
    """Bytes that begin with page 1, and these numbers in them."""
    changed = bytearray(pages)
    for offset, number in zip((CHANGE_COUNTER_OFFSET, SCHEMA_COOKIE_OFFSET), counters, strict=True):
        changed[offset : offset + _SIZE] = number.to_bytes(_SIZE, "big")
    return bytes(changed)
