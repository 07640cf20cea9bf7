"""Recovery of a node that was killed while it gave its own history up for a snapshot: a replica for its
primary's (incoming.py), a primary for its backup's (restoring.py).

The snapshot is stored, and the files that it is to replace go, the newest of them last: until then the
database is at the end of the history that is given up. So what is left may be a snapshot of another history
than the files after it, or the beginning of one. And once the database is at the snapshot, or further, some
files of the history that was given up may be there still, or again after a power failure.

The rule: files that follow each other by their TXIDs follow each other by their checksums, too. A snapshot
that does not lead to the next file goes; it comes again. What one that does lead on has replaced goes.
"""

import logging
import os
from pathlib import Path

from pylitefs.errors import LtxError
from pylitefs.ltx.decoder import verify_file
from pylitefs.ltx.header import TRAILER_SIZE, Header, Trailer
from pylitefs.store.files import sync_directory
from pylitefs.store.recovery_gap import is_unwritten
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

_SHORT = 1 << 20
"""A longer file gets its name once it is whole (incoming.py)."""


def drop_given_up(state: DatabaseState) -> None:
    """Once the position is known: else moments would be made of both histories, and streams.

    A primary keeps a snapshot that leads nowhere: nobody but a backup would send it again, and that does.
    """
    spans = state.ltx.ranges()
    gone = False
    for span in [] if state.node.status.is_primary else spans:
        if span[0] != 1 or span[1] >= state.pos.txid:
            continue
        after = next((one for one in spans if one[0] == span[1] + 1), None)
        if not _is_left(state.ltx.path(*span), state.ltx.header(*after) if after else None):
            continue
        log.warning(
            "%s: the snapshot up to TXID %d is torn, or of another history than the files after it: this "
            "node ended while it was to take their place. It is dropped, and the primary asked again",
            state.name,
            span[1],
        )
        state.ltx.remove(*span)
        gone = True
    for span in _replaced(state):
        state.ltx.remove(*span)
        gone = True
    if gone:
        sync_directory(state.ltx.directory)


def _replaced(state: DatabaseState) -> list[tuple[int, int]]:
    """The files that the newest snapshot has taken the place of."""
    spans = state.ltx.ranges()
    ends = [last for first, last in spans if first == 1 and last <= state.pos.txid]
    if not ends or _end(state.ltx.path(1, max(ends))) != _next_begins(state, max(ends)):
        return []
    return [span for span in spans if span[1] <= max(ends) and span != (1, max(ends))]


def _next_begins(state: DatabaseState, txid: int) -> int:
    """The checksum that the history has at this TXID, as far as the files after it tell."""
    if txid == state.pos.txid:
        return state.pos.checksum
    after = next((span for span in state.ltx.ranges() if span[0] == txid + 1), None)
    header = state.ltx.header(*after) if after else None
    return header.pre_apply_checksum if header else 0


def _is_left(path: Path, after: Header | None) -> bool:
    """Whether this snapshot never took the place of what was there. `after`: the next file's header."""
    if after is not None and _end(path) == after.pre_apply_checksum:
        return False
    if after is None and os.stat(path).st_size > _SHORT:
        return False
    try:
        _, trailer = verify_file(path)
    except LtxError as error:
        return is_unwritten(path, error)  # Other damage stays, and is named to who needs the file.
    return after is not None and trailer.post_apply_checksum != after.pre_apply_checksum


def _end(path: Path) -> int:
    """The checksum that a file ends with, whatever it is worth; 0 if it is too short for one."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TRAILER_SIZE))
        last = file.read(TRAILER_SIZE)
    return Trailer.unpack(last).post_apply_checksum if len(last) == TRAILER_SIZE else 0
