"""Transactions that a snapshot would replace unseen: found by checksum, and kept aside.

A node that was the primary and lost the lease may have acknowledged transactions that no other node has. It
follows the new primary, whose history is another, and gets a snapshot. The rule: before that takes their
place, the LTX files of what the snapshot does not hold are linked into `DATA/lost/DB/WHEN/`, durably, and one
line in the log says where they are. Real LiteFS does not look there, and nothing removes them but a person.

What the new primary has is told by checksums: the newest position that both have had is where they went
apart. (Ours tells its positions when asked; of real LiteFS only the snapshot's own is known.) Where no
position is common, it is the newest run of transactions that this node made as the primary (`terms.py`): too
many are kept rather than too few.
"""

import logging
import os
import shutil
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path

from pylitefs.ltx.header import Header, Trailer, format_txid
from pylitefs.ltx.position import Pos
from pylitefs.store.files import sync_directory
from pylitefs.store.privacy import make_directory
from pylitefs.store.state import DatabaseState

log = logging.getLogger("pylitefs")

FOLDER = "lost"


def keep_aside(state: DatabaseState, header: Header, trailer: Trailer) -> Path | None:
    """Keep what the snapshot with this header does not hold; where, None if it holds all. OSError."""
    spans = lost_spans(state, Pos(header.max_txid, trailer.post_apply_checksum))
    if not spans:
        return None
    when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = state.directory.parent.parent / FOLDER / state.name / when
    make_directory(folder)
    for span in spans:
        path = state.ltx.path(*span)
        try:
            os.link(path, folder / path.name)
        except OSError:
            shutil.copyfile(path, folder / path.name)
    for one in (folder, folder.parent, folder.parent.parent, folder.parent.parent.parent):
        sync_directory(one)
    log.warning(
        "%s: nothing shows that the primary has TXID %s to %s of this node, and its state takes their place; "
        "they are kept: `pylitefs ltx list %s/*.ltx` shows them, `pylitefs ltx dump FILE` one of them",
        state.name,
        format_txid(spans[0][0]),
        format_txid(spans[-1][1]),
        folder,
    )
    return folder


def lost_spans(state: DatabaseState, theirs: Pos) -> list[tuple[int, int]]:
    """The LTX files whose transactions a history that has come to `theirs` does not hold, oldest first."""
    if state.pos == theirs or not _is_suspect(state, theirs):
        return []
    tail = _tail(state)
    lost = _newest_run(state, tail)
    terms = state.node.terms
    known = {theirs.txid: theirs.checksum, **terms.history(state.name)}
    if handed := terms.handed.get(state.name):
        known.setdefault(handed.txid, handed.checksum)
    ours = {one.min_txid - 1: one.pre_apply_checksum for one in tail}
    ours[state.pos.txid] = state.pos.checksum
    common = max((txid for txid, checksum in known.items() if ours.get(txid) == checksum), default=None)
    if common is not None:
        lost = [one for one in tail if one.min_txid > common]
    return [(one.min_txid, one.max_txid) for one in lost]


def _is_suspect(state: DatabaseState, theirs: Pos) -> bool:
    """Without asking anybody: whether the newest transaction may be known to no other node."""
    if state.pos.txid >= theirs.txid:
        return state.pos.txid > 0  # It has been where they are, and was another then.
    spans = state.ltx.ranges()
    newest = state.ltx.header(*spans[-1]) if spans else None
    return newest is not None and state.node.terms.is_own(newest.node_id)


def _newest_run(state: DatabaseState, tail: list[Header]) -> list[Header]:
    """What this node made as the primary, and nobody after it; or what the same primary as the newest
    made."""
    if not tail:
        return []
    newest, is_own = tail[-1].node_id, state.node.terms.is_own
    run = list(takewhile(lambda one: is_own(one.node_id) or one.node_id == newest, reversed(tail)))
    return run[::-1]


def _tail(state: DatabaseState) -> list[Header]:
    """The headers of the files that lead without a gap to the position, oldest first."""
    tail: list[Header] = []
    at = state.pos.txid
    for span in reversed(state.ltx.ranges()):
        if span[1] != at:
            continue
        header = state.ltx.header(*span)
        if header is None:
            break
        tail.append(header)
        at = span[0] - 1
    return tail[::-1]
