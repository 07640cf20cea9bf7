"""Retention: how long LTX files are kept for replicas that are behind.

The rule: the newest file stays. Before any other is removed, what it holds is durable elsewhere: the database
and its WAL are synced first. Their directory is synced too. Otherwise a power failure could bring back a
journal that was removed long ago, and recovery would roll the database back by it.
"""

import os
import time

from pylitefs.store.files import sync_directory
from pylitefs.store.names import FileKind
from pylitefs.store.state import DatabaseState


def reap(state: DatabaseState, retention_s: float, now: float | None = None) -> int:
    """Remove the LTX files older than `retention_s` seconds but the newest; how many went."""
    limit = (time.time() if now is None else now) - retention_s
    old = []
    for span in state.ltx.ranges()[:-1]:
        try:
            if os.stat(state.ltx.path(*span)).st_mtime >= limit:
                break
        except FileNotFoundError:
            pass
        old.append(span)
    if not old:
        return 0
    for kind in (FileKind.DATABASE, FileKind.WAL):
        _sync(state, kind)
    sync_directory(state.directory)
    for span in old:
        state.ltx.remove(*span)
        if state.node.tracer.active:
            state.node.tracer.emit("retention.reap", state.name, span[1], min_txid=span[0])
    return len(old)


def _sync(state: DatabaseState, kind: FileKind) -> None:
    try:
        fd = os.open(state.path(kind), os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
