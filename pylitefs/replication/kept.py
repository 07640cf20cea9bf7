"""What a store keeps for a replica at some position: the next LTX file, and a database's whole history.

The rule: after a commit nobody looks at the disk, for the newest file's header came along; and what is asked
here in the event loop is bounded, a header or CHEAP_FILES sizes.
"""

from itertools import pairwise

from pylitefs.ltx.header import Header, Trailer
from pylitefs.ltx.position import Pos
from pylitefs.replication.catchup import CHEAP_FILES, Decision, History, NextFile, decide
from pylitefs.store.database import Database


def decision(
    database: Database, replica: Pos, header: Header | None, *, born: bool
) -> tuple[Decision, NextFile | None]:
    """What the replica gets, and the LTX file that is next for it.

    `header` is that of the newest file, if it came along; `born`: the replica has listened since the database
    was made.
    """
    file = next_file(database, replica.txid, header)
    primary = database.pos
    history = whole_history(database, primary) if born and replica.txid == 0 else None
    return decide(replica, primary, file, history), file


def next_file(database: Database, txid: int, header: Header | None = None) -> NextFile | None:
    """The LTX file after `txid`. After a commit its header came along: then the disk is not looked at."""
    if header is None or header.min_txid != txid + 1:
        found = database.ltx_next(txid)
        header = database.ltx_header(*found) if found is not None else None
    if header is None:
        return None
    return NextFile(header.min_txid, header.max_txid, header.pre_apply_checksum)


def whole_history(database: Database, primary: Pos) -> History | None:
    """All files from TXID 1 to the position; None if some are gone, or are too many to be cheap."""
    spans = [span for span in database.ltx_files()[: CHEAP_FILES + 1] if span[1] <= primary.txid]
    if not spans or len(spans) > CHEAP_FILES or spans[0][0] != 1 or spans[-1][1] != primary.txid:
        return None
    if any(one[1] + 1 != two[0] for one, two in pairwise(spans)):
        return None
    try:
        size = sum(database.ltx_path(*span).stat().st_size for span in spans)
    except FileNotFoundError:
        return None
    return History(len(spans), size, database.page_count * database.page_size)


def pos_after(file: NextFile, trailer: bytes) -> Pos:
    """The position of whoever has the file, by its last bytes."""
    return Pos(file.max_txid, Trailer.unpack(trailer).post_apply_checksum)
