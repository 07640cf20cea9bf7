"""An imported page 1 has numbers that no open connection remembers."""

import io
from pathlib import Path

from pylitefs.store.counters import NO_COUNTERS, next_counters, with_counters
from pylitefs.store.store import Store
from tests.store.serving import Served
from tests.store.support import data_file


def numbers(store: Store) -> tuple[int, int]:
    page = data_file(store, "a.db").read_bytes()
    return int.from_bytes(page[24:28], "big"), int.from_bytes(page[40:44], "big")


def test_only_these_bytes_change() -> None:
    """The change counter and the schema cookie, wherever the page ends."""
    page = bytes(range(200))
    changed = with_counters(memoryview(page), (1, 0xFFFFFFFF))
    assert changed[24:28] == b"\0\0\0\1" and changed[40:44] == b"\xff" * 4
    assert changed[:24] + changed[28:40] + changed[44:] == page[:24] + page[28:40] + page[44:]


def test_they_are_zeros_but_never_what_a_connection_may_know(
    store: Store, served: Served, source: Path
) -> None:
    """Zeros after a database of SQLite's own; after zeros, or beside a client, the next numbers."""
    content = source.read_bytes()
    assert next_counters(store.create("a.db")) == NO_COUNTERS
    store.import_database("a.db", io.BytesIO(content))
    assert numbers(store) == (0, 0)
    assert next_counters(store.require("a.db")) == (1, 1)
    store.import_database("a.db", io.BytesIO(content))
    assert numbers(store) == (1, 1)
    assert next_counters(store.require("a.db")) == NO_COUNTERS
    db = served.connect("a.db")
    db.execute("SELECT * FROM t").fetchall()
    assert next_counters(store.require("a.db")) == (2, 2)
    db.close()
