"""A short transaction, whole in memory: handed on in place of a file that would have to be read again.

The rule: whoever makes one has verified the LTX file, or the files, to the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pylitefs.ltx.blocks import Batch
from pylitefs.ltx.header import Header


@dataclass(frozen=True, slots=True)
class ShortTransaction:
    """One that is no snapshot and no drop; or several that continue each other, as one."""

    page_size: int
    commit: int
    txid: int
    pages: Sequence[tuple[int, memoryview]]
    """Page number and bytes, ascending."""


def as_one(headers: Sequence[Header], batches: Iterable[Batch]) -> ShortTransaction:
    """Transactions that continue each other: of each page the newest. `batches` are of all, in order."""
    newest: dict[int, memoryview] = {}
    for batch in batches:
        newest.update(batch)
    last = headers[-1]
    pages = newest.items() if len(headers) == 1 else sorted(newest.items())
    return ShortTransaction(last.page_size, last.commit, last.max_txid, list(pages))
