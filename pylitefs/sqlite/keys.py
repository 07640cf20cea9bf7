"""How SQLite orders the keys of an index, and the rows of a table WITHOUT ROWID.

The rule: NULL, then numbers, then text, then blobs; text by the column's collation, of which SQLite has
three. An application may have its own: what is ordered by such a one cannot be searched here.
Format: https://www.sqlite.org/fileformat2.html#record_sort_order
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pylitefs.sqlite.records import RawText, Value, text_bytes

COLLATIONS = ("BINARY", "NOCASE", "RTRIM")
_FOLDED = bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Key:
    """One column of a key."""

    collation: str = "BINARY"
    descending: bool = False

    @property
    def is_known(self) -> bool:
        """Whether it is one of SQLite's own."""
        return self.collation.upper() in COLLATIONS


def compare(one: Sequence[Value], other: Sequence[Value], order: Sequence[Key], encoding: str) -> int:
    """Negative, 0 or positive, as `one` comes before `other`; by as many values as `order` has."""
    for first, second, key in zip(one, other, order, strict=False):
        found = compare_values(first, second, key.collation, encoding)
        if found:
            return -found if key.descending else found
    return 0


def compare_values(one: Value, other: Value, collation: str = "BINARY", encoding: str = "utf-8") -> int:
    """The same of two values."""
    left, right = _rank(one), _rank(other)
    if left != right or left == 0:
        return left - right
    if left == 2:
        assert isinstance(one, str | RawText) and isinstance(other, str | RawText)
        one, other = _folded(one, collation, encoding), _folded(other, collation, encoding)
    assert one is not None and other is not None
    return (one > other) - (one < other)  # type: ignore[operator]


def _rank(value: Value) -> int:
    if value is None:
        return 0
    if isinstance(value, int | float):
        return 1
    return 2 if isinstance(value, str | RawText) else 3


def _folded(value: str | RawText, collation: str, encoding: str) -> bytes:
    """Bytes that compare as the collation does: BINARY compares what is stored, the others UTF-8."""
    name = collation.upper()
    if name == "BINARY":
        return text_bytes(value, encoding)
    data = text_bytes(value, "utf-8")
    return data.translate(_FOLDED) if name == "NOCASE" else data.rstrip(b" ")
