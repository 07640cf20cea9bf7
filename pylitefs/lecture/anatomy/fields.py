"""What every anatomy is made with: fields that know their name, size and meaning, and a builder of parts.

The rule: the parts come in file order and cover every byte, whatever the bytes are; a field that the data
cuts short says so. The tables of fields are also the printed byte layouts (layouts.py).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pylitefs.lecture.model import Part

TORN = "torn"


def number(data: bytes) -> str:
    """A big-endian integer."""
    return f"{int.from_bytes(data, 'big'):,}"


def version(data: bytes) -> str:
    """A big-endian number that counts nothing."""
    return str(int.from_bytes(data, "big"))


def little(data: bytes) -> str:
    """A little-endian integer."""
    return f"{int.from_bytes(data, 'little'):,}"


def hexed(data: bytes) -> str:
    return data.hex()


def txid(data: bytes) -> str:
    """A TXID: the number, and as LiteFS writes it."""
    return f"{int.from_bytes(data, 'big')} ({data.hex()})"


def zeros(data: bytes) -> str:
    return "zero" if not any(data) else f"{sum(map(bool, data))} bytes are not zero"


def text(data: bytes) -> str:
    """Bytes as text, what cannot be printed as dots."""
    return "".join(char if char.isprintable() else "·" for char in data.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a format."""

    size: int
    """In bytes; 0 for one whose size another field gives."""
    name: str
    meaning: str
    kind: str = "field"
    read: Callable[[bytes], str] = number


class Builder:
    """Walks over bytes from their first to their last and names what it passes."""

    def __init__(self, data: bytes, base: int = 0) -> None:
        self.data = data
        self.base = base
        self.at = 0
        """Offset in `data` of what comes next."""
        self.parts: list[Part] = []

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def field(self, field: Field, *, size: int = -1, value: str | None = None, more: str = "") -> bytes:
        """The next field; its bytes, fewer than its size only at the end. `value` replaces what the field
        reads, `more` is said after its meaning."""
        size = field.size if size < 0 else size
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            value = f"{TORN}: {len(piece)} of {size} bytes"
        elif value is None:
            value = field.read(piece)
        meaning = f"{field.meaning} {more}".strip()
        self._add(len(piece), field.name, value, meaning, field.kind)
        return piece

    def fields(self, table: Sequence[Field]) -> list[bytes]:
        """Several fields, one after the other."""
        return [self.field(field) for field in table]

    def content(self, size: int, name: str, meaning: str, *, value: str = "", kind: str = "content") -> bytes:
        """The next `size` bytes as a whole."""
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            value = f"{TORN}: {len(piece)} of {size} bytes"
        self._add(len(piece), name, value, meaning, kind)
        return piece

    def rest(self, name: str, meaning: str, *, value: str = "", kind: str = "unused") -> None:
        """All that is left."""
        self.content(self.left, name, meaning, value=value, kind=kind)

    def add(self, parts: Sequence[Part]) -> None:
        """Parts that go on where this one is."""
        self.parts += parts
        self.at += sum(part.length for part in parts)

    def _add(self, length: int, name: str, value: str, meaning: str, kind: str) -> None:
        if length:
            self.parts.append(Part(self.base + self.at, length, name, value, meaning, kind))
        self.at += length


def clip(parts: Sequence[Part], start: int, end: int) -> tuple[Part, ...]:
    """The parts of the bytes from `start` up to `end`; what only begins or ends there is shortened."""
    found: list[Part] = []
    for part in parts:
        first, last = max(part.offset, start), min(part.offset + part.length, end)
        if first < last:
            found.append(Part(first, last - first, part.name, part.value, part.meaning, part.kind))
    return tuple(found)
