"""Records: the values of one row or index entry, as SQLite packs them.

    header    its own length | a serial type for each value          (varints)
    body      the values, one after the other

The rule: what comes out is exactly what SQLite would give back, and two values are the same here only if they
are for SQLite's `typeof` too. A record that is none is an error, and no guess.
Format: https://www.sqlite.org/fileformat2.html#record_format
"""

import struct
from collections.abc import Sequence
from math import isnan

from pylitefs.errors import SqliteFormatError
from pylitefs.sqlite import Buffer

ENCODINGS = {0: "utf-8", 1: "utf-8", 2: "utf-16-le", 3: "utf-16-be"}
"""By the number in the database header (0: there is no table yet)."""
INTEGER_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
"""Bytes of the serial types that are integers, but for 8 and 9, which are 0 and 1."""
_REAL = 7
_DOUBLE = struct.Struct(">d")


class RawText(bytes):
    """Text whose bytes are none in the database's encoding: SQLite keeps such too."""

    __slots__ = ()


Value = int | float | str | bytes | None


def varint(data: Buffer, at: int) -> tuple[int, int] | None:
    """(value, offset after it) of SQLite's variable-length integer; None if the data ends in it."""
    value = 0
    for count in range(9):
        if at + count >= len(data):
            return None
        byte = data[at + count]
        if count == 8:
            return (value << 8) | byte, at + 9
        value = (value << 7) | (byte & 0x7F)
        if byte < 0x80:
            return value, at + count + 1
    return None


def signed(value: int) -> int:
    """A varint's 64 bits as the signed number that a rowid is."""
    return value - (1 << 64) if value >> 63 else value


def value_size(serial: int) -> int:
    """Bytes in the body for a serial type."""
    if serial >= 12:
        return (serial - 12) // 2
    return INTEGER_SIZES.get(serial, 8 if serial == _REAL else 0)


def serial_types(record: Buffer) -> tuple[list[int], int]:
    """The serial types of a record's header, and where its body begins."""
    found = varint(record, 0)
    if found is None or not found[1] <= found[0] <= len(record):
        raise SqliteFormatError("a record whose header is longer than it is")
    end, at = found
    serials: list[int] = []
    while at < end:
        found = varint(record, at)
        if found is None:
            raise SqliteFormatError("a record that ends within its header")
        serials.append(found[0])
        at = found[1]
    return serials, end


def decode(record: Buffer, encoding: str) -> list[Value]:
    """The values of a whole record. Raises SqliteFormatError if it is none."""
    serials, at = serial_types(record)
    values: list[Value] = []
    for serial in serials:
        size = value_size(serial)
        if at + size > len(record) or serial in (10, 11):
            raise SqliteFormatError(f"a record that ends within a value of type {serial}")
        values.append(_value(serial, bytes(record[at : at + size]), encoding))
        at += size
    return values


def _value(serial: int, data: bytes, encoding: str) -> Value:
    if serial in INTEGER_SIZES:
        return int.from_bytes(data, "big", signed=True)
    if serial >= 12:
        return data if serial % 2 == 0 else text(data, encoding)
    if serial == _REAL:
        number: float = _DOUBLE.unpack(data)[0]
        return None if isnan(number) else number  # SQLite reads NaN as NULL.
    return None if serial == 0 else serial - 8


def text(data: bytes, encoding: str) -> str | RawText:
    """Text from the bytes that are stored."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return RawText(data)


def text_bytes(value: str | RawText, encoding: str) -> bytes:
    """The bytes that are stored for a text."""
    return value.encode(encoding) if isinstance(value, str) else bytes(value)


def is_same(one: Value, other: Value) -> bool:
    """Whether two values are the same in type too: 1 is not 1.0, 'a' is not X'61', -0.0 is not 0.0."""
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, float) or _DOUBLE.pack(one) == _DOUBLE.pack(other)


def are_same(one: Sequence[Value], other: Sequence[Value]) -> bool:
    """Whether two rows are."""
    return len(one) == len(other) and all(map(is_same, one, other))
