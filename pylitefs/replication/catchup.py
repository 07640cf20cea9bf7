"""What a replica gets: nothing, LTX files, or a snapshot, and why.

One pure function. The primary acts on the value it returns, and the log, the tests and the lecture page
show that same value's `reason`. The rule is LiteFS's own, recorded from the real program (`tests/golden/`):

    primary at TXID 0                        nothing
    replica at TXID 0                        snapshot (*)
    replica ahead of the primary             snapshot
    same TXID, same checksum                 nothing
    same TXID, another checksum              snapshot
    the next LTX file is gone                snapshot
    the next LTX file's pre-apply checksum
      is not the replica's checksum          snapshot
    otherwise                                the LTX files, in order

(*) Two things are ours; no replica can tell the first. An LTX file that begins at TXID 1 holds every page.
So where one file reaches from TXID 1 to the primary's position, that file is the snapshot, and none is made
afresh. And a database that was born while the replica listened comes from its first file on, file by file,
however late the stream wakes: unless that is dear. It is cheap up to CHEAP_FILES files, and up to CHEAP_BYTES
bytes or the bytes of the database. A replica that joins later gets one snapshot, as from LiteFS.
"""

from dataclasses import dataclass

from pylitefs.ltx.header import format_filename, format_txid
from pylitefs.ltx.position import Pos

CHEAP_FILES = 100
"""A replica stores and syncs each file: some milliseconds for so many."""
CHEAP_BYTES = 1 << 20
"""Bytes that are quicker sent than a snapshot is made."""


@dataclass(frozen=True, slots=True)
class NextFile:
    """The primary's LTX file that begins one past the replica's TXID, as far as the decision needs it."""

    min_txid: int
    max_txid: int
    pre_apply_checksum: int


@dataclass(frozen=True, slots=True)
class History:
    """All LTX files of a database, from TXID 1 to the primary's position without a gap."""

    files: int
    size: int
    """Bytes of all of them."""
    database_size: int
    """Bytes of the database: a snapshot has no more, but for its frame."""

    @property
    def is_cheap(self) -> bool:
        return self.files <= CHEAP_FILES and self.size <= max(CHEAP_BYTES, self.database_size)


@dataclass(frozen=True, slots=True)
class Nothing:
    """The replica needs nothing now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Files:
    """The replica gets the LTX files from TXID `first` to TXID `last`, one after the other."""

    reason: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The replica gets the whole database, which replaces all it has."""

    reason: str
    kept: NextFile | None = None
    """The LTX file that is this snapshot; None: one has to be made."""


Decision = Nothing | Files | Snapshot


def decide(
    replica: Pos, primary: Pos, next_file: NextFile | None, history: History | None = None
) -> Decision:
    """What a replica at position `replica` gets from a primary whose database is at `primary`.

    `next_file` is the primary's LTX file with min TXID `replica.txid + 1`, None if it has none. `history` is
    given of a database that was born while the replica listened, where all of its files are kept.
    """
    at, ours = format_txid(replica.txid), format_txid(primary.txid)
    if primary.txid == 0:
        return Nothing("the primary's database has no transaction yet")
    if replica.txid == 0:
        return _from_nothing(primary, next_file, history)
    if replica.txid > primary.txid:
        return Snapshot(
            f"the replica is ahead: it is at TXID {at}, the primary at {ours}; "
            "it has transactions that never reached this primary, which are given up"
        )
    if replica.txid == primary.txid:
        if replica.checksum == primary.checksum:
            return Nothing(f"the replica is up to date at TXID {at}")
        return Snapshot(
            f"both are at TXID {at}, but the replica's checksum is {replica.checksum:016x} and the primary's "
            f"{primary.checksum:016x}: their histories differ"
        )
    wanted = replica.txid + 1
    if next_file is None or next_file.min_txid != wanted:
        return Snapshot(f"the LTX file that begins at TXID {format_txid(wanted)} is no longer kept")
    if next_file.pre_apply_checksum != replica.checksum:
        return Snapshot(
            f"the LTX file of TXID {format_txid(wanted)} continues checksum "
            f"{next_file.pre_apply_checksum:016x}, but the replica's is {replica.checksum:016x}: "
            "their histories differ"
        )
    if wanted == primary.txid:
        files = f"LTX file {ours} continues"
    else:
        files = f"LTX files {format_txid(wanted)} to {ours} continue"
    return Files(f"the replica is at TXID {at}, which {files}", wanted, primary.txid)


def _from_nothing(primary: Pos, first: NextFile | None, history: History | None) -> Decision:
    why = "the replica has no transaction of this database yet"
    if first is None or first.min_txid != 1:
        return Snapshot(why)
    if first.max_txid == primary.txid:
        name = format_filename(first.min_txid, first.max_txid).removesuffix(".ltx")
        return Snapshot(f"{why}: LTX file {name} is all of it", first)
    if history is not None and history.is_cheap:
        files = f"LTX files {format_txid(1)} to {format_txid(primary.txid)}"
        return Files(f"{why}, which was made while it listened: {files} are all of it", 1, primary.txid)
    return Snapshot(why)
