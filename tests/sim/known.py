"""What an oracle knows of a position: the rows that a copy of a database at that TXID may have.

The rule: a copy is judged by its own bytes. They give the position's checksum, SQLite finds them whole, and
their rows are those that the acknowledged transactions up to there make.
"""

from collections.abc import Collection

from pylitefs.ltx.position import Pos
from pylitefs.sqlite.header import DATABASE_HEADER_SIZE, DatabaseHeader
from tests.sim.oracle import Oracle, State, Wrong, opened, rows_of
from tests.store.support import checksum_of


def states_at(oracle: Oracle, txid: int) -> list[State]:
    """What a database may have held at this TXID: the newest that is known, and those after it of which
    nobody knows which transaction they were."""
    first = max(at for at, one in enumerate(oracle.all) if at == 0 or 0 < one.txid <= txid)
    end = next((at for at in range(first + 1, len(oracle.all)) if oracle.all[at].txid), len(oracle.all))
    return [*oracle.all[first:end], *(oracle.maybe if end == len(oracle.all) else [])]


def rows_at(oracle: Oracle, txid: int) -> list[str]:
    """The rows of those states."""
    return [one.rows for one in states_at(oracle, txid)]


def check_copy(content: bytes, pos: Pos, allowed: Collection[str], where: str) -> None:
    """Raise Wrong unless these bytes are a whole database, at this position, with rows that are allowed."""
    size = DatabaseHeader.parse(content[:DATABASE_HEADER_SIZE]).page_size if content else 0
    found = checksum_of(content, size)
    if found != pos.checksum:
        raise Wrong(f"{where} has checksum {found:016x}, its position is {pos}")
    rows = rows_if_whole(content, where)
    if rows not in allowed:
        raise Wrong(f"{where} at {pos}: the rows are {rows}, allowed are {list(allowed)}")


def rows_if_whole(content: bytes, where: str) -> str:
    """Its rows; Wrong if SQLite does not find it whole."""
    db = opened(content)
    try:
        said, rows = db.execute("PRAGMA integrity_check").fetchall(), rows_of(db)
    finally:
        db.close()
    if said != [("ok",)]:
        raise Wrong(f"{where}: integrity_check says {said[:3]}")
    return rows
