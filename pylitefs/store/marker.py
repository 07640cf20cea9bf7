"""A note in `dbs/DB/`: since a transaction the database file may hold pages that are in no LTX file.

    0000000000000005                a TXID: pages were written after it and count, but are not captured yet
                                    (without a journal, or of a transaction that a super-journal committed)
    0000000000000005 rolled back    a hot journal was played back; free pages may hold other bytes

The rule: the note is durable before the journal is removed, which said the same. Once all is captured, the
note is removed. A note with an older TXID than the newest LTX file's means nothing: the capture was made.
"""

import enum
from pathlib import Path

from pylitefs.store.files import write_durably

MARKER = "unjournaled"
_ROLLED_BACK = "rolled back"


class Left(enum.IntEnum):
    """What a crash may have left in the database file beyond the newest LTX file; the greater includes
    the less."""

    NOTHING = 0
    FREE_PAGES = 1
    """A transaction was rolled back: pages of the free list are not as they were, all others are."""
    COMMITTED = 2
    """Pages that count."""


def read_marker(directory: Path, txid: int) -> Left:
    """What the note says, for a database whose newest LTX file ends with `txid`."""
    try:
        after, _, what = (directory / MARKER).read_text().strip().partition(" ")
        if int(after, 16) < txid:
            return Left.NOTHING
    except (FileNotFoundError, ValueError):
        return Left.NOTHING  # An empty one: the crash came before the first page.
    return Left.FREE_PAGES if what == _ROLLED_BACK else Left.COMMITTED


def note(directory: Path, txid: int, left: Left) -> None:
    """Leave the note, durably, unless there is one that says as much."""
    if left > read_marker(directory, txid):
        what = f" {_ROLLED_BACK}" if left is Left.FREE_PAGES else ""
        write_durably(directory / MARKER, f"{txid:016x}{what}\n".encode())
