"""Which pages a power failure may take: those that the LTX files kept here bring back.

A replica writes a transaction's pages while its LTX file is still being synced. If the power fails then, the
file may be gone and any of the pages in the database. Recovery goes back to the position before: it replays
the LTX files that are kept. So that leads there only if each page that was overwritten is in one of them.

    a page of the newest files, or one past the end    covered: recovery brings it back, or cuts it off
    a page that none of them holds                     not covered: the LTX file is synced first

The rule: what is counted on stays. While an apply counts on a file (`rely`), retention lets it be. And what
is noted here holds for one position alone: whatever else moves that makes all of it void.
"""

import threading
from collections.abc import Iterable, Iterator
from typing import Protocol

from pylitefs.ltx.header import Header
from pylitefs.ltx.position import Pos

MOST_PAGES = 1024
"""So many pages of a database are remembered, those that were written last."""
_NEVER = float("inf")

Span = tuple[int, int]


class Pgnos(Protocol):
    """Page numbers, so many."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...


class Covered:
    """One database of a replica. Applies come one at a time; retention in another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pos = Pos()
        """Of the database, after the newest transaction that was noted here."""
        self._commit = self._page_size = 0
        self._pages: dict[int, int] = {}
        """Page number to the TXID of the newest file that holds it; the page written last comes last."""
        self._whole = 0
        """The TXID of the newest file that holds all pages; 0 without one."""
        self._gone = 0
        """Files up to this TXID may be gone."""
        self._relied: float = _NEVER
        """The oldest TXID of a file that an apply counts on just now."""

    def rely(self, pos: Pos, commit: int, pgnos: Iterable[int]) -> bool:
        """Whether a database at `pos` may get these pages, `commit` in all then, before their LTX file is
        durable. If so, the files that this hangs on are kept until `durable`."""
        with self._lock:
            if self._pos != pos or commit < self._commit:
                return False
            oldest = min((self._holder(pgno) for pgno in pgnos), default=_NEVER)
            if oldest <= self._gone:
                return False
            self._relied = oldest
            return True

    def _holder(self, pgno: int) -> float:
        """The TXID of the newest file with a page; 0 if none has it."""
        return _NEVER if pgno > self._commit else max(self._whole, self._pages.get(pgno, 0))

    def durable(self) -> None:
        """The LTX file of those pages is durable, or no page of it was written."""
        with self._lock:
            self._relied = _NEVER

    def applied(self, first: Header, last: Header, pos: Pos, pgnos: Pgnos) -> None:
        """Durable LTX files, `first` to `last`, were applied as one, which moved the database to `pos`."""
        with self._lock:
            if last.is_snapshot or last.page_size != self._page_size or self._pos != first.pre_apply_pos:
                self._pages.clear()
                self._whole = last.max_txid if last.is_snapshot else 0
            self._pos, self._commit, self._page_size = pos, last.commit, last.page_size
            self._relied = _NEVER
            if not last.is_snapshot:
                self._note(first.max_txid, pgnos)

    def _note(self, txid: int, pgnos: Pgnos) -> None:
        pages = self._pages
        for pgno in pgnos if len(pgnos) <= MOST_PAGES else list(pgnos)[-MOST_PAGES:]:
            pages.pop(pgno, None)
            pages[pgno] = txid
        while len(pages) > MOST_PAGES:
            del pages[next(iter(pages))]

    def let_go(self, old: list[Span]) -> list[Span]:
        """Of LTX files that are to be removed, the oldest first, those that may be. Nothing counts on them
        from now on."""
        with self._lock:
            gone = [span for span in old if span[1] < self._relied]
            if gone:
                self._gone = max(self._gone, gone[-1][1])
            return gone
