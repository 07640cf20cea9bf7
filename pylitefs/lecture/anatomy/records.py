"""Cells of SQLite's b-tree pages read: how long each is, and which values it carries.

The rule: nothing is trusted. A cell that runs out of its page is no cell, and says None.
Format: https://www.sqlite.org/fileformat2.html#b_tree_pages and #record_format
"""

import struct
from dataclasses import dataclass

from pylitefs.sqlite.btree import INTERIOR_INDEX, INTERIOR_TABLE, LEAF_TABLE, local_size
from pylitefs.sqlite.records import INTEGER_SIZES, signed, value_size, varint

_LONGEST_TEXT = 24
_MOST_VALUES = 6


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a page."""

    offset: int
    length: int
    text: str
    """What it says, for people: `rowid 3: 'Anna', 42`."""


def read_cell(page: bytes, offset: int, kind: int, usable: int) -> Cell | None:
    """The cell at `offset` of a page of b-tree type `kind`; `usable` is the page without reserved bytes."""
    at = offset
    words: list[str] = []
    if kind in (INTERIOR_INDEX, INTERIOR_TABLE):
        if at + 4 > usable:
            return None
        words.append(f"left child page {int.from_bytes(page[at : at + 4], 'big')}")
        at += 4
    payload = 0
    if kind != INTERIOR_TABLE:
        found = varint(page, at)
        if found is None:
            return None
        payload, at = found
    if kind in (INTERIOR_TABLE, LEAF_TABLE):
        found = varint(page, at)
        if found is None:
            return None
        rowid, at = found
        words.append(f"rowid {signed(rowid)}")
    if kind == INTERIOR_TABLE:
        return Cell(offset, at - offset, ", ".join(words)) if at <= usable else None
    local = local_size(payload, kind, usable)
    end = at + local + (4 if local < payload else 0)
    if end > usable:
        return None
    values = record_text(page[at : at + local])
    if local < payload:
        values += f" … goes on in overflow page {int.from_bytes(page[end - 4 : end], 'big')}"
    # SQLite gives every cell at least four bytes.
    length = min(max(end - offset, 4), usable - offset)
    return Cell(offset, length, ": ".join(part for part in (", ".join(words), values) if part))


def record_text(data: bytes) -> str:
    """A record's values, as SQL would write them, the first few."""
    head = varint(data, 0)
    if head is None:
        return ""
    header_size, at = head
    body = header_size
    values: list[str] = []
    while at < min(header_size, len(data)):
        found = varint(data, at)
        if found is None:
            break
        kind, at = found
        if len(values) == _MOST_VALUES:
            values.append("…")
            break
        size = value_size(kind)
        values.append(_value(kind, data[body : body + size], size))
        body += size
    return ", ".join(values)


def _value(kind: int, data: bytes, size: int) -> str:
    if kind in (0, 8, 9):
        return {0: "NULL", 8: "0", 9: "1"}[kind]
    if kind < 12 and len(data) < size:
        return "…"
    if kind in INTEGER_SIZES:
        return str(int.from_bytes(data, "big", signed=True))
    if kind == 7:
        return repr(struct.unpack(">d", data)[0])
    if kind < 12:
        return "?"
    if kind % 2 == 0:
        return f"a blob of {size} bytes"
    text = data.decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else "·" for char in text)
    short = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
    return "'" + short.replace("'", "''") + "'"
