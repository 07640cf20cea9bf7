"""Recovery after a power failure: how many records of a rollback journal are believed.

    synchronous=FULL      SQLite syncs the records, then writes and syncs their number: what counts is there
    synchronous=NORMAL    it syncs both at once: the number may survive, and a sector of the records not

The checksum of a record sees every 200th byte alone. So SQLite plays back a page of which a sector was lost,
or is still an older journal's, and documents it: with NORMAL a power failure may spoil a database.

The rule: SQLite writes no page before its record is durable. So a record that was lost is of a page that is
in the database as it was, and so are all after it. All records are played back, as SQLite would, if that
leads to the newest LTX file's checksum; else as many as lead there; and all if no number of them does.
"""

import logging
from collections.abc import Iterator

from pylitefs.errors import LtxError
from pylitefs.ltx.checksum import page_checksum
from pylitefs.ltx.decoder import verify_file
from pylitefs.sqlite.journal import Journal
from pylitefs.store.files import is_from_before_boot
from pylitefs.store.names import FileKind
from pylitefs.store.recovery_replay import file_sums, replayed
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")


def believed(state: DatabaseState, journal: Journal, txid: int) -> int | None:
    """How many of the journal's records are to be played back; None: all. `txid` is the newest LTX file's."""
    if not is_from_before_boot(state.path(FileKind.JOURNAL)):
        return None  # A killed client's: the kernel has all of it.
    longest, number = None, 0
    for number, leads in enumerate(_leads(state, journal, txid)):
        if leads:
            longest = number
    if longest is None or longest == number:
        return None
    log.warning(
        "%s: its journal was not synced to its end when the power failed: of %d records %d are played back, "
        "which leads to TXID %d; the pages of the others were not written yet",
        state.name,
        number,
        longest,
        txid,
    )
    return longest


def _leads(state: DatabaseState, journal: Journal, txid: int) -> Iterator[bool]:
    """Whether the database file, and the LTX files over it, lead to the newest one's checksum: without a
    record, with the first one, and so on. Nothing where that cannot be told."""
    span = next((span for span in state.ltx.ranges() if span[1] == txid), None)
    if span is None:
        return
    try:
        last, trailer = verify_file(state.ltx.path(*span))
    except LtxError:
        return
    if last.page_size != journal.page_size:
        return
    replay = replayed(state, last, file_sums(state.path(FileKind.DATABASE), last))
    if replay is None:
        return
    yield replay.sums.value == trailer.post_apply_checksum
    for pgno, page in journal.records:
        # What an LTX file holds is written over it afterwards.
        if pgno <= last.commit and pgno not in replay.newest:
            replay.sums.update({pgno: page_checksum(pgno, page)}, last.commit)
        yield replay.sums.value == trailer.post_apply_checksum
