"""Recovery of a replica that was storing several LTX files when the power failed.

They are synced one after the other, and none is applied before all are (`incoming.receive_together`). So a
power failure leaves the database exactly as it was before them, and of them any file may be whole, torn or
missing. The rule: then all of them go, for the primary has them. Any other gap is an error, as everywhere.
"""

import logging
from collections.abc import Callable

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import Header
from pylitefs.store.checksums import Changes, PageChecksums
from pylitefs.store.incoming import MOST_TOGETHER
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

Sums = Callable[[Header], PageChecksums]
"""The page checksums of the database file, as a header sees it."""


def cut_back(state: DatabaseState, sums: Sums) -> bool:
    """Drop the newest LTX files if there is a gap among them and the database is exactly before them all;
    whether they were dropped. For a replica."""
    newer: list[tuple[int, int]] = []
    gap = False
    for span in sorted(state.ltx.ranges(), key=lambda one: one[1], reverse=True)[: MOST_TOGETHER + 1]:
        gap = gap or bool(newer and span[1] + 1 != newer[-1][0])
        pages = Changes()

        def note(pgno: int, page: bytes, pages: Changes = pages) -> None:
            pages.add(pgno, page_checksum(pgno, page))

        try:
            header, trailer = verify_file(state.ltx.path(*span), note)
        except LtxError:
            gap = True
        else:
            if gap:
                found = sums(header)
                if found.value == trailer.post_apply_checksum and found.holds(pages):
                    _drop(state, newer, header)
                    return True
        newer.append(span)
    return False


def _drop(state: DatabaseState, spans: list[tuple[int, int]], last: Header) -> None:
    log.warning(
        "%s: %d LTX files past TXID %d were not all written when this node ended: they are dropped, and the "
        "primary is asked for them again",
        state.name,
        len(spans),
        last.max_txid,
    )
    for span in spans:
        state.ltx.remove(*span)
    if state.node.tracer.active:
        state.node.tracer.emit("recovery.ltx", state.name, last.max_txid, dropped=len(spans))
