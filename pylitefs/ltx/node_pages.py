"""Pages of a node's database as it is now, read from beside while the node may go on.

The rule: what was read counts only if it is the same when it is read again at the end, and if no LTX file
that came meanwhile has the page. So neither a transaction that was just being written nor a checkpoint is
mistaken for it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from pylitefs.errors import BusyError
from pylitefs.ltx.checksum import crc64
from pylitefs.ltx.database import DatabaseFile, open_database
from pylitefs.ltx.lookup import Library
from pylitefs.ltx.source import Source, open_source

_PATIENCE_S = 5.0
"""So long a transaction that is being written is waited for."""
_PAUSE_S = 0.02


@contextmanager
def pages_now(source: Source, last_txid: int) -> Iterator[Callable[[int], bytes]]:
    """`read(pgno)` of the database beside the files, of which the last known one ends with `last_txid`.

    Raises BusyError at the end if what was read does not count, or if it is written all the time.
    """
    seen: dict[int, int] = {}
    with ExitStack() as stack:
        database = _opened(stack, source)

        def read(pgno: int) -> bytes:
            page = database.page(pgno)
            seen[pgno] = crc64(page)
            return page

        yield read
        with suppress(BusyError):  # That it was written is no matter yet: which pages were, is.
            stack.close()
    if seen:
        _check(source, last_txid, seen)


def _opened(stack: ExitStack, source: Source) -> DatabaseFile:
    assert source.database is not None
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return stack.enter_context(open_database(source.database, of_node=True))
        except BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)


def _check(source: Source, last_txid: int, seen: dict[int, int]) -> None:
    with ExitStack() as stack:
        database = _opened(stack, source)
        changed = [pgno for pgno, crc in seen.items() if crc64(database.page(pgno)) != crc]
        with suppress(BusyError):
            stack.close()
    with Library() as library:
        for file in open_source(source.path).files:
            if file.max_txid > last_txid:
                changed += seen.keys() & library.file(file.path).pgnos()
    if changed:
        raise BusyError(f"page {changed[0]} of {source.path} was changed while it was read: try again")
