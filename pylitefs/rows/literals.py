"""A value as SQL, as JSON, and for people.

The rule: SQL and JSON lose nothing. What a literal cannot say (a zero byte in a text, text that is none, a
real number that SQLite would not read back) is said by an expression that can.
"""

import math
import sqlite3
from contextlib import closing
from functools import lru_cache

from pylitefs.sqlite.records import RawText, Value, text_bytes

_LONGEST = 40


def identifier(name: str) -> str:
    """A name in SQL, always in quotes."""
    return '"' + name.replace('"', '""') + '"'


def sql_literal(value: Value, encoding: str) -> str:
    """The value in SQL, for a database with this text encoding."""
    if value is None:
        return "NULL"
    if isinstance(value, RawText) or (isinstance(value, str) and "\0" in value):
        return f"CAST(x'{text_bytes(value, encoding).hex()}' AS TEXT)"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return _real(repr(value)) if isinstance(value, float) else str(value)


def json_value(value: Value, encoding: str) -> object:
    """The value for JSON; what JSON has not is an object that says what it is."""
    if isinstance(value, RawText):
        return {"text": value.hex(), "encoding": encoding}
    if isinstance(value, bytes):
        return {"blob": value.hex()}
    if isinstance(value, float) and math.isinf(value):
        return {"real": str(value)}
    return value


def shown_value(value: Value | object, longest: int = _LONGEST) -> str:
    """The value for people, shortened."""
    if isinstance(value, RawText):
        return f"text that is none, {len(value)} bytes: {value.hex()[:longest]}"
    if isinstance(value, bytes):
        short = value.hex()
        return f"x'{short}'" if len(short) <= longest else f"x'{short[:longest]}…' ({len(value)} bytes)"
    if isinstance(value, str):
        short = "".join(char if char.isprintable() else "·" for char in value[: longest + 1])
        short = short if len(value) <= longest else f"{short[:longest]}…"
        return "'" + short.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


@lru_cache(maxsize=256)
def _real(text: str) -> str:
    """Digits, if SQLite reads them as this number; else a fraction of numbers that it reads exactly."""
    value = float(text)
    if math.isinf(value):
        return "9e999" if value > 0 else "-9e999"
    with closing(sqlite3.connect(":memory:")) as db:
        if db.execute(f"SELECT {text}").fetchone() == (value,):
            return text
    mantissa, exponent = math.frexp(value)
    factor = "4503599627370496.0"  # 2 to the 52nd
    parts = [f"CAST({int(mantissa * 2**53)} AS REAL)"]
    exponent -= 53
    while exponent > 0:
        step = min(exponent, 52)
        parts.append(f"* {2.0**step!r}")
        exponent -= step
    while exponent < 0:
        step = min(-exponent, 52)
        parts.append(f"/ {factor if step == 52 else repr(2.0**step)}")
        exponent += step
    return f"({' '.join(parts)})"
