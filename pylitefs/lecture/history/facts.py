"""What an event says, as the sentences about it need it.

The rule: whatever an event does not say reads as 0, "" or (), and numbers that came as text are numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pylitefs.lecture.model import Json

_MOST_PGNOS = 6


def pages_text(pgnos: Iterable[int]) -> str:
    """`page 2`, `pages 1, 2 and 5`, `9 pages (1 to 9)`, `12 pages (1, 3, 4 … 40)`."""
    known = sorted(pgnos)
    if not known:
        return "no page"
    if len(known) == 1:
        return f"page {known[0]}"
    if len(known) <= _MOST_PGNOS:
        return f"pages {', '.join(map(str, known[:-1]))} and {known[-1]}"
    if known[-1] - known[0] == len(known) - 1 and len(set(known)) == len(known):
        return f"{len(known)} pages ({known[0]} to {known[-1]})"
    return f"{len(known)} pages ({', '.join(map(str, known[:3]))} … {known[-1]})"


def bytes_text(count: int) -> str:
    return "1 byte" if count == 1 else f"{count:,} bytes"


def count_text(count: int, what: str) -> str:
    """`1 page`, `3 pages`."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sentence may use of an event. Whatever is missing reads as 0, "" or ()."""

    node: str = ""
    database: str = ""
    txid: int = 0
    who: str = ""
    peer: str = ""
    """The other node's name, of what travels."""
    payload: Json = field(default_factory=dict)

    @property
    def actor(self) -> str:
        """Who did it, at a sentence's beginning."""
        if self.who.startswith(("writer", "reader", "applier")):
            return f"The {self.who}"
        return self.who or "SQLite"

    def number(self, key: str) -> int:
        value = self.payload.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return 0
        try:
            return int(value)
        except (ValueError, OverflowError):
            return 0

    def text(self, key: str) -> str:
        value = self.payload.get(key, "")
        return "" if value is None else str(value)

    def flag(self, key: str) -> bool:
        return self.payload.get(key) in (True, "True", "true", 1)

    @property
    def pgnos(self) -> tuple[int, ...]:
        """The pages that the event names one by one; of older nodes, which count them only, none."""
        pages = self.payload.get("pages")
        if isinstance(pages, list | tuple):
            return tuple(page for page in pages if isinstance(page, int) and not isinstance(page, bool))
        pgno = self.number("pgno")
        return (pgno,) if pgno > 0 else ()

    @property
    def pages(self) -> str:
        """Which pages, or how many."""
        if self.pgnos or isinstance(self.payload.get("pages"), list | tuple):
            return pages_text(self.pgnos)
        return count_text(self.number("pages"), "page")

    @property
    def place(self) -> str:
        """`1,032 bytes at offset 512`."""
        return f"{bytes_text(self.number('length'))} at offset {self.number('offset'):,}"

    @property
    def file(self) -> str:
        """The file's name, without its directory."""
        return self.text("path").rpartition("/")[2]
