"""The newest transaction once more, by the applier, on a node that is not the primary: it ends the WAL.

After its own clients have written there is a WAL with content: of an old primary, or of a replica that had
the HALT lock. The applier copies what counts of it into the database before it applies, and empties it.
That matters where SQLite 3.40 has left frames without checksums (wal_tracker.py). Its readers see them by
the WAL index alone; once the last of them has closed it, the next one would not find them.

The rule: nothing changes for a reader, and no position moves.
"""

from pylitefs.store.database import Database
from pylitefs.store.state import DatabaseState
from pylitefs.store.store import Store
from pylitefs.store.turns import Patience


def apply_again(store: Store, database: Database, why: str, seconds: float) -> None:
    """Have it done. `why` says for whom, where somebody has to wait.

    BusyError, with nothing changed, if somebody reads for longer than `seconds`.
    """
    state: DatabaseState = database.state
    with state.apply_lock.held_for(Patience(why, seconds)):
        spans = state.ltx.ranges()
        header = state.ltx.header(*spans[-1]) if spans else None
        if header is None or header.max_txid != state.pos.txid or not header.commit or state.halt is not None:
            return
        if state.node.status.is_primary:
            return
        state.applying = header.max_txid
        try:
            path = state.ltx.path(header.min_txid, header.max_txid)
            known = database.wal_watch.known
            store.applier.apply(database.name, path, verified=True, timeout=seconds, known=known)
            with state.lock:
                database.wal_watch.tracker.reset(state.sums.page_count)
                database.rollback_watch.forget()
        finally:
            state.applying = 0
