"""The 34 bytes of `DB-pos` taken apart: a database's position.

The rule is that of every anatomy: all bytes, in order, whatever they are.
"""

from pylitefs.lecture.anatomy.fields import Builder, Field, text
from pylitefs.lecture.model import Part


def _hex_number(data: bytes) -> str:
    try:
        return f"{int(data, 16):,}"
    except ValueError:
        return "not a number"


FIELDS = (
    Field(16, "TXID", "How many transactions the database has seen, in hex digits.", "txid", _hex_number),
    Field(1, "separator", "A slash.", "field", text),
    Field(
        16,
        "checksum",
        "The XOR of all pages' checksums, in hex digits: equal positions mean equal bytes.",
        "checksum",
        text,
    ),
    Field(1, "end", "A newline.", "field", lambda data: "newline" if data == b"\n" else text(data)),
)


def anatomy(data: bytes) -> tuple[Part, ...]:
    """The parts of a position file."""
    build = Builder(data)
    build.fields(FIELDS)
    build.rest("after the end", "Nothing belongs here.")
    return tuple(build.parts)
